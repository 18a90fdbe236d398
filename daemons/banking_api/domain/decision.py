"""Decides a group of commands in the order they came, in memory, against accounts as the caller knows them.

One command's refusal never touches its neighbours. What is decided counts only once it is stored: an entry
takes the next number of its account, and no number is given twice, so money never moves on an account that
has changed since (docs/adr/0011). Refusals take no number; `doubtful` tells which accounts they rest on.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.journal import (
    Entry,
    Failure,
    JournalTransaction,
    PostingCommand,
    TransactionKind,
    key_reused,
    refusal,
)
from daemons.banking_api.domain.money import LARGEST_MINOR, format_minor
from daemons.contracts.errors import BankError, RejectedError


@dataclass(slots=True)
class LedgerAccount:
    """What deciding needs to know of an account; `may_overdraw` is for the bank's own accounts.

    `sequence` numbers its entries and changes without a gap: two states under one number are the same state.
    """

    id: str
    owner: UUID | None
    status: AccountStatus
    currency: str
    balance_minor: int
    sequence: int
    may_overdraw: bool

    def copy(self) -> "LedgerAccount":
        """Return the same for another to change; hundreds are made for each commit."""
        return LedgerAccount(
            self.id,
            self.owner,
            self.status,
            self.currency,
            self.balance_minor,
            self.sequence,
            self.may_overdraw,
        )


class Outcome(NamedTuple):
    """What became of a command. `key_reused`: the key had been used for another request; nothing was done."""

    transaction: JournalTransaction
    replayed: bool = False
    key_reused: bool = False


@dataclass(slots=True)
class GroupDecision:
    """The outcomes in the commands' order, and what is to be written for them."""

    outcomes: list[Outcome] = field(default_factory=list)
    transactions: list[JournalTransaction] = field(default_factory=list)
    changed: dict[str, LedgerAccount] = field(default_factory=dict)
    doubtful: dict[str, int] = field(default_factory=dict)
    """The accounts that refusals rest on, with the sequence each was known under when the group began."""
    nothing_posted: list[Outcome | BankError] = field(default_factory=list)
    """In place of outcomes, of an atomic group that is refused: what each command is told."""


class NothingPostedError(Exception):
    """An atomic group was refused; `told` is what each of its commands is told."""

    def __init__(self, told: Sequence[Outcome | BankError]) -> None:
        super().__init__("an atomic group was refused")
        self.told = told


def decide_group(
    commands: Sequence[PostingCommand],
    *,
    accounts: Mapping[str, LedgerAccount],
    stored: Mapping[bytes, JournalTransaction],
    new_id: Callable[[], UUID],
    now: datetime,
) -> GroupDecision:
    """Decide every command; `accounts` is changed to what it becomes.

    Args:
        commands: in order of arrival; two may carry the same idempotency key.
        accounts: those of the named accounts that exist, by id, as they are known.
        stored: transactions found under the commands' idempotency ids.
        new_id: makes a journal transaction's id.
        now: the time of the decision.
    """
    decision = GroupDecision()
    known = dict(stored)
    refused: list[LedgerAccount] = []
    for command in commands:
        earlier = known.get(command.idempotency_id)
        if earlier is not None:
            reused = earlier.fingerprint != command.fingerprint
            decision.outcomes.append(Outcome(earlier, replayed=not reused, key_reused=reused))
            continue
        sender = accounts.get(command.from_account)
        receiver = accounts.get(command.to_account)
        failure = find_failure(command, sender, receiver)
        if failure is None and sender is not None and receiver is not None:
            attempt = None
            entries: tuple[Entry, ...] = (
                _post(decision, sender, -command.amount_minor),
                _post(decision, receiver, command.amount_minor),
            )
        else:
            attempt = _attempt(command, sender, receiver)
            entries = ()
            refused += [account for account in (sender, receiver) if account is not None]
        transaction = JournalTransaction(
            id=new_id(),
            kind=command.kind,
            initiator=command.initiator,
            idempotency_id=command.idempotency_id,
            fingerprint=command.fingerprint,
            from_account=command.from_account,
            to_account=command.to_account,
            from_owner=sender.owner if sender else None,
            to_owner=receiver.owner if receiver else None,
            amount_minor=command.amount_minor,
            currency=command.currency,
            reference=command.reference,
            entries=entries,
            failure=failure,
            created_at=now,
            corrects=command.corrects,
            attempt=attempt,
        )
        known[command.idempotency_id] = transaction
        decision.transactions.append(transaction)
        decision.outcomes.append(Outcome(transaction))
    if refused:
        decision.doubtful = _known_under(refused, decision)
    return decision


def decide_atomic_group(
    commands: Sequence[PostingCommand],
    *,
    accounts: Mapping[str, LedgerAccount],
    stored: Mapping[bytes, JournalTransaction],
    new_id: Callable[[], UUID],
    now: datetime,
) -> GroupDecision:
    """Decide commands of which all are posted or none, as `decide_group` does.

    They are posted if no rule refuses any of them and no key is known; if all keys are known for the same
    requests, that is the same group once more. Otherwise nothing is to be written and no key is used up:
    `nothing_posted` tells those at fault their reasons, and those posted earlier what became of them then.
    """
    known_under = {account.id: account.sequence for account in accounts.values()}
    decision = decide_group(commands, accounts=accounts, stored=stored, new_id=new_id, now=now)
    known = [command.idempotency_id in stored for command in commands]
    if any(outcome.key_reused for outcome in decision.outcomes):
        possible = False
    elif any(known):
        possible = all(known)
    else:
        possible = all(outcome.transaction.failure is None for outcome in decision.outcomes)
    if possible:
        return decision
    others = _partly_known() if any(known) else atomic_refused()
    told = [
        _told_of_refusal(outcome, others, is_known=is_known)
        for outcome, is_known in zip(decision.outcomes, known, strict=True)
    ]
    return GroupDecision(doubtful=known_under, nothing_posted=told)


def _told_of_refusal(outcome: Outcome, others: BankError, *, is_known: bool) -> Outcome | BankError:
    if outcome.key_reused:
        return key_reused()
    if is_known:
        return outcome
    failure = outcome.transaction.failure
    return others if failure is None else refusal(failure, None)


def atomic_refused() -> RejectedError:
    """The error for what nothing is wrong with but that others of its atomic batch were refused."""
    return RejectedError(
        "atomic_batch_refused",
        "Nothing of this batch was done, because other rows of it were refused; no key was used up.",
    )


def _partly_known() -> RejectedError:
    return RejectedError(
        "atomic_batch_partly_known",
        "Nothing of this batch was done now: other rows of it were sent before under the same keys. Send the "
        "new ones in a batch of their own.",
    )


def find_failure(
    command: PostingCommand, sender: LedgerAccount | None, receiver: LedgerAccount | None
) -> Failure | None:
    """Return the first rule that refuses the command, or None when money may move.

    The sender's account is judged before the receiver's, so that nobody learns of other accounts by trying
    to pay from one that is not theirs.
    """
    if command.kind is TransactionKind.ADJUSTMENT:
        return _find_adjustment_failure(command, sender, receiver)
    if sender is None or sender.owner != command.sender_owner:
        return Failure("account_not_found", f"You have no account {command.from_account}.")
    if receiver is sender:
        return Failure("same_account", "Sender and receiver are the same account.")
    if receiver is None or receiver.may_overdraw:
        return Failure("receiver_not_found", f"There is no account {command.to_account}.")
    return (
        _not_active(sender)
        or _not_active(receiver)
        or _other_currency(command, sender)
        or _other_currency(command, receiver)
        or _beyond_balance(command, sender, receiver)
    )


def _find_adjustment_failure(
    command: PostingCommand, sender: LedgerAccount | None, receiver: LedgerAccount | None
) -> Failure | None:
    """Return the first rule that refuses a correction by the bank.

    It asks for no owner, and works on a frozen account: a freeze stops what customers do (docs/adr/0016).
    """
    if sender is None or receiver is None or sender.may_overdraw == receiver.may_overdraw:
        missing = command.to_account if sender is not None else command.from_account
        return Failure("account_not_found", f"There is no account {missing}.")
    customers = receiver if sender.may_overdraw else sender
    closed = _not_active(customers) if customers.status is AccountStatus.CLOSED else None
    return closed or _other_currency(command, customers) or _beyond_balance(command, sender, receiver)


def _not_active(account: LedgerAccount) -> Failure | None:
    if account.status is AccountStatus.ACTIVE:
        return None
    return Failure(f"account_{account.status.value}", f"Account {account.id} is {account.status.value}.")


def _other_currency(command: PostingCommand, account: LedgerAccount) -> Failure | None:
    if account.currency == command.currency:
        return None
    return Failure(
        "currency_mismatch", f"Account {account.id} is kept in {account.currency}, not {command.currency}."
    )


def _beyond_balance(
    command: PostingCommand, sender: LedgerAccount, receiver: LedgerAccount
) -> Failure | None:
    amount = command.amount_minor
    if not sender.may_overdraw and sender.balance_minor < amount:
        has = format_minor(sender.balance_minor, sender.currency)
        return Failure("insufficient_funds", f"Account {sender.id} holds {has} {sender.currency}.")
    if receiver.balance_minor > LARGEST_MINOR - amount or sender.balance_minor < amount - LARGEST_MINOR:
        return Failure("balance_limit_exceeded", "The amount would take a balance beyond what it can hold.")
    return None


def _post(decision: GroupDecision, account: LedgerAccount, amount_minor: int) -> Entry:
    account.balance_minor += amount_minor
    account.sequence += 1
    decision.changed[account.id] = account
    return Entry(account.id, amount_minor, account.balance_minor, account.sequence)


def _attempt(
    command: PostingCommand, sender: LedgerAccount | None, receiver: LedgerAccount | None
) -> Entry | None:
    """Return where a failed attempt stands: it is nobody's business but its initiator's.

    It never shows in the other party's history; what staff tried to book shows in the customer's.
    """
    if command.kind is TransactionKind.TRANSFER:
        account = sender if sender is not None and sender.owner == command.initiator else None
    else:
        account = receiver if sender is not None and sender.may_overdraw else sender
    if account is None or account.may_overdraw:
        return None
    return Entry(account.id, 0, account.balance_minor, account.sequence)


def _known_under(accounts: Sequence[LedgerAccount], decision: GroupDecision) -> dict[str, int]:
    """Return the sequence of each account before the group's own entries."""
    posted = Counter(entry.account_id for made in decision.transactions for entry in made.entries)
    return {account.id: account.sequence - posted[account.id] for account in accounts}
