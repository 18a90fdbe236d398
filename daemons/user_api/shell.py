"""The verbs of the server's own shell: the first operator and admin are made here, none by default."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from daemons.contracts.errors import BankError
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import StaffPolicy
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.record import SHELL
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from daemons.shared.http.requests import check_model
from daemons.shared.http.server import serve
from daemons.shared.logs import configure_logs
from daemons.shared.mongo import connect
from daemons.shared.settings import load_settings
from daemons.user_api.app import DAEMON, build
from daemons.user_api.guarded import GUARDED
from daemons.user_api.registration.models import Registration
from daemons.user_api.schema import ensure_schema
from daemons.user_api.settings import UserApiSettings, UserStoreSettings
from daemons.user_api.unit_of_work import user_work
from daemons.user_api.users.administration import Administration
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.models import EnrolmentCodeView, UserView
from daemons.user_api.users.requesters import Requesters
from daemons.user_api.users.service import Users
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User


class Shell(NamedTuple):
    """What the verbs work with."""

    users: Users
    administration: Administration


def serve_until_stopped() -> int:
    """Serve HTTP until the process is stopped; wait for a database that does not answer yet."""
    settings = load_settings(UserApiSettings)
    configure_logs(DAEMON, level=settings.log_level, form=settings.log_format)
    serve(build(settings), settings)
    return 0


def create_user(options: argparse.Namespace) -> int:
    """Add a user of any role and print it as JSON."""

    async def act(shell: Shell) -> User:
        password = sys.stdin.readline().rstrip("\r\n")
        fields = {"email": options.email, "display_name": options.display_name, "password": password}
        wanted = check_model(fields, Registration)
        return await shell.users.register(
            email=wanted.email,
            display_name=wanted.display_name,
            password=wanted.password,
            role=options.role,
            temporary=options.one_time,
        )

    return _run(act)


def grant_role(options: argparse.Namespace) -> int:
    """Give an existing user a role, end their sessions and print the user as JSON."""

    async def act(shell: Shell) -> User:
        user = await shell.users.find_by_email(options.email)
        return await shell.administration.change_role(
            user.id, options.role, actor=SHELL, reason="granted from the server's shell"
        )

    return _run(act)


def hand_out_enrolment_code(options: argparse.Namespace) -> int:
    """Print a code with which one of the staff enrols their first second factor, as JSON."""

    async def act(shell: Shell) -> EnrolmentCodeView:
        user = await shell.users.find_by_email(options.email)
        code = await shell.administration.hand_out_enrolment_code(user.id, actor=SHELL, reason=options.reason)
        return EnrolmentCodeView(code=code.text, expires_at=code.expires_at)

    return _run(act)


def reset_second_factor(options: argparse.Namespace) -> int:
    """Take the second factor off a user who has lost it, end their sessions and print the user as JSON."""

    async def act(shell: Shell) -> User:
        user = await shell.users.find_by_email(options.email)
        return await shell.administration.reset_second_factor(user.id, actor=SHELL, reason=options.reason)

    return _run(act)


def _run(act: Callable[[Shell], Awaitable[User | EnrolmentCodeView]]) -> int:
    settings = load_settings(UserStoreSettings)
    # Standard output belongs to the answer.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    async def acted() -> User | EnrolmentCodeView:
        async with _shell(settings) as shell:
            return await act(shell)

    try:
        done = asyncio.run(acted())
    except BankError as error:
        return _fail(error)
    view = UserView.of(done) if isinstance(done, User) else done
    sys.stdout.write(view.model_dump_json() + "\n")
    return 0


@asynccontextmanager
async def _shell(settings: UserStoreSettings) -> AsyncIterator[Shell]:
    hasher = Argon2Hasher(workers=1, queue=1)
    try:
        async with connect(settings.mongo_uri, daemon=DAEMON) as client:
            database = client[settings.mongo_database]
            await ensure_schema(database)
            audit = MongoAuditTrail(database, chain=DAEMON, guarded=GUARDED)
            await audit.prepare()
            policy = StaffPolicy()
            work, store = user_work(client, database, audit), MongoUsers(database)
            approvals = Approvals(
                client,
                MongoApprovals(database),
                audit,
                standings=Requesters(database, policy, clock=utc_now).standings,
                policy=policy,
                clock=utc_now,
            )
            yield Shell(
                Users(work, store, hasher, clock=utc_now),
                # The shell asks nobody's approval: the verbs call the acts themselves.
                Administration(work, store, approvals, policy, clock=utc_now),
            )
    finally:
        hasher.close()


def _fail(error: BankError) -> int:
    sys.stderr.write(f"{error.code}: {error.message}\n")
    return 1
