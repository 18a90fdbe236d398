"""dev up, down, status, logs, mail, reset, env, create-operator: a whole bank on this machine."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from bankctl import invocation, prompts
from bankctl.auth.session import how_to_log_in
from bankctl.config import move_profiles, upsert_profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.local.display import shown_progress
from bankctl.local.follow import Follower, last_lines
from bankctl.local.mail import await_mail
from bankctl.local.plan import ALL_PARTS, SERVERS
from bankctl.local.settings import DEFAULT_STACK, PortChoice
from bankctl.local.shell import create_user
from bankctl.local.stack import Stack, Wishes
from bankctl.local.status import StackStatus
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit, emit_event, emit_line, emit_text
from bankctl.render.text import clean, clean_lines, displayable
from bankctl.streams import end_with_reader
from daemons.contracts.names import Daemon
from daemons.contracts.permissions import Role

app = typer.Typer(
    help="""A whole bank on this machine: MongoDB, Kafka, the gateway and the three daemons, without Docker.

Examples:
  bankctl dev up
  bankctl dev create-operator --email op@example.com --display-name Operator
  bankctl dev status
  bankctl dev down
"""
)

_PART_COLUMNS = [
    Column("name", "Part"),
    Column("health", "Health"),
    Column("pid", "Pid", "right", rank=2),
    Column("port", "Port", "right", rank=1),
    Column("restarts", "Restarts", "right", rank=3),
    Column("data", "Data", rank=4),
    Column("detail", "Detail"),
]


_MAIL_COLUMNS = [
    Column("id", "Mail"),
    Column("received_at", "Received", rank=1),
    Column("to", "To"),
    Column("subject", "Subject"),
]
_MAIL_LISTED = ("id", "received_at", "from", "to", "subject", "message_id")


class PartName(StrEnum):
    """Parts that write a log."""

    MONGOD = "mongod"
    KAFKA = "kafka"
    GATEWAY = "gateway"
    MAIL = "mail"
    CACHE = "cache"
    USER_API = Daemon.USER_API.value
    BANKING_API = Daemon.BANKING_API.value
    NOTIFIER = Daemon.NOTIFIER.value
    SUPERVISOR = "supervisor"


class StaffRole(StrEnum):
    """The roles that are given from the shell."""

    OPERATOR = Role.OPERATOR.value
    SUPPORT = Role.SUPPORT.value
    ADMIN = Role.ADMIN.value


StackName = Annotated[
    str, typer.Option("--stack", metavar="NAME", help="Which stack; its profile has the same name.")
]


@app.command()
def up(
    *,
    stack: StackName = DEFAULT_STACK,
    ports: Annotated[
        PortChoice | None,
        typer.Option("--ports", help="auto: any free ports, chosen once and kept."),
    ] = None,
    port: Annotated[
        list[str] | None,
        typer.Option("--port", metavar="PART=NUMBER", help="The port of one part; may be repeated."),
    ] = None,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Without the daemons, to run them by hand (see `dev env`).")
    ] = False,
) -> None:
    """Start the bank and wait until all of it is ready; parts that already run are left alone.

    Examples:
      bankctl dev up
      bankctl dev up --stack second --ports auto
      bankctl dev up --port gateway=9443
      MONGO_URI=mongodb://127.0.0.1:27017/?replicaSet=rs0 bankctl dev up

    If MONGO_URI, KAFKA_BROKER, SMTP_HOST or CACHE_URI is set, that server is used instead of starting
    one. The first start fetches Kafka (45 MB). Afterwards the profile named after the stack talks to this
    bank.
    STAFF_POLICY names the file that says which acts wait for a second person; see docs/settings.md.
    """
    local = Stack.load(stack)
    wishes = Wishes(SERVERS if servers_only else ALL_PARTS, ports, _numbers(port or []))
    with shown_progress() as progress:
        started = local.up(progress, wishes)
    moved = move_profiles(local.layout.certificate, url=started.url)
    upsert_profile(stack, url=started.url, ca_file=local.layout.certificate)
    if moved:
        messages.note(f"these profiles talk to the new port from now on: {', '.join(moved)}")
    status_now = local.status()
    _show(status_now)
    if started.changed and not servers_only:
        messages.note(_two_people(stack))
    if started.changed:
        messages.success(f"the bank serves at {started.url} after {started.seconds:.1f} s")
    else:
        messages.success(f"the bank runs already at {started.url}; nothing was changed")


@app.command()
def down(*, stack: StackName = DEFAULT_STACK) -> None:
    """Stop the bank; its data stays.

    Examples:
      bankctl dev down
      bankctl dev down --stack second

    The daemons finish their current work; then the gateway and the servers stop.
    """
    if Stack.load(stack).down():
        messages.success("everything is stopped; the data is kept")
    else:
        messages.success("nothing ran")


@app.command()
def status(*, stack: StackName = DEFAULT_STACK) -> None:
    """Show every part: process, port, health and data folder; exits 1 unless all are healthy.

    Examples:
      bankctl dev status
      bankctl dev status -o json --query "parts[?health!='healthy']"
    """
    found = Stack.load(stack).status()
    _show(found)
    if not found.parts:
        messages.note(f"there is no stack '{stack}' yet; start it: `bankctl dev up{_option(stack)}`")
    elif found.supervisor_pid is None:
        messages.note(f"it does not run; start it: `bankctl dev up{_option(stack)}`")
    elif not found.well:
        unwell = next(part for part in found.parts if not part.well)
        messages.note(f"{unwell.name} is not healthy; see `bankctl dev logs {unwell.name}{_option(stack)}`")
    if not found.well:
        raise typer.Exit(ExitStatus.UNEXPECTED)


@app.command()
def logs(
    *,
    part: Annotated[PartName | None, typer.Argument(metavar="PART", help="The part; all without it.")] = None,
    stack: StackName = DEFAULT_STACK,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines from the end.")] = 20,
) -> None:
    """Show the logs of the parts.

    Examples:
      bankctl dev logs
      bankctl dev logs banking_api --lines 100
      bankctl dev logs notifier --follow
    """
    local = Stack.load(stack)
    _ = local.settings
    names = [part.value] if part else ["supervisor", *ALL_PARTS]
    files = [(name, local.layout.log(name)) for name in names]
    follower = Follower(files) if follow else None
    found = [{"part": name, "line": line} for name, file in files for line in last_lines(file, lines)]
    machine_readable = invocation.current().machine_readable
    if machine_readable and not follower:
        emit(found)
        return
    for entry in found:
        _write_line(entry, named=part is None)
    if follower:
        with end_with_reader():
            for name, line in follower:
                _write_line({"part": name, "line": line}, named=part is None)


@app.command()
def mail(
    *,
    message: Annotated[
        str | None, typer.Argument(metavar="[MAIL]", help="Show one: its id, or `last` for the newest.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="Only mail to it.")] = None,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long for the first one.")
    ] = 0,
    stack: StackName = DEFAULT_STACK,
) -> None:
    """List or show the mail that the stack's catcher holds; it keeps the last 1,000 and sends none on.

    Examples:
      bankctl dev mail
      bankctl dev mail last --to alice@example.com --wait 10
      bankctl dev mail last --to alice@example.com --query text

    Exits 3 if there is none. If SMTP_HOST was set when the stack was started, mail goes to that relay.
    """
    local = Stack.load(stack)
    _ = local.settings
    found = await_mail(local.layout, to=to, wait_seconds=wait)
    if message is None:
        emit(
            [{name: one[name] for name in _MAIL_LISTED} for one in found], columns=_MAIL_COLUMNS, title="Mail"
        )
        if wait and not found:
            raise _no_mail(to)
        return
    chosen = next((one for one in found if message in {"last", one["id"]}), None)
    if chosen is None:
        raise _no_mail(to)
    run = invocation.current()
    if run.query is not None or run.output is not OutputFormat.TABLE:
        emit(chosen, columns=[*_MAIL_COLUMNS, Column("text", "Text")])
        return
    emit(chosen, columns=_MAIL_COLUMNS)
    emit_text("\n" + displayable(clean_lines(chosen["text"]), sys.stdout))


@app.command()
def reset(*, stack: StackName = DEFAULT_STACK) -> None:
    """Stop the bank and delete all its data: accounts, transactions, events, certificates.

    Examples:
      bankctl dev reset
      bankctl dev reset --stack second --yes
    """
    local = Stack.load(stack)
    prompts.confirm(f"Delete the stack '{stack}' with all its data in {local.layout.root}?")
    if local.reset():
        messages.success(f"the stack '{stack}' and its data are deleted")
    else:
        messages.success(f"there is no stack '{stack}'; nothing was deleted")


@app.command()
def env(
    *,
    daemon: Annotated[
        Daemon, typer.Argument(metavar="DAEMON", help="Whose: user_api, banking_api or notifier.")
    ],
    stack: StackName = DEFAULT_STACK,
) -> None:
    """Print the environment of a daemon, to run it by hand. It holds the stack's secret.

    Examples:
      bankctl dev up --servers-only
      eval "$(bankctl dev env user_api)" && python -m daemons.user_api
    """
    variables = Stack.load(stack).environment(daemon.value)
    if invocation.current().machine_readable:
        emit(variables)
    else:
        emit_text("\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))


@app.command(name="create-operator")
def create_operator(
    *,
    email: Annotated[
        str, typer.Option("--email", metavar="ADDRESS", help="The e-mail address to log in with.")
    ],
    display_name: Annotated[str, typer.Option("--display-name", help="The name as others see it.")],
    role: Annotated[StaffRole, typer.Option("--role", help="What the user may do.")] = StaffRole.OPERATOR,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
    stack: StackName = DEFAULT_STACK,
) -> None:
    r"""Create a user with a role, from the server's shell; nobody gets a role by registering.

    Examples:
      bankctl dev create-operator --email op@example.com --display-name Operator
      printf '%s\n' "$PASSWORD" | bankctl dev create-operator --email ada@example.com --display-name Ada \
        --role admin --password-stdin

    The password counts once: `bankctl auth change-password` comes before anything else.
    """
    local = Stack.load(stack)
    _ = local.settings
    password = prompts.read_password(from_stdin=password_stdin, confirm=True)
    user = create_user(
        local, email=email, display_name=display_name, role=role.value, password=password, one_time=True
    )
    emit(user, columns=["id", "email", "display_name", "role"])
    messages.success(f"made; next: {how_to_log_in(stack, email)}")


def _no_mail(to: str | None) -> CliError:
    return CliError(
        f"there is no such mail{f' to {to}' if to else ''}",
        exit_status=ExitStatus.NOT_FOUND,
        hint="`bankctl dev mail` lists what has come; --wait SECONDS waits for it",
        code="no_mail",
    )


def _show(found: StackStatus) -> None:
    document: dict[str, Any] = {
        "stack": found.name,
        "url": found.url,
        "healthy": found.well,
        "supervisor_pid": found.supervisor_pid,
        "parts": [asdict(part) for part in found.parts],
    }
    run = invocation.current()
    if run.output in {invocation.OutputFormat.JSON, invocation.OutputFormat.JSONL} or run.query is not None:
        emit(document)
    else:
        emit(document["parts"], columns=_PART_COLUMNS, title=f"{found.name}  {found.url or ''}".strip())


def _two_people(stack: str) -> str:
    return (
        "roles, locks of staff, unfreezing, and funding beyond a daily limit wait for a second person; to "
        f"try it alone, be two: `bankctl dev create-operator{_option(stack)}` again, `bankctl config copy "
        f"{stack} second`, `bankctl login --profile second`, and approve with `--profile second`"
    )


def _numbers(given: Sequence[str]) -> dict[str, int]:
    numbers = {}
    for item in given:
        name, _, number = item.partition("=")
        if not number.isascii() or not number.isdigit():
            raise usage_error(f"--port {item} is not of the form PART=NUMBER", code="invalid_port")
        numbers[name] = int(number)
    return numbers


def _option(stack: str) -> str:
    return "" if stack == DEFAULT_STACK else f" --stack {stack}"


def _write_line(entry: dict[str, str], *, named: bool) -> None:
    if invocation.current().machine_readable:
        emit_event(entry)
    else:
        prefix = f"{entry['part']}: " if named else ""
        emit_line(prefix + clean(entry["line"]))
