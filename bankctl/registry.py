"""The commands: where each lives, and one line about it, so that help needs not load them all."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

from bankctl.options import (
    complete_command,
    global_parameters,
    keep_examples,
    lighten_help,
    version_parameters,
)

ROOT_HELP = """A bank run from a terminal: accounts, double-entry bookkeeping, events.

Examples:
  bankctl dev up                                   start a bank on this machine
  bankctl register --email ann@example.com --name "Ann Lee"
  bankctl login --email ann@example.com
  bankctl accounts open checking --currency EUR
  bankctl transfer 1234567894 9876543215 12.50 --reference lunch
  bankctl accounts list -o json --query "[].balance"
"""

# name: (module, attribute, what it is for)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "register": ("bankctl.auth.sign_in", "register", "Register as a user of the bank."),
    "login": ("bankctl.auth.sign_in", "login", "Log in and keep the session."),
    "logout": ("bankctl.auth.sign_in", "logout", "End the session."),
    "whoami": ("bankctl.auth.sign_in", "whoami", "Show who is logged in, where and until when."),
    "auth": ("bankctl.auth.command", "app", "Sessions and the password."),
    "me": ("bankctl.commands.me", "app", "What the bank holds about you."),
    "accounts": ("bankctl.commands.accounts", "app", "Open, list, show and close accounts."),
    "balance": ("bankctl.commands.accounts", "balance", "Show an account's balance."),
    "transfer": ("bankctl.payments.command", "transfer", "Pay, once or from a file."),
    "withdraw": ("bankctl.commands.withdraw", "withdraw", "Pay to an account outside the bank."),
    "transactions": ("bankctl.payments.transactions", "app", "Look at transactions; finish open ones."),
    "verify": ("bankctl.commands.checkpoints", "verify", "Verify a receipt without the bank."),
    "explain": ("bankctl.commands.explain", "explain", "Show how a transaction came about, on one screen."),
    "events": ("bankctl.commands.events", "app", "Follow events in the bank."),
    "notifications": (
        "bankctl.commands.notifications",
        "app",
        "What you are told, and what you want to hear of.",
    ),
    "admin": ("bankctl.commands.admin", "app", "For operators: freeze, fund, prove the ledger."),
    "dev": ("bankctl.commands.dev", "app", "A whole bank on this machine."),
    "demo": ("bankctl.commands.demo", "demo", "See the whole bank at work in a minute."),
    "config": ("bankctl.commands.config", "app", "Profiles: which bank to talk to."),
    "doctor": ("bankctl.commands.doctor", "doctor", "Check the connection and the setup."),
    "api": ("bankctl.commands.api", "api", "Send one request to the bank's HTTP API."),
    "completion": ("bankctl.commands.completion", "completion", "Completion script for your shell."),
    "help": ("bankctl.commands.help", "help_topic", "Explain a topic, such as exit-codes."),
    "version": ("bankctl.commands.version", "version", "Show the versions of bankctl and Python."),
}


class RootGroup(TyperGroup):
    """The top of the command tree; a command's module is loaded when the command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # typer's signature
        """The names of all commands that are installed."""
        return [name for name, (module, _, _) in COMMANDS.items() if _is_installed(module)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, loaded now if it was not yet."""
        if cmd_name not in self.commands and cmd_name in COMMANDS and cmd_name in self.list_commands(ctx):
            self.commands[cmd_name] = load_command(cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; the names that typer suggests for a slip are those of all commands."""
        if args[0] not in COMMANDS:
            self.commands = {name: self.commands.get(name) for name in self.list_commands(ctx)}  # type: ignore[misc]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


def _is_installed(module: str) -> bool:
    # Only the demonstration may be missing; looking every module up would cost time at each start.
    return module != "bankctl.commands.demo" or find_spec(module) is not None


def load_command(name: str) -> Any:
    """Load a command's module and make it ready: global options, help, light parameters."""
    module, attribute, summary = COMMANDS[name]
    found = getattr(import_module(module), attribute)
    app = found
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(found)
    app._add_completion = False  # noqa: SLF001  # `bankctl completion` is the one way
    command = typer.main.get_command(app)
    command.name = name
    command.help = command.help or summary
    return complete_command(command)


def build_root() -> RootGroup:
    """The command tree."""
    root = RootGroup(
        name="bankctl",
        help=keep_examples(ROOT_HELP),
        epilog="`bankctl help` lists the topics; `bankctl COMMAND --help` shows examples of each command.",
        params=[*global_parameters(hidden=False), *version_parameters()],
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    lighten_help(root)
    return root
