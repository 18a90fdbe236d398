"""Which events are asked for, as people say it; the bank picks them by its indexes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from bankctl.errors import usage_error
from bankctl.money import parse_account, parse_amount
from bankctl.times import parse_since
from daemons.contracts.names import EventType

FAILURES = (EventType.TRANSACTION_FAILED,)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions that an event meets, all of them; what is None or False is not asked for.

    `types` are names separated by commas, `user` is an id or an e-mail address, `since` is a length of time
    before now (`2h`) or a time.
    """

    types: str | None = None
    account: str | None = None
    user: str | None = None
    min_amount: str | None = None
    failures: bool = False
    since: str | None = None

    def checked(self) -> Self:
        """Return it with every part in the form in which the bank takes it.

        Raises:
            CliError: a part is not what it should be.
        """
        types = checked_types(self.types)
        if self.failures and types and not set(types.split(",")).intersection(FAILURES):
            raise usage_error(
                f"--failures are events of type {FAILURES[0]}, which --type leaves out",
                hint="leave out one of the two",
            )
        if self.since is not None:
            parse_since(self.since)
        return replace(
            self,
            types=types,
            account=parse_account(self.account) if self.account else None,
            min_amount=parse_amount(self.min_amount) if self.min_amount else None,
        )

    def over(self, kept: Self) -> Self:
        """Return the kept filter with what this one says in its place."""
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
        return replace(kept, **given)

    def params(self) -> dict[str, Any]:
        """Return the query of a request."""
        return {
            "type": self.types,
            "account": self.account,
            "user": self.user,
            "min_amount": self.min_amount,
            "failures": "true" if self.failures else None,
            "since": None if self.since is None else parse_since(self.since),
        }

    def words(self) -> str:
        """Say in a few words which events these are."""
        kinds = (
            "failures" if self.failures else f"{self.types.replace(',', ', ')} events" if self.types else ""
        )
        parts = [
            kinds or "all events",
            f"of account {self.account}" if self.account else "",
            f"of user {self.user}" if self.user else "",
            f"of {self.min_amount} or more" if self.min_amount else "",
            f"since {self.since}" if self.since else "",
        ]
        return " ".join(part for part in parts if part)

    def document(self) -> dict[str, str | bool]:
        """Return what is kept of it in a profile."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}

    @classmethod
    def kept(cls, document: Mapping[str, Any]) -> Self:
        """Return the filter that a profile keeps.

        Raises:
            CliError: it holds something else.
        """
        known = {field.name: bool if field.name == "failures" else str for field in fields(cls)}
        if not all(isinstance(value, known.get(name, type(None))) for name, value in document.items()):
            raise usage_error(
                "the saved filter is not one that `--save` wrote",
                hint="`bankctl events filters remove NAME`, then save it again",
                code="invalid_filter",
            )
        return cls(**document).checked()


def checked_types(given: str | None) -> str | None:
    """Return the types that an option named, separated by commas.

    Raises:
        CliError: there is no such type.
    """
    if given is None:
        return None
    names = [name.strip() for name in given.split(",") if name.strip()]
    unknown = [name for name in names if name not in list(EventType)]
    if unknown or not names:
        raise usage_error(
            f"there is no event type {', '.join(unknown) or repr(given)}",
            hint=f"the types are {', '.join(EventType)}",
            code="unknown_event_type",
        )
    return ",".join(names)
