"""What the texts about an event say, for the user it concerns."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_currency

from daemons.contracts.events.account_adjusted import AccountAdjusted
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.events.account_funded import AccountFundedPayload
from daemons.contracts.events.contract import Party
from daemons.contracts.events.table import EventData
from daemons.contracts.events.transaction_completed import TransactionCompleted
from daemons.contracts.events.transaction_failed import TransactionFailed
from daemons.contracts.names import Language, NoticeType
from daemons.contracts.wire import MoneyView
from daemons.notifier.preferences.notices import Notice
from daemons.notifier.preferences.preferences import Preferences

_AMOUNT = "#,##0.00\u00a0¤¤"
"""Digits as the language groups them, then the currency's code, as the bank writes amounts everywhere."""


def template_of(notice: Notice, data: EventData) -> str:
    """Return the name of the text that tells a user of the event."""
    if isinstance(data, AccountChanged):
        return f"account_{data.change}"
    return notice.type.value


def values_of(notice: Notice, data: EventData, preferences: Preferences) -> dict[str, str]:
    """Return what the text is filled with, in the user's language and zone."""
    language = preferences.language
    values = {
        "account": notice.account_id,
        "time": instant_text(data.occurred_at, preferences),
        "amount": "" if notice.amount is None else money_text(notice.amount, language),
    }
    match data:
        case TransactionCompleted() | TransactionFailed():
            is_receiver = notice.type is NoticeType.MONEY_IN
            values |= {
                "other": _party(data.sender if is_receiver else data.receiver),
                "description": data.description or "",
                "reference": data.reference or "",
                "transaction": data.transaction_id,
            }
            if isinstance(data, TransactionFailed):
                values["reason"] = data.failure.detail
        case AccountFundedPayload():
            values |= {
                "other": "",
                "description": "",
                "reference": data.reference or "",
                "transaction": data.transaction_id,
            }
        case AccountAdjusted():
            values |= {
                "other": "",
                "description": data.reason,
                "reference": "",
                "transaction": data.transaction_id,
            }
        case AccountChanged():
            values |= {"currency": data.currency, "reason": data.reason or ""}
    return values


def money_text(amount: MoneyView, language: Language) -> str:
    """Write an amount as people of the language do."""
    return format_currency(Decimal(amount.amount), amount.currency, _AMOUNT, locale=language.value)


def instant_text(instant: datetime, preferences: Preferences) -> str:
    """Write a time by the user's clock, with its zone."""
    local = instant.astimezone(ZoneInfo(preferences.zone))
    written = format_datetime(local, "medium", tzinfo=local.tzinfo, locale=preferences.language.value)
    return f"{written} ({preferences.zone})"


def _party(party: Party) -> str:
    if not party.account_id.isdigit():
        return ""
    if party.owner is None or party.owner.display_name is None:
        return party.account_id
    return f"{party.owner.display_name} ({party.account_id})"
