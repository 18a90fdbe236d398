"""API keys: made, listed, revoked by their owners; verified on every request that brings one."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from daemons.contracts.errors import TransientError
from daemons.contracts.internal import KeyBudget
from daemons.contracts.permissions import Permission
from daemons.contracts.vocabulary import API_KEY_PREFIX
from daemons.contracts.wire import format_instant
from daemons.shared.approvals.approval import Approval, approval_outdated
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import APPROVING, GuardedAct
from daemons.shared.audit.record import Actor, Origin
from daemons.shared.audit.trail import log_act
from daemons.shared.auth.api_keys import api_key_digest
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.user_api.api_keys.api_key import (
    MAXIMUM_KEYS,
    ApiKey,
    api_key_not_found,
    check_budget,
    check_end,
    check_scopes,
    check_unconfirmed,
    too_many_api_keys,
)
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.second_factor.service import FactorProof
from daemons.user_api.security_events import USER, SecurityEvent, acting, event_of
from daemons.user_api.sessions.service import LivingSessions
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.passwords import PasswordConfirmation
from daemons.user_api.users.service import Users
from daemons.user_api.users.user import User

_log = structlog.get_logger()
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key with its text, which leaves the daemon this once."""

    key: ApiKey
    text: str = field(repr=False)
    waits_for: Approval | None = None
    """The request that another person must approve first; the key is not stored until then."""


class ApiKeys:
    """What users do with their own keys."""

    def __init__(
        self,
        work: UserWork,
        store: MongoApiKeys,
        users: Users,
        passwords: PasswordConfirmation,
        proof: FactorProof,
        *,
        approvals: Approvals,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._users = users
        self._passwords = passwords
        self._proof = proof
        self._approvals = approvals
        self._clock = clock
        approvals.carry_out_by({GuardedAct.CREATE_API_KEY: self._create_approved})

    async def create(
        self,
        caller: Caller,
        *,
        password: str,
        code: str | None,
        name: str,
        scopes: Collection[Permission],
        ends: datetime | timedelta,
        budget: KeyBudget | None,
        origin: Origin,
    ) -> MadeKey:
        """Make a key for some of what the caller may do; password and second factor are asked again.

        A key that may approve takes two people: it is good for nothing until another admin has approved it.

        Raises:
            InvalidRequestError: `invalid_request`, the caller's role does not hold a scope, the budget does
                not bound one, or the end is too early or too late.
            UnauthenticatedError: `invalid_credentials`; `totp_required`, `invalid_totp`.
            ConflictError: `too_many_api_keys`; `totp_not_active`, the key is to pay unconfirmed.
            TransientError: `rate_limited`, `overloaded` or `unavailable`, or the user was changed just now.
        """
        user = await self._users.find(caller.user_id)
        bounds = check_scopes(scopes, user.role)
        check_budget(budget, bounds)
        check_unconfirmed(bounds, budget, second_factor=user.second_factor)
        now = self._clock()
        expires_at = check_end(ends, now)
        await self._passwords.confirm(user, password, origin=origin)
        if user.second_factor:
            await self._proof.confirm(user, code, origin=origin)
        key = ApiKey(
            id=new_id(),
            user_id=user.id,
            name=name,
            scopes=bounds,
            created_at=now,
            expires_at=expires_at,
            budget=budget,
        )
        text = API_KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
        actor, digest = acting(caller, origin), api_key_digest(text)
        if bounds & APPROVING and self._approvals.policy.needs_approval(GuardedAct.CREATE_API_KEY):
            asked = key.audit_fields() | {
                "created_at": format_instant(now),
                "digest": digest,
                "user_version": user.version,
            }
            return MadeKey(key, text, await self._ask(actor, user.id, asked))
        entry = event_of(now, actor, SecurityEvent.CREATE_API_KEY, user.id, after=key.audit_fields())
        async for attempt in self._work.attempts():
            async with attempt as tx:
                # Two that are made at once conflict at the user, so that both are counted.
                if not await tx.users.hold(user, key_made_at=now):
                    raise TransientError(
                        "unavailable", "The user was just changed; try again.", retry_after_seconds=1
                    )
                await _add(tx, user, key, digest, now)
                tx.audit(entry)
        _log.info("API key made", user_id=str(user.id), key_id=str(key.id), scopes=sorted(bounds))
        return MadeKey(key, text)

    async def _ask(self, actor: Actor, user_id: UUID, asked: dict[str, Any]) -> Approval:
        reason = f"API key {asked['name']}"
        target = (USER, str(user_id))
        return await self._approvals.request(
            actor, GuardedAct.CREATE_API_KEY, target=target, reason=reason, parameters=asked
        )

    async def _create_approved(self, approval: Approval, by: Actor) -> None:
        """Make the key that somebody has asked for, in the approver's name.

        Raises:
            ConflictError: `approval_decided`, `approval_withdrawn`, `too_many_api_keys`, or
                `approval_outdated`: its user signs in otherwise now, or their sessions and keys were ended.
        """
        asked, now = approval.parameters, self._clock()
        key = ApiKey(
            id=UUID(asked["key_id"]),
            user_id=approval.requester_id,
            name=asked["name"],
            scopes=frozenset(map(Permission, asked["scopes"])),
            created_at=datetime.fromisoformat(asked["created_at"]),
            expires_at=datetime.fromisoformat(asked["expires_at"]),
            budget=None if asked.get("budget") is None else KeyBudget.model_validate(asked["budget"]),
        )
        entry = replace(
            event_of(now, by, SecurityEvent.CREATE_API_KEY, key.user_id, after=key.audit_fields()),
            reason=approval.reason,
            approval=approval.audit_fields(),
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                user = await tx.users.get(key.user_id)
                if user.version != asked["user_version"]:
                    raise approval_outdated("How its user signs in")
                await self._approvals.mark_approved(approval, by, outcome=None, session=tx.session)
                await _add(tx, user, key, asked["digest"], now)
                tx.audit(entry)
        log_act(entry)

    async def list_of(self, user_id: UUID) -> list[ApiKey]:
        """Return the user's keys that have not expired, newest first."""
        now = self._clock()
        return [key for key in await self._store.list_of(user_id) if key.lives(now)]

    async def revoke(self, caller: Caller, key_id: UUID, *, origin: Origin) -> None:
        """Revoke one of the caller's keys, at once for user_api and within seconds elsewhere.

        Raises:
            NotFoundError: `api_key_not_found`, also for a key of somebody else.
            TransientError: `unavailable`.
        """
        actor, now = acting(caller, origin), self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                key = await tx.api_keys.remove(key_id, user_id=caller.user_id)
                if key is None:
                    raise api_key_not_found()
                await tx.access.changed(caller.user_id)
                revoked, before = SecurityEvent.REVOKE_API_KEY, key.audit_fields()
                tx.audit(event_of(now, actor, revoked, caller.user_id, before=before))
        _log.info("API key revoked", user_id=str(caller.user_id), key_id=str(key_id))


async def _add(tx: UserTransaction, user: User, key: ApiKey, digest: str, now: datetime) -> None:
    if await tx.api_keys.count_living(user.id, now) >= MAXIMUM_KEYS:
        raise too_many_api_keys()
    await tx.api_keys.insert(key, digest)
    scopes = ", ".join(sorted(key.scopes))
    await notify(tx, user, Template.NEW_API_KEY, now, key_name=key.name, scopes=scopes)


class GoodKeys:
    """Whether API keys are good: asked on every request here, and by the other daemons for many at a time."""

    def __init__(self, store: MongoApiKeys, sessions: LivingSessions, *, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock

    async def verify(self, digest: str) -> Caller | None:
        """Return the caller whom the key stands for, and keep that it was used; None if it is not good.

        Raises:
            TransientError: `unavailable`; unknown at the moment.
        """
        found = await self._store.find_with_user(digest)
        good = await self.keep_good({digest: found} if found else {})
        return self.caller(digest, *good[digest]) if good else None

    async def keep_good(self, found: Mapping[str, tuple[ApiKey, User]]) -> dict[str, tuple[ApiKey, User]]:
        """Return those keys that are good, by their digests, and keep that they were used.

        Raises:
            TransientError: `unavailable`.
        """
        now = self._clock()
        good = {
            digest: (key, user) for digest, (key, user) in found.items() if not user.locked and key.lives(now)
        }
        await self._store.renew_last_use((key for key, _ in good.values()), now)
        return good

    def caller(self, digest: str, key: ApiKey, user: User) -> Caller:
        """Return the caller whom a good key stands for."""
        bounds = self._sessions.scopes_of(user)
        scopes = key.scopes | {Permission.SIGNED_IN}
        return Caller(
            user_id=user.id,
            session_id=key.id,
            role=user.role,
            display_name=user.display_name,
            scopes=scopes if bounds is None else scopes & bounds,
            key_digest=digest,
            budget=key.budget,
        )
