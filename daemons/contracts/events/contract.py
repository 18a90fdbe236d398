"""What is agreed on an event: its type, version, model, key and example; and the parts that events share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints

from daemons.contracts.names import EventType
from daemons.contracts.wire import Instant, MoneyView, UuidText, WireModel

_LARGEST_INT64 = 2**63 - 1
KindText = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,39}$"), Field(examples=["transfer"])]
"""The kind of a transaction, as banking_api's table of kinds names it.

It is open: consumers show kinds that they do not know by their `description`, and set no event aside for one.
"""
Sequence = Annotated[int, Field(ge=0, le=_LARGEST_INT64)]
"""An account's own number of what happened to it."""
Version = Annotated[int, Field(ge=1, le=_LARGEST_INT64)]
"""Which of two states of a thing is the newer one."""


class UserReference(WireModel):
    """A user, with the name people know them by."""

    user_id: UuidText
    display_name: str | None = None


class Party(WireModel):
    """One side of a transaction. `sequence` is null where the account was not touched."""

    account_id: str
    owner: UserReference | None
    sequence: Sequence | None


class FailureView(WireModel):
    """Why a business rule refused a transaction: a stable code and a sentence for people."""

    code: str
    detail: str


class EventModel(WireModel):
    """The data of an event: who did it and when, and what readers look for it by."""

    initiated_by: UserReference | None
    occurred_at: Instant

    def parties(self) -> Iterable[Party]:
        """Return the accounts that the event speaks of, and whose they are."""
        return ()

    def moved(self) -> MoneyView | None:
        """Return the amount of a transaction, moved or refused."""
        return None

    def customers(self) -> Iterable[str]:
        """Return the ids of the users whose event it is: the owners of its accounts; some twice."""
        return [party.owner.user_id for party in self.parties() if party.owner is not None]

    def users(self) -> Iterable[str]:
        """Return the ids of the users that the event speaks of, as owners and as who did it; some twice."""
        done_by = () if self.initiated_by is None else (self.initiated_by.user_id,)
        return (*self.customers(), *done_by)


class AccountEvent(EventModel):
    """The data of an event of accounts and money, which is always done by somebody who is signed in."""

    initiated_by: UserReference


class TransactionEvent(AccountEvent):
    """What was asked for between two accounts, whatever came of it; outside is the bank's settlement account.

    `description` says what kind, parties and reference do not, null if there is nothing to say.
    """

    transaction_id: UuidText
    kind: KindText
    description: str | None
    amount: MoneyView
    sender: Party
    receiver: Party
    reference: str | None

    def parties(self) -> Iterable[Party]:
        """Return sender and receiver."""
        return self.sender, self.receiver

    def moved(self) -> MoneyView:
        """Return the amount that was asked for."""
        return self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContract:
    """What publishers and consumers of one type of event rely on.

    A changed model is a new version, and must read every earlier version's events: fields are added with a
    default and never taken away (tests/guards/test_event_versions.py).
    """

    event_type: EventType
    version: int
    model: type[EventModel]
    summary: str
    """When it is published, in a few words."""
    key: str
    """What the key of its records is."""
    example: EventModel

    @property
    def schema_id(self) -> str:
        """The name of the JSON Schema of this version."""
        return f"urn:bankctl:event:{self.event_type.value}:{self.version}"


ANN = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8057", display_name="Ann Berg")
BO = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8058", display_name="Bo Chen")
OLGA = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8059", display_name="Olga Okoye")
"""Who appears in examples; Olga is an operator."""
