"""Acts for which the policy may ask for a second person: unfreezing, funding, adjusting (docs/adr/0010)."""

from contextlib import suppress
from functools import partial
from uuid import UUID

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.money import Money, format_minor, parse_money, whole_minor
from daemons.banking_api.services.accounts import Accounts
from daemons.banking_api.services.adjustments import Adjustment, Adjustments
from daemons.banking_api.services.transfers import Settled, Transfers
from daemons.banking_api.storage.mongo_fundings_alone import BeyondAloneLimitError
from daemons.contracts.errors import ConflictError
from daemons.shared.approvals.approval import Approval, ApprovalStatus
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import FourEyesSettings, GuardedAct
from daemons.shared.audit.record import Actor

_ACCOUNT = "account"


class SecondPerson:
    """Acts at once where one person may, else keeps a request; carries approved requests out."""

    def __init__(
        self,
        accounts: Accounts,
        transfers: Transfers,
        adjustments: Adjustments,
        approvals: Approvals,
        policy: FourEyesSettings,
    ) -> None:
        self._accounts = accounts
        self._transfers = transfers
        self._adjustments = adjustments
        self._approvals = approvals
        self._policy = policy
        approvals.carry_out_by(
            {
                GuardedAct.UNFREEZE: self._unfreeze_approved,
                GuardedAct.FUND: self._fund_approved,
                GuardedAct.ADJUST: self._adjust_approved,
            }
        )

    async def unfreeze(self, actor: Actor, account_id: str, reason: str) -> Account | Approval:
        """Unfreeze an account, or return the request that waits for a second person.

        Raises:
            NotFoundError: there is no such account.
            ConflictError: it is not frozen.
        """
        if not self._policy.needs_second_person(GuardedAct.UNFREEZE):
            return await self._accounts.unfreeze(actor, account_id, reason)
        account = await self._accounts.check_unfreezable(actor, account_id, reason)
        return await self._approvals.request(
            actor,
            GuardedAct.UNFREEZE,
            target=(_ACCOUNT, account_id),
            reason=reason,
            parameters={"frozen_because": account.status_reason, "sequence": account.sequence},
        )

    async def fund(
        self, actor: Actor, account_id: str, money: Money, *, reference: str | None, idempotency_key: str
    ) -> Settled | Approval:
        """Fund an account, or return the request that waits for a second person.

        What one person may fund alone is counted where it is booked, in the same transaction. The same key
        again returns the same request, and once that was approved its transaction.

        Raises:
            NotFoundError: there is no such account.
            ForbiddenError: `own_account`.
            RejectedError: a rule refuses, or the key was used for another request.
        """
        fund = partial(
            self._transfers.fund_account,
            actor,
            account_id,
            money,
            reference=reference,
            idempotency_key=idempotency_key,
        )
        limit = self._policy.fund_limit(money.currency)
        if limit is None:
            return await fund()
        limit_minor = whole_minor(limit, money.currency)
        if money.minor <= limit_minor and not await self._is_requested(actor, idempotency_key):
            with suppress(BeyondAloneLimitError):
                return await fund(alone_limit_minor=limit_minor)
        request = await self._request_funding(
            actor, account_id, money, reference=reference, key=idempotency_key
        )
        if request.stored_status is not ApprovalStatus.APPROVED:
            return request
        # It was booked with the approval and is told again; nothing is booked on the strength of that one.
        return await fund(alone_limit_minor=0)

    async def adjust(
        self, actor: Actor, adjustment: Adjustment, *, idempotency_key: str
    ) -> Settled | Approval:
        """Return the request to adjust, which always waits for a second person; once approved, the result.

        Raises:
            NotFoundError: there is no such account, or no such transaction to correct.
            RejectedError: a rule refuses, or the key was used for another request.
        """
        if actor.user_id is None:
            raise ValueError("accounts are adjusted by somebody's hand only")
        if not await self._is_requested(actor, idempotency_key):
            await self._adjustments.check(
                adjustment, initiator=actor.user_id, idempotency_key=idempotency_key
            )
        request = await self._approvals.request(
            actor,
            GuardedAct.ADJUST,
            target=(_ACCOUNT, adjustment.account_id),
            reason=adjustment.reason,
            parameters=adjustment.parameters(),
            idempotency_key=idempotency_key,
        )
        outcome = None if request.decision is None else request.decision.outcome
        if outcome is None:
            return request
        return await self._adjustments.settled(UUID(outcome["transaction_id"]))

    async def _is_requested(self, actor: Actor, idempotency_key: str) -> bool:
        if actor.user_id is None:
            raise ValueError("a second person is asked by somebody")
        return await self._approvals.find_by_key(actor.user_id, idempotency_key) is not None

    async def _request_funding(
        self, actor: Actor, account_id: str, money: Money, *, reference: str | None, key: str
    ) -> Approval:
        await self._transfers.check_fundable(actor, account_id)
        if actor.user_id is not None and not await self._is_requested(actor, key):
            await self._transfers.check_key_is_new(actor.user_id, key)
        return await self._approvals.request(
            actor,
            GuardedAct.FUND,
            target=(_ACCOUNT, account_id),
            reason=reference,
            parameters={
                "amount": format_minor(money.minor, money.currency),
                "currency": money.currency,
                "reference": reference,
            },
            idempotency_key=key,
        )

    async def _unfreeze_approved(self, approval: Approval, by: Actor) -> None:
        await self._accounts.unfreeze(by, approval.target_id, approval.reason or "", approval=approval)

    async def _fund_approved(self, approval: Approval, by: Actor) -> None:
        if approval.idempotency_key is None:
            raise ValueError("a request to fund has an idempotency key")
        settled = await self._transfers.fund_approved(
            by,
            approval,
            approval.target_id,
            parse_money(approval.parameters["amount"], approval.parameters["currency"]),
            reference=approval.parameters["reference"],
            idempotency_key=approval.idempotency_key,
        )
        _refuse_replayed(settled)

    async def _adjust_approved(self, approval: Approval, by: Actor) -> None:
        _refuse_replayed(await self._adjustments.adjust_approved(by, approval))


def _refuse_replayed(settled: Settled) -> None:
    if settled.replayed:
        raise ConflictError(
            "approval_decided",
            "This was booked already under the same idempotency key; nothing was done.",
        )
