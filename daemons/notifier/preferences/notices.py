"""Whom an event concerns, and as what."""

from collections.abc import Iterator
from dataclasses import dataclass

from daemons.contracts.events.account_adjusted import AccountAdjusted
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.events.account_funded import AccountFundedPayload
from daemons.contracts.events.contract import Party
from daemons.contracts.events.table import EventData
from daemons.contracts.events.transaction_completed import TransactionCompleted
from daemons.contracts.events.transaction_failed import TransactionFailed
from daemons.contracts.names import Direction, NoticeType
from daemons.contracts.wire import MoneyView

SECURITY_CHANGES = frozenset({"frozen", "unfrozen", "closed"})


@dataclass(frozen=True, slots=True)
class Notice:
    """An event as it concerns one user, by the account that it is about."""

    user_id: str
    type: NoticeType
    account_id: str
    amount: MoneyView | None = None


def notices_in(data: EventData) -> list[Notice]:
    """Return whom an event concerns, each user once: who pays before who gets."""
    found: dict[str, Notice] = {}
    for notice in _notices(data):
        found.setdefault(notice.user_id, notice)
    return list(found.values())


def _notices(data: EventData) -> Iterator[Notice]:
    match data:
        case TransactionCompleted():
            yield from _of(data.sender, NoticeType.MONEY_OUT, data.amount)
            yield from _of(data.receiver, NoticeType.MONEY_IN, data.amount)
        case TransactionFailed():
            yield from _of(data.sender, NoticeType.REFUSED, data.amount)
        case AccountFundedPayload():
            yield from _of(data.receiver, NoticeType.MONEY_IN, data.amount)
        case AccountAdjusted():
            is_credit = data.direction == Direction.CREDIT
            yield from _of(
                data.account, NoticeType.MONEY_IN if is_credit else NoticeType.MONEY_OUT, data.amount
            )
        case AccountChanged():
            is_security = data.change in SECURITY_CHANGES
            notice = NoticeType.SECURITY if is_security else NoticeType.ACCOUNT_CHANGED
            yield Notice(data.owner.user_id, notice, data.account_id)


def _of(party: Party, notice: NoticeType, amount: MoneyView) -> Iterator[Notice]:
    if party.owner is not None:
        yield Notice(party.owner.user_id, notice, party.account_id, amount)
