"""The verbs of the server's own shell: the first operator and admin are made here, none by default."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from daemons.contracts.errors import BankError
from daemons.shared.audit.record import SHELL
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from daemons.shared.http.requests import check_model
from daemons.shared.http.server import serve
from daemons.shared.logs import configure_logs
from daemons.shared.mongo import connect
from daemons.shared.settings import load_settings
from daemons.user_api.app import NAME, build
from daemons.user_api.parts import Registry
from daemons.user_api.schema import make_indexes
from daemons.user_api.second_factor.reset import reset_second_factor as remove_lost_factor
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.settings import UserApiSettings, UserStoreSettings
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.common_passwords import common_passwords
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.models import Registration, UserView
from daemons.user_api.users.roles import change_role
from daemons.user_api.users.service import register_user
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User, user_not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellRegistry(Registry):
    """What the verbs have."""

    second_factors: MongoSecondFactors


def serve_until_stopped() -> int:
    """Serve HTTP until the process is stopped; wait for a database that does not answer yet."""
    settings = load_settings(UserApiSettings)
    configure_logs(NAME, level=settings.log_level, form=settings.log_format)
    serve(build(settings), settings)
    return 0


def create_user(options: argparse.Namespace) -> int:
    """Add a user of any role and print it as JSON."""

    async def act(registry: Registry) -> User:
        password = sys.stdin.readline().rstrip("\r\n")
        fields = {"email": options.email, "display_name": options.display_name, "password": password}
        wanted = check_model(fields, Registration)
        return await register_user(
            registry,
            email=wanted.email,
            display_name=wanted.display_name,
            password=wanted.password,
            role=options.role,
        )

    return _run(act)


def grant_role(options: argparse.Namespace) -> int:
    """Give an existing user a role, end their sessions and print the user as JSON."""

    async def act(registry: Registry) -> User:
        user = await registry.users.find_by_email(normalise_email(options.email))
        if user is None:
            raise user_not_found()
        return await change_role(
            registry, user.id, options.role, actor=SHELL, reason="granted from the server's shell"
        )

    return _run(act)


def reset_second_factor(options: argparse.Namespace) -> int:
    """Take the second factor off a user who has lost it, end their sessions and print the user as JSON."""

    async def act(registry: ShellRegistry) -> User:
        user = await registry.users.find_by_email(normalise_email(options.email))
        if user is None:
            raise user_not_found()
        return await remove_lost_factor(
            registry, registry.second_factors, user.id, actor=SHELL, reason=options.reason
        )

    return _run(act)


def _run(act: Callable[[ShellRegistry], Awaitable[User]]) -> int:
    settings = load_settings(UserStoreSettings)
    # Standard output belongs to the answer.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    async def acted() -> User:
        async with _registry(settings) as registry:
            return await act(registry)

    try:
        user = asyncio.run(acted())
    except BankError as error:
        return _fail(error)
    sys.stdout.write(UserView.of(user).model_dump_json() + "\n")
    return 0


@asynccontextmanager
async def _registry(settings: UserStoreSettings) -> AsyncIterator[ShellRegistry]:
    hasher = Argon2Hasher(workers=1, queue=1)
    try:
        async with connect(settings.mongo_uri, daemon=NAME) as client:
            database = client[settings.mongo_database]
            await make_indexes(database)
            audit = MongoAuditTrail(database, chain=NAME)
            await audit.prepare()
            yield ShellRegistry(
                second_factors=MongoSecondFactors(client, database),
                audit=audit,
                users=MongoUsers(client, database),
                hasher=hasher,
                common_passwords=common_passwords(),
                clock=utc_now,
            )
    finally:
        hasher.close()


def _fail(error: BankError) -> int:
    sys.stderr.write(f"{error.code}: {error.message}\n")
    return 1
