"""What a user wants to hear of. Security notices go out whatever they say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from daemons.contracts.names import Language, NoticeType
from daemons.contracts.wire import MoneyView

EMAIL = "email"
DEFAULT_EVENTS = frozenset({NoticeType.REFUSED, NoticeType.ACCOUNT_CHANGED})
"""Of their everyday payments people hear once they ask for it."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From when until when nothing goes out that can wait, by the user's clock; may pass midnight."""

    begin: time
    end: time

    def end_after(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """Return when the quiet hours that hold now are over, None if none are."""
        local = now.astimezone(zone)
        clock = local.time()
        if self.begin <= self.end:
            inside, days = self.begin <= clock < self.end, 0
        else:
            inside, days = clock >= self.begin or clock < self.end, 1 if clock >= self.begin else 0
        if not inside:
            return None
        day = local.date() + timedelta(days=days)
        return datetime.combine(day, self.end, zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Preferences:
    """Of one user. Payments below the threshold of their currency are not told of."""

    events: frozenset[NoticeType] = DEFAULT_EVENTS
    channels: frozenset[str] = frozenset({EMAIL})
    thresholds: Mapping[str, Decimal] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    zone: str = "UTC"
    language: Language = Language.ENGLISH

    def channels_for(self, notice: NoticeType, amount: MoneyView | None) -> frozenset[str]:
        """Return the channels over which the user hears of something."""
        if notice is NoticeType.SECURITY:
            return self.channels | {EMAIL}
        if notice not in self.events:
            return frozenset()
        if amount is not None and Decimal(amount.amount) < self.thresholds.get(amount.currency, 0):
            return frozenset()
        return self.channels

    def quiet_until(self, now: datetime) -> datetime | None:
        """Return until when the user wants to be left alone, None if they do not now."""
        return None if self.quiet_hours is None else self.quiet_hours.end_after(now, ZoneInfo(self.zone))
