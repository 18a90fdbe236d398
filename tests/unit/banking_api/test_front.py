"""Who may hand commands to the ledger, and to whom a front hands them: identity, TLS, ports."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from bankctl.local.service_keys import make_key
from daemons.banking_api.kinds.freeze import Freeze
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.front import FrontStream
from daemons.banking_api.ledger.ledger import LedgerMovedError
from daemons.banking_api.ledger.server import LedgerServer, address_of
from daemons.banking_api.ledger.tls import StreamTls
from daemons.shared.approvals.approval import Approval
from daemons.shared.auth.keys import read_private_key
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER, ServiceTokenVerifier
from daemons.shared.ids import new_id
from tests.support.certificates import Files, issue
from tests.support.daemon_keys import PRIVATE_KEYS, calls_of

LOOPBACK = "127.0.0.1"
_DAEMON = "banking_api"


async def no_approval(_: UUID) -> Approval:
    raise AssertionError("no command of these tests carries out an approval")


def tls_of(files: Files) -> StreamTls:
    return StreamTls.read(files.certificate, files.key, files.authority)


def own_token() -> str:
    return calls_of(_DAEMON).header_for(_DAEMON)[SERVICE_TOKEN_HEADER]


@asynccontextmanager
async def listening(tls: StreamTls | None = None) -> AsyncIterator[str]:
    """Serve as a process that is not the ledger: whoever is let in hears just that."""
    key = read_private_key(PRIVATE_KEYS[_DAEMON]).public_key()
    verifier = ServiceTokenVerifier(_DAEMON, {_DAEMON: [key]})
    server = LedgerServer(KINDS, verify=verifier.verify, find_approval=no_approval)
    port = await server.start(LOOPBACK, 0, tls)
    try:
        yield address_of(LOOPBACK, port)
    finally:
        server.move()
        await server.hang_up()
        await server.close()


async def is_heard(
    address: str, *, tls: StreamTls | None = None, token: Callable[[], str] = own_token
) -> bool:
    """Tell whether a command reaches the process: it answers that it is not the ledger."""
    ended = asyncio.Event()
    stream = FrontStream(address, token=token, tls=tls, moved=ended.set)
    stream.start()
    try:
        command = Freeze(initiator=new_id(), idempotency_key="k", account_id="4000000006", reason="r")
        [answer] = stream.enqueue([command], atomic=False)
        with pytest.raises(LedgerMovedError):
            await answer
        # A stream that was cut has ended; one that was answered is open.
        return not ended.is_set()
    finally:
        await stream.close()


async def test_a_process_of_the_bank_is_heard() -> None:
    async with listening() as address:
        assert await is_heard(address)


@pytest.mark.parametrize("token", ["", "Bearer nonsense"])
async def test_a_caller_without_a_token_is_not(token: str) -> None:
    async with listening() as address:
        assert not await is_heard(address, token=lambda: token)


@pytest.mark.parametrize("daemon", ["banking_api", "notifier"])
async def test_a_token_of_another_key_or_daemon_is_refused(daemon: str) -> None:
    key = make_key() if daemon == _DAEMON else PRIVATE_KEYS[daemon]
    signer = calls_of(daemon, key=key)
    async with listening() as address:
        assert not await is_heard(address, token=lambda: signer.header_for(_DAEMON)[SERVICE_TOKEN_HEADER])


async def test_a_token_for_another_daemon_is_refused() -> None:
    signer = calls_of(_DAEMON)
    async with listening() as address:
        assert not await is_heard(address, token=lambda: signer.header_for("user_api")[SERVICE_TOKEN_HEADER])


async def test_with_certificates_the_stream_is_private(tmp_path: Path) -> None:
    own = tls_of(issue(tmp_path, "own"))
    async with listening(own) as address:
        assert await is_heard(address, tls=own)
        assert not await is_heard(address)


async def test_a_front_gives_nothing_to_a_process_of_another_authority(tmp_path: Path) -> None:
    own, other = tls_of(issue(tmp_path, "own")), tls_of(issue(tmp_path, "other"))
    async with listening(other) as address:
        assert not await is_heard(address, tls=own)


async def test_a_front_gives_nothing_to_a_host_of_another_name(tmp_path: Path) -> None:
    own = tls_of(issue(tmp_path, "own", host="127.0.0.2"))
    async with listening(own) as address:
        assert not await is_heard(address, tls=own)


async def test_a_front_with_certificates_says_nothing_in_the_clear(tmp_path: Path) -> None:
    own = tls_of(issue(tmp_path, "own"))
    async with listening() as address:
        assert not await is_heard(address, tls=own)


async def test_two_processes_do_not_share_a_port() -> None:
    async with listening() as address:
        second = LedgerServer(KINDS, verify=str, find_approval=no_approval)
        with pytest.raises(OSError, match="cannot listen on"):
            await second.start(LOOPBACK, int(address.rpartition(":")[2]), None)


@pytest.mark.parametrize(
    ("host", "address"),
    [("::1", "[::1]:9"), ("[::1]", "[::1]:9"), ("127.0.0.1", "127.0.0.1:9"), ("a", "a:9")],
)
def test_an_address_is_written_as_the_library_reads_it(host: str, address: str) -> None:
    assert address_of(host, 9) == address
