"""One movement of money, sent so that it pays at most once and its outcome is never lost."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.client.failures import EARLIER_OUTCOME, TO_TRY_ANEW
from bankctl.client.http import Answer
from bankctl.errors import CliError, ExitStatus
from bankctl.payments.confirmation import ASKED_FOR, confirm_payment
from bankctl.payments.pending import PendingTransfer, load_pending, remove_pending, write_pending
from bankctl.render import messages
from daemons.contracts.names import Code

# After these nobody knows whether it was paid, so its file stays for `transactions retry`.
_UNSETTLED = frozenset({ExitStatus.OUTCOME_UNKNOWN, ExitStatus.UNEXPECTED})


@dataclass(frozen=True, slots=True)
class Settled:
    """The bank's answer; `replayed` if it had carried the transfer out before this command."""

    transaction: dict[str, Any]
    replayed: bool


TRANSFER_PATH = "/transactions/transfer"


def begin_transfer(
    bank: BankClient,
    request: Mapping[str, Any],
    *,
    key: str,
    path: str = TRANSFER_PATH,
    code_stdin: bool = False,
) -> Settled:
    """Keep the transfer on disk, then send it; `path` tells other movements of money apart.

    If the bank asks for the second factor, a code is asked for, or read from stdin with `code_stdin`.

    Raises:
        CliError: it was refused (nothing paid), not sent (nothing paid), or its outcome is not known.
    """
    session = bank.require_session()
    # The same key given again: the transfer kept under it may have been sent already.
    again = load_pending(key) is not None
    pending = write_pending(key, bank_id=bank.bank_id, user_id=session.user_id, path=path, request=request)
    return finish_transfer(bank, pending, again=again, code_stdin=code_stdin)


def finish_transfer(
    bank: BankClient, pending: PendingTransfer, *, again: bool = False, code_stdin: bool = False
) -> Settled:
    """Send a kept transfer; its file goes once the outcome is known.

    With `again` it may have been sent before, so not reaching the bank settles nothing.

    Raises:
        CliError: as `begin_transfer`.
    """
    try:
        answer = _send(bank, pending, again=again)
    except CliError as error:
        if error.code != Code.PAYMENT_CONFIRMATION_REQUIRED:
            raise
        try:
            confirmation = confirm_payment(bank, pending.request, key=pending.key, code_stdin=code_stdin)
        except BaseException:
            # The bank has looked for the key: nothing was paid under it.
            remove_pending(pending.key)
            raise
        answer = _send(bank, pending, again=again, confirmation=confirmation)
    remove_pending(pending.key)
    return Settled(answer.data, answer.replayed)


def _send(
    bank: BankClient, pending: PendingTransfer, *, again: bool, confirmation: str | None = None
) -> Answer:
    try:
        return bank.transactions.move(
            pending.path, pending.request, idempotency_key=pending.key, confirmation=confirmation
        )
    except CliError as error:
        if error.exit_status in _UNSETTLED:
            raise _unsettled(error, pending.key) from error
        final = error.code in ASKED_FOR or error.exit_status in {
            ExitStatus.USAGE,
            ExitStatus.NOT_FOUND,
            ExitStatus.CONFLICT,
            ExitStatus.REJECTED,
        }
        if (final or not again) and (confirmation or error.code != Code.PAYMENT_CONFIRMATION_REQUIRED):
            remove_pending(pending.key)
        raise
    except KeyboardInterrupt:
        messages.warn(
            f"this may have been paid; settle it with `bankctl transactions retry {shlex.quote(pending.key)}`"
        )
        raise


def tell_done(done: str, *, replayed: bool) -> None:
    """Say on stderr that it is done, or that this is its earlier outcome under the same key."""
    if replayed:
        messages.warn(f"{EARLIER_OUTCOME}; nothing was done now")
        messages.note(TO_TRY_ANEW)
    else:
        messages.success(done)


def _unsettled(error: CliError, key: str) -> CliError:
    return CliError(
        error.message,
        exit_status=error.exit_status,
        hint=f"`bankctl transactions retry {shlex.quote(key)}` settles it; it pays at most once",
        code=error.code,
        request_id=error.request_id,
        details={**error.details, "idempotency_key": key},
    )
