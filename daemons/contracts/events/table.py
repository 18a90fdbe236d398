"""The table of all events: a new one is a file beside this one, and a line in it."""

from daemons.contracts.events import (
    account_adjusted,
    account_changed,
    account_funded,
    transaction_completed,
    transaction_failed,
    user_changed,
    user_registered,
)
from daemons.contracts.events.account_adjusted import AccountAdjusted
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.events.account_funded import AccountFundedPayload
from daemons.contracts.events.contract import EventContract, EventModel
from daemons.contracts.events.transaction_completed import TransactionCompleted
from daemons.contracts.events.transaction_failed import TransactionFailed
from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.events.user_registered import UserRegistered
from daemons.contracts.names import EventType

EventData = (
    TransactionCompleted
    | TransactionFailed
    | AccountFundedPayload
    | AccountAdjusted
    | AccountChanged
    | UserRegistered
    | UserChanged
)

CONTRACTS: dict[EventType, EventContract] = {
    contract.event_type: contract
    for contract in (
        transaction_completed.CONTRACT,
        transaction_failed.CONTRACT,
        account_funded.CONTRACT,
        account_adjusted.CONTRACT,
        account_changed.CONTRACT,
        user_registered.CONTRACT,
        user_changed.CONTRACT,
    )
}

DATA_MODELS: dict[EventType, type[EventModel]] = {
    event_type: contract.model for event_type, contract in CONTRACTS.items()
}

JOURNAL_EVENT_TYPES = (
    EventType.TRANSACTION_COMPLETED,
    EventType.TRANSACTION_FAILED,
    EventType.ACCOUNT_FUNDED,
    EventType.ACCOUNT_ADJUSTED,
)
"""The types of which each journal transaction has exactly one, under the transaction's own id."""
