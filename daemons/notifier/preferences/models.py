"""What the routes of preferences take and answer."""

from datetime import time
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints

from daemons.contracts.names import Language, NoticeType
from daemons.contracts.wire import CurrencyCode, DecimalText, WireModel
from daemons.notifier.preferences.preferences import Preferences, QuietHours

_MOST_CURRENCIES = 50
ClockTime = Annotated[
    str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"), Field(examples=["22:00"])
]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone, such as Europe/Prague") from None
    return name


Zone = Annotated[str, Field(max_length=64, examples=["Europe/Prague"]), AfterValidator(_known_zone)]


def _not_negative(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("must not be negative")
    return text


Threshold = Annotated[DecimalText, AfterValidator(_not_negative)]
NoticeName = Annotated[NoticeType, Field(strict=False)]
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,19}$")]


class QuietHoursView(WireModel):
    """From when until when nothing goes out that can wait; may pass midnight."""

    begin: ClockTime
    end: ClockTime

    @property
    def hours(self) -> QuietHours:
        """The hours themselves."""
        return QuietHours(time.fromisoformat(self.begin), time.fromisoformat(self.end))


class PreferencesView(WireModel):
    """What the user wants to hear of; `security` goes out whatever stands here."""

    events: list[NoticeName]
    channels: list[str]
    available_channels: list[str]
    thresholds: dict[CurrencyCode, DecimalText]
    quiet_hours: QuietHoursView | None
    zone: str
    language: Annotated[Language, Field(strict=False)]


class PreferencesChange(WireModel):
    """What is to be different; what is not named stays. `quiet_hours: null` ends them."""

    events: Annotated[list[NoticeName], Field(max_length=len(NoticeType))] | None = None
    channels: Annotated[list[ChannelName], Field(max_length=20)] | None = None
    thresholds: Annotated[dict[CurrencyCode, Threshold], Field(max_length=_MOST_CURRENCIES)] | None = None
    quiet_hours: QuietHoursView | None = None
    zone: Zone | None = None
    language: Annotated[Language, Field(strict=False)] | None = None

    def applied_to(self, before: Preferences) -> Preferences:
        """Return the preferences after the change."""
        quiet = before.quiet_hours
        if "quiet_hours" in self.model_fields_set:
            quiet = None if self.quiet_hours is None else self.quiet_hours.hours
        return Preferences(
            events=before.events if self.events is None else frozenset(self.events),
            channels=before.channels if self.channels is None else frozenset(self.channels),
            thresholds=before.thresholds
            if self.thresholds is None
            else {currency: Decimal(amount) for currency, amount in self.thresholds.items()},
            quiet_hours=quiet,
            zone=self.zone or before.zone,
            language=self.language or before.language,
        )


class UnsubscribeQuery(WireModel):
    """`?token=`: the signed link."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


def view_preferences(preferences: Preferences, *, channels: list[str]) -> PreferencesView:
    """Show preferences."""
    quiet = preferences.quiet_hours
    return PreferencesView(
        events=sorted(preferences.events),
        channels=sorted(preferences.channels),
        available_channels=channels,
        thresholds={currency: f"{amount:f}" for currency, amount in sorted(preferences.thresholds.items())},
        quiet_hours=None
        if quiet is None
        else QuietHoursView(begin=f"{quiet.begin:%H:%M}", end=f"{quiet.end:%H:%M}"),
        zone=preferences.zone,
        language=preferences.language,
    )
