"""What commands would do now: they are decided as a group is, on accounts as they are, and nothing is kept.

A long list is looked at slice by slice. What the earlier slices would have done to the caller's own accounts
is carried from one to the next, and nothing else. It is bounded by what the caller really holds, so that
nobody learns more of other people's accounts than by paying.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.kinds.change import account_not_found
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.decide import decide_group
from daemons.banking_api.ledger.record import Failure, Outcome, Record
from daemons.banking_api.money import LARGEST_MINOR, format_minor, parse_signed
from daemons.contracts.errors import BankError, ConflictError, FieldError, InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a command would do to its sender's account; `balance_after_minor` is None if it would fail."""

    command: Transfer
    failure: Failure | None
    balance_minor: int
    balance_after_minor: int | None
    currency: str
    from_owner: UUID | None
    to_owner: UUID | None


def preview_command(command: Transfer, accounts: dict[str, Account]) -> Preview:
    """Tell what the command would do; nothing is changed.

    Raises:
        NotFoundError: the sender's account is not the initiator's, so there is nothing to tell.
    """
    sender = accounts.get(command.from_account)
    receiver = accounts.get(command.to_account)
    if sender is None or sender.terms.owner != command.initiator:
        raise account_not_found(command.from_account)
    ruling = command.decide(accounts)
    failure = ruling if isinstance(ruling, Failure) else None
    return Preview(
        command=command,
        failure=failure,
        balance_minor=sender.balance_minor,
        balance_after_minor=None if failure else sender.balance_minor - command.amount_minor,
        currency=sender.terms.currency,
        from_owner=sender.terms.owner,
        to_owner=receiver.terms.owner if receiver else None,
    )


class PreviewedRow(NamedTuple):
    """What would become of one command, or what became of it if its key was used before.

    Owners are None where the sender's account is not the initiator's: whose the other one is does not concern
    them.
    """

    command: Transfer
    outcome: Outcome
    key_in_use: bool
    """Whether a row of the slice before it has the same key, so that this one would not be taken."""
    balance_after_minor: int | None
    from_owner: UUID | None
    to_owner: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePreview:
    """The rows in their order, and what they and the slices before do to the caller's accounts together."""

    rows: list[PreviewedRow]
    carried: dict[str, str]


def preview_slice(
    commands: Sequence[Transfer],
    *,
    owner: UUID,
    accounts: dict[str, Account],
    stored: dict[bytes, Record],
    carried: Mapping[str, str],
    now: datetime,
) -> SlicePreview:
    """Decide the commands one after another as though those of earlier slices had been posted.

    Args:
        commands: in the order in which they would be posted.
        owner: whose commands they are.
        accounts: those of the named and carried accounts that exist; they are changed.
        stored: transactions found under the commands' idempotency ids.
        carried: what the slices before do to the owner's accounts, as decimal strings.
        now: the time of the decision.

    Raises:
        InvalidRequestError: what is carried names another's account, is no amount of the account's currency,
            or adds money.
        ConflictError: the accounts no longer hold what the earlier slices spend.
    """
    held = {id_: account.balance_minor for id_, account in accounts.items() if account.terms.owner == owner}
    # An account may be below zero already; earlier rows take none there.
    lowest = {id_: min(0, balance) for id_, balance in held.items()}
    _carry(carried, accounts, lowest)
    decision = decide_group(commands, accounts=accounts, stored=stored, now=now)
    rows = [
        _row(command, answer, owner, accounts, is_stored=command.idempotency_id in stored)
        for command, answer in zip(commands, decision.answers, strict=True)
        # Of a transfer every refusal is kept.
        if not isinstance(answer, BankError)
    ]
    changes = {id_: accounts[id_].balance_minor - balance for id_, balance in held.items()}
    return SlicePreview(
        rows=rows,
        carried={
            id_: format_minor(change, accounts[id_].terms.currency)
            for id_, change in changes.items()
            if change
        },
    )


def _row(
    command: Transfer, outcome: Outcome, owner: UUID, accounts: dict[str, Account], *, is_stored: bool
) -> PreviewedRow:
    record, key_known = outcome.record, outcome.replayed or outcome.key_reused
    entry = None if key_known else record.entry_of(command.from_account)
    sender, receiver = accounts.get(command.from_account), accounts.get(command.to_account)
    known = sender is not None and sender.terms.owner == owner and not outcome.key_reused
    return PreviewedRow(
        command,
        outcome,
        key_in_use=key_known and not is_stored,
        balance_after_minor=None if entry is None else entry.balance_after_minor,
        from_owner=owner if known else None,
        to_owner=receiver.terms.owner if known and receiver is not None else None,
    )


def _carry(carried: Mapping[str, str], accounts: dict[str, Account], lowest: Mapping[str, int]) -> None:
    """Change the owner's accounts to what the slices before leave of them."""
    total: dict[str, int] = defaultdict(int)
    for id_, text in carried.items():
        if id_ not in lowest:
            raise _wrong(id_, "is no account of yours")
        account = accounts[id_]
        change = parse_signed(text, account.terms.currency, field=_field(id_))
        total[account.terms.currency] += change
        account.balance_minor += change
    for currency, change in total.items():
        # Payments between own accounts cancel out, all others take money away.
        if change > 0:
            raise InvalidRequestError(
                "invalid_request",
                f"The request is malformed: carried: earlier rows cannot add money, and these add "
                f"{format_minor(change, currency)} {currency}.",
                errors=[FieldError("carried", "must not add money in any currency")],
            )
    if any(not lowest[id_] <= accounts[id_].balance_minor <= LARGEST_MINOR for id_ in carried):
        raise ConflictError(
            "preview_out_of_date",
            "Your accounts have changed since the earlier rows were looked at; begin at the first row again.",
        )


def _field(id_: str) -> str:
    return f"carried.{id_}"


def _wrong(id_: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(
        "invalid_request",
        f"The request is malformed: {_field(id_)}: {message}.",
        errors=[FieldError(_field(id_), message)],
    )
