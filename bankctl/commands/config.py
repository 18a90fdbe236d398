"""config list, get, set, copy, use."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bankctl import invocation
from bankctl.config import (
    check_profile_name,
    chosen_profile_name,
    config_file,
    load_config,
    load_profile,
    save_config,
    upsert_profile,
)
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit

app = typer.Typer(
    help="""Profiles: which bank to talk to.

Examples:
  bankctl config list
  bankctl config set url https://bank.example --profile work
  bankctl config use work
"""
)


class Setting(StrEnum):
    """The settings of a profile."""

    URL = "url"
    CA_FILE = "ca_file"


Name = Annotated[Setting, typer.Argument(metavar="SETTING", help="url or ca_file.")]


@app.command("list")
def list_profiles() -> None:
    """List the profiles; the one in use is marked.

    Examples:
      bankctl config list
      bankctl config list -o json
    """
    used = chosen_profile_name(invocation.current().profile)
    rows = [
        {
            "name": profile.name,
            "used": profile.name == used,
            "url": profile.url,
            "ca_file": str(profile.ca_file) if profile.ca_file else None,
        }
        for profile in load_config().profiles.values()
    ]
    if not rows:
        messages.note(f"no profile yet in {config_file()}; `bankctl dev up` creates one")
    columns = [
        Column("name", "Profile"),
        Column("used", "In use"),
        Column("url", "URL"),
        Column("ca_file", "Certificate"),
    ]
    emit(rows, columns=columns, title="Profiles")


@app.command("get")
def get_setting(name: Name) -> None:
    """Print one setting of the profile in use.

    Examples:
      bankctl config get url
      bankctl config get ca_file --profile work
    """
    profile = load_profile(invocation.current().profile)
    value = profile.url if name is Setting.URL else str(profile.ca_file or "")
    if invocation.current().machine_readable:
        emit({str(name): value or None})
    else:
        emit(value)


@app.command("set")
def set_setting(
    name: Name, value: Annotated[str, typer.Argument(metavar="VALUE", help="An empty value removes ca_file.")]
) -> None:
    """Change a setting of a profile; setting the url creates the profile if it does not exist.

    Examples:
      bankctl config set url https://bank.example --profile work
      bankctl config set ca_file ~/bank-root.crt --profile work
    """
    chosen = chosen_profile_name(invocation.current().profile)
    if chosen is None:
        raise usage_error("name the profile with --profile NAME", code="no_profile")
    chosen = check_profile_name(chosen)
    known = load_config().profiles.get(chosen)
    if name is Setting.URL:
        upsert_profile(chosen, url=value, ca_file=known.ca_file if known else None)
    elif known is None:
        raise usage_error(f"there is no profile {chosen!r} yet", hint="set its url first", code="no_profile")
    else:
        ca_file = Path(value).expanduser() if value else None
        if ca_file is not None and not ca_file.is_file():
            raise usage_error(f"{ca_file} is not a file", code="no_such_file")
        upsert_profile(chosen, url=known.url, ca_file=ca_file)
    messages.success(f"profile {chosen}: {name} is set")


@app.command("copy")
def copy_profile(
    source: Annotated[str, typer.Argument(metavar="FROM", help="An existing profile.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The new profile.")],
) -> None:
    """Create a profile for another person at the same bank; each profile has its own session.

    Examples:
      bankctl config copy local olga
      bankctl login --profile olga --email olga@example.com
    """
    known = load_profile(source)
    if target in load_config().profiles:
        raise CliError(
            f"profile {target!r} already exists",
            exit_status=ExitStatus.CONFLICT,
            hint="choose another name; `bankctl config list` shows those in use",
            code="profile_exists",
        )
    upsert_profile(target, url=known.url, ca_file=known.ca_file)
    messages.success(f"profile {target} talks to {known.url}; next: `bankctl login --profile {target}`")


@app.command("use")
def use_profile(
    name: Annotated[str, typer.Argument(metavar="PROFILE", help="The default profile.")],
) -> None:
    """Set the profile to use by default.

    Examples:
      bankctl config use work
    """
    config = load_config()
    if name not in config.profiles:
        raise CliError(
            f"there is no profile {name!r}",
            exit_status=ExitStatus.USAGE,
            hint="`bankctl config list` shows them",
            code="unknown_profile",
        )
    save_config(type(config)(default_profile=name, profiles=config.profiles))
    messages.success(f"using {name}")
