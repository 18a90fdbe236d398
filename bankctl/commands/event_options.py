"""The options that say which events, for `events tail` and `events history`, and filters kept by name."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import typer

from bankctl import invocation
from bankctl.client.bank import BankClient
from bankctl.client.event_filter import EventFilter
from bankctl.config import check_profile_name, load_config, load_profile, save_config
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit

Types = Annotated[
    str | None, typer.Option("--type", metavar="A,B", help="Only these types (see `events types`).")
]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="Only events that concern this account.")
]
OfUser = Annotated[
    str | None,
    typer.Option("--user", metavar="ID|EMAIL", help="Only events of this owner or that they asked for."),
]
AtLeast = Annotated[
    str | None,
    typer.Option(
        "--min-amount", metavar="AMOUNT", help="Only of at least this amount, in the event's own currency."
    ),
]
Failures = Annotated[bool, typer.Option("--failures", help="Only refused transactions.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only from then on: 2h, 7d, or a time.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="EVENT_ID", help="Begin with this event, by its id.")
]
Kept = Annotated[str | None, typer.Option("--filter", metavar="NAME", help="Start from a saved filter.")]
Save = Annotated[
    str | None, typer.Option("--save", metavar="NAME", help="Keep this filter in the profile under a name.")
]

filters = typer.Typer(
    help="""Filters of events that are kept in the profile.

Examples:
  bankctl events tail --failures --min-amount 1000 --save big-failures
  bankctl events tail --filter big-failures
  bankctl events filters list
"""
)


def chosen_filter(given: EventFilter, *, kept: str | None, save: str | None) -> EventFilter:
    """Return the filter of a command: what was given, on top of the one that was named; and keep it.

    Raises:
        CliError: something about it is wrong, or there is no filter of that name.
    """
    chosen = given.checked()
    if kept is not None:
        chosen = chosen.over(EventFilter.kept(_kept_filters().get(kept) or _unknown(kept))).checked()
    if save is not None:
        name = check_profile_name(save)
        _save({**_kept_filters(), name: chosen.document()})
        messages.success(f"filter {name} is kept: {chosen.words()}")
    return chosen


def with_user_id(bank: BankClient, chosen: EventFilter) -> EventFilter:
    """Return the filter with the user's id in place of an e-mail address.

    Raises:
        CliError: nobody has that address.
    """
    if chosen.user is None or _is_uuid(chosen.user):
        return chosen
    found = next(bank.users.list(email=chosen.user, limit=1), None)
    if found is None:
        raise CliError(
            f"there is no user {chosen.user}",
            exit_status=ExitStatus.NOT_FOUND,
            hint="`bankctl admin users` lists them",
            code="user_not_found",
        )
    return replace(chosen, user=str(found["id"]))


def checked_event_id(text: str) -> str:
    """Return an event's id as the bank writes it.

    Raises:
        CliError: it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise usage_error(
            f"{text!r} is not an event's id", hint="`bankctl events history` shows ids", code="invalid_id"
        ) from None


@filters.command("list")
def list_filters() -> None:
    """List the profile's filters.

    Examples:
      bankctl events filters list
    """
    rows = [
        {"name": name, "events": EventFilter.kept(kept).words(), **kept}
        for name, kept in sorted(_kept_filters().items())
    ]
    if not rows:
        messages.note("no filter is saved; `bankctl events tail --failures --save NAME` saves one")
    emit(rows, columns=[Column("name", "Filter"), Column("events", "Events")], title="Filters")


@filters.command("remove")
def remove_filter(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The filter's name.")],
) -> None:
    """Remove a filter from the profile.

    Examples:
      bankctl events filters remove big-failures
    """
    left = _kept_filters()
    left.pop(name, None) or _unknown(name)
    _save(left)
    messages.success(f"filter {name} is removed")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _kept_filters() -> dict[str, dict[str, Any]]:
    return {name: dict(kept) for name, kept in load_profile(invocation.current().profile).filters.items()}


def _save(kept: dict[str, dict[str, Any]]) -> None:
    profile, config = load_profile(invocation.current().profile), load_config()
    changed = replace(profile, filters=kept)
    save_config(replace(config, profiles={**config.profiles, profile.name: changed}))


def _unknown(name: str) -> Any:
    raise CliError(
        f"there is no filter {name!r} in this profile",
        exit_status=ExitStatus.NOT_FOUND,
        hint="`bankctl events filters list` shows them",
        code="filter_not_found",
    )
