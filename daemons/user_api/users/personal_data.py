"""What user_api holds about one person, for that person: themselves, and what the audit keeps of them."""

from typing import Any
from uuid import UUID

from daemons.contracts.wire import Instant, WireModel
from daemons.shared.audit.record import Fields
from daemons.shared.audit.trail import AuditFilter, MongoAuditTrail
from daemons.shared.mongo import Database, unavailable_on_fault
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.storage import MongoMailRequests
from daemons.user_api.schema import DEVICES, REGISTRATIONS
from daemons.user_api.users.models import UserView
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import user_not_found

_MOST_RECORDS = 10_000


class MailedCodeView(WireModel):
    """That a code was mailed: what it is good for, where it went, and until when; not the code itself."""

    purpose: Purpose
    email: str
    created_at: Instant
    expires_at: Instant


class PersonalData(WireModel):
    """The user, their known devices, who tried their address, open codes, and the audit's records of them.

    Of staff who acted on them a record shows the role, not the name.
    """

    user: UserView
    second_factor: bool
    password_is_temporary: bool
    known_devices: int
    signed_in_at: Instant | None
    refused_registrations: list[Instant]
    mail_requests: list[MailedCodeView]
    records: list[dict[str, Any]]


class PersonalDataReader:
    """Gathers it."""

    def __init__(self, database: Database, audit: MongoAuditTrail) -> None:
        self._users = MongoUsers(database)
        self._devices = database[DEVICES]
        self._refused = database[REGISTRATIONS]
        self._requests = MongoMailRequests(database)
        self._audit = audit

    async def of(self, user_id: UUID) -> PersonalData:
        """Return all that is held about a user.

        Raises:
            NotFoundError: `user_not_found`.
            TransientError: `unavailable`.
        """
        user = await self._users.find(user_id)
        if user is None:
            raise user_not_found()
        me = str(user_id)
        with unavailable_on_fault():
            devices = await self._devices.count_documents({"user_id": user_id})
            refused = await self._refused.find({"user_id": user_id}).sort("at").to_list()
            done = await self._audit.page(AuditFilter(actor=me), before=None, limit=_MOST_RECORDS)
            suffered = await self._audit.page(AuditFilter(target=me), before=None, limit=_MOST_RECORDS)
        mailed = await self._requests.of_user(user_id, user.email)
        records = {record["seq"]: record for record in (*done, *suffered)}
        return PersonalData(
            user=UserView.of(user),
            second_factor=user.second_factor,
            password_is_temporary=user.password_is_temporary,
            known_devices=devices,
            signed_in_at=user.signed_in_at,
            mail_requests=[
                MailedCodeView(
                    purpose=one.purpose,
                    email=one.email,
                    created_at=one.created_at,
                    expires_at=one.expires_at,
                )
                for one in mailed
            ],
            refused_registrations=[one["at"] for one in refused],
            records=[_told(records[seq], me) for seq in sorted(records)],
        )


def _told(record: Fields, me: str) -> dict[str, Any]:
    shown = {name: record[name] for name in ("seq", "at", "action", "target", "reason", "before", "after")}
    if record["actor"]["user_id"] == me:
        return {**shown, "actor": record["actor"], "address": record["address"]}
    return {**shown, "actor": {"role": record["actor"]["role"]}}
