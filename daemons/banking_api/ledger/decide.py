"""Decides a group of commands in the order they came, in memory, on accounts as the caller knows them.

One command's refusal never touches its neighbours. What is decided counts only once it is stored: the
group's seal takes the next number of the journal and each entry the next number of its account, and no
number is given twice, so nothing is stored that was decided on anything but the newest state
(docs/adr/0011).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from daemons.banking_api.ledger.account import Account, Entry, is_tally
from daemons.banking_api.ledger.record import (
    Accounts,
    Command,
    Failure,
    Move,
    Outcome,
    Record,
    key_reused,
    refusal,
)
from daemons.contracts.errors import BankError, RejectedError
from daemons.contracts.names import Code

Stored = dict[bytes, Record]
"""Records by their idempotency ids."""
Answer = Outcome | BankError
"""What a command's caller is told."""


@dataclass(slots=True)
class GroupDecision:
    """The answers in the commands' order, and what is to be written for them."""

    answers: list[Answer] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    acts: list[tuple[Command, Record]] = field(default_factory=list)
    """Those newly decided commands of which the audit keeps an entry."""
    changed: dict[str, Account] = field(default_factory=dict)
    new_terms: set[str] = field(default_factory=set)
    """The changed accounts whose terms are others than before."""
    inexact: set[str] = field(default_factory=set)
    """Accounts that refusals rest on and that may lag behind the journal: they must be read exactly first."""


def decide_group(
    commands: Sequence[Command],
    *,
    accounts: dict[str, Account],
    stored: Stored,
    now: datetime,
) -> GroupDecision:
    """Decide every command; `accounts` is changed to what it becomes.

    Args:
        commands: in order of arrival; two may carry the same idempotency key.
        accounts: those of the named accounts that exist, by id, as they are known.
        stored: records found under the commands' idempotency ids.
        now: the time of the decision.
    """
    decision = GroupDecision()
    known = dict(stored)
    for command in commands:
        earlier = known.get(command.idempotency_id)
        if earlier is not None:
            decision.answers.append(outcome_of(command, earlier))
            continue
        ruling = command.decide(accounts)
        failure: Failure | None = None
        attempt: Entry | None = None
        entries: tuple[Entry, ...] = ()
        if isinstance(ruling, list):
            data = command.data(accounts)
            entries = _enter(decision, accounts, ruling)
        else:
            decision.inexact.update(_inexact(command, accounts))
            if isinstance(ruling, BankError):
                decision.answers.append(ruling)
                continue
            data = command.data(accounts)
            failure, attempt = ruling, _attempt(command.attempted_on(accounts))
        record = Record(
            command.id,
            command.kind,
            command.initiator,
            command.idempotency_id,
            command.fingerprint,
            now,
            entries,
            data,
            failure,
            attempt,
        )
        known[command.idempotency_id] = record
        decision.records.append(record)
        decision.answers.append(Outcome(record))
        if command.act is not None:
            decision.acts.append((command, record))
    return decision


def decide_atomic_group(
    commands: Sequence[Command],
    *,
    accounts: dict[str, Account],
    stored: Stored,
    now: datetime,
) -> GroupDecision:
    """Decide commands of which all are done or none, as `decide_group` does.

    They are done if no rule refuses any of them and no key is known; if all keys are known for the same
    requests, that is the same group once more. Otherwise nothing is to be written and no key is used up: the
    answers tell those at fault their reasons, and those done earlier what became of them then.
    """
    inexact = {account.id for account in accounts.values() if not account.is_exact}
    decision = decide_group(commands, accounts=accounts, stored=stored, now=now)
    known = [command.idempotency_id in stored for command in commands]
    if any(isinstance(answer, Outcome) and answer.key_reused for answer in decision.answers):
        possible = False
    elif any(known):
        possible = all(known)
    else:
        possible = all(
            isinstance(answer, Outcome) and answer.record.failure is None for answer in decision.answers
        )
    if possible:
        return decision
    others = _partly_known() if any(known) else atomic_refused()
    answers = [
        _refused_with_others(answer, others, is_known=is_known)
        for answer, is_known in zip(decision.answers, known, strict=True)
    ]
    return GroupDecision(answers=answers, inexact=inexact)


def _enter(decision: GroupDecision, accounts: dict[str, Account], moves: Sequence[Move]) -> tuple[Entry, ...]:
    """Take the next number of each account for what moves on it.

    Raises:
        AssertionError: the rule of a kind makes or loses money.
    """
    if len(moves) != 2 or not _are_two_sides(*moves):  # noqa: PLR2004 - most are, and need no sums
        _check_balanced(moves)
    entries: list[Entry] = []
    for account, amount_minor, change in moves:
        account.balance_minor += amount_minor
        account.sequence += 1
        # From here on the number that it takes guards it.
        account.is_exact = True
        if change is not None:
            account.terms = account.terms.changed(change)
            decision.new_terms.add(account.id)
            accounts[account.id] = account
        decision.changed[account.id] = account
        entries.append(
            Entry(
                account.id,
                account.terms.owner,
                amount_minor,
                account.balance_minor,
                account.sequence,
                change,
            )
        )
    return tuple(entries)


def _are_two_sides(one: Move, other: Move) -> bool:
    in_one_currency = one.account.terms.currency == other.account.terms.currency
    return in_one_currency and one.amount_minor + other.amount_minor == 0


def _check_balanced(moves: Sequence[Move]) -> None:
    sums: dict[str, int] = {}
    for account, amount_minor, _ in moves:
        if not is_tally(account.id):
            sums[account.terms.currency] = sums.get(account.terms.currency, 0) + amount_minor
    if any(sums.values()):
        raise AssertionError(f"the entries of a record must sum to zero in each currency: {sums}")


def _inexact(command: Command, accounts: Accounts) -> list[str]:
    return [id_ for id_ in command.accounts() if id_ in accounts and not accounts[id_].is_exact]


def _attempt(account: Account | None) -> Entry | None:
    if account is None:
        return None
    return Entry(account.id, account.terms.owner, 0, account.balance_minor, account.sequence)


def outcome_of(command: Command, record: Record) -> Outcome:
    """Return what a record under the command's key says became of it."""
    reused = record.fingerprint != command.fingerprint
    return Outcome(record, replayed=not reused and record.id != command.id, key_reused=reused)


def _refused_with_others(answer: Answer, others: BankError, *, is_known: bool) -> Answer:
    if isinstance(answer, BankError):
        return answer
    if answer.key_reused:
        return key_reused()
    if is_known:
        return answer
    failure: Failure | None = answer.record.failure
    return others if failure is None else refusal(failure, None)


def atomic_refused() -> RejectedError:
    """The error for what nothing is wrong with but that others of its atomic batch were refused."""
    return RejectedError(
        Code.ATOMIC_BATCH_REFUSED,
        "Nothing of this batch was done, because other rows of it were refused; no key was used up.",
    )


def _partly_known() -> RejectedError:
    return RejectedError(
        Code.ATOMIC_BATCH_PARTLY_KNOWN,
        "Nothing of this batch was done now: other rows of it were sent before under the same keys. Send the "
        "new ones in a batch of their own.",
    )
