"""Adds, shows, rotates, tests and removes webhooks, and disables those that fail for long."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from daemons.contracts.names import EventType
from daemons.notifier.channels.addresses import fault_of_url
from daemons.notifier.channels.port import Refused, Unavailable
from daemons.notifier.channels.webhook import GoneError, Target, WebhookSender
from daemons.notifier.unit_of_work import NotifierTransaction, NotifierWork
from daemons.notifier.webhooks.storage import MongoWebhooks
from daemons.notifier.webhooks.webhook import (
    MOST_WEBHOOKS,
    Webhook,
    new_secret,
    too_many_webhooks,
    url_refused,
    webhook_not_found,
)
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import log_act
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id

WEBHOOK_KIND = "webhook"
TEST_TYPE = "WebhookTest"
"""The type of a test's payload, which is no event."""
_NOTIFIER = Actor(user_id=None, display_name="the notifier", role=None, address="local", request_id="-")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tested:
    """How a test came out; `fault` is None if the receiver took it."""

    webhook: Webhook
    fault: str | None


class Webhooks:
    """What operators do with webhooks; each act is in the audit trail."""

    def __init__(
        self,
        work: NotifierWork,
        store: MongoWebhooks,
        sender: WebhookSender,
        *,
        allow_loopback: bool,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._sender = sender
        self._allow_loopback = allow_loopback
        self._clock = clock

    async def all(self) -> list[Webhook]:
        """Return the webhooks, oldest first."""
        return await self._store.all()

    async def add(self, by: Actor, *, url: str, types: Sequence[EventType], reason: str) -> Webhook:
        """Add a webhook with a new secret.

        Raises:
            InvalidRequestError: `webhook_url_refused`.
            ConflictError: `too_many_webhooks`.
        """
        if fault := fault_of_url(url, allow_loopback=self._allow_loopback):
            raise url_refused(fault)
        now = self._clock()
        webhook = Webhook(id=new_id(), url=url, types=frozenset(types), secret=new_secret(), created_at=now)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if len(await tx.webhooks.all_in(tx.session)) >= MOST_WEBHOOKS:
                    raise too_many_webhooks()
                await tx.webhooks.insert(webhook)
                entry = _entry(by, "add_webhook", None, webhook, reason=reason, at=now)
                tx.audit(entry)
        log_act(entry)
        return webhook

    async def rotate(self, by: Actor, webhook_id: UUID, *, overlap: timedelta, reason: str) -> Webhook:
        """Give the webhook a new secret; the one before signs as well while the overlap lasts.

        Raises:
            NotFoundError: `webhook_not_found`.
        """
        now, secret = self._clock(), new_secret()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await _get(tx, webhook_id)
                after = replace(
                    before,
                    secret=secret,
                    previous_secret=before.secret if overlap else None,
                    previous_until=now + overlap if overlap else None,
                )
                await tx.webhooks.change(
                    webhook_id,
                    secret=after.secret,
                    previous_secret=after.previous_secret,
                    previous_until=after.previous_until,
                )
                entry = _entry(by, "rotate_webhook_secret", before, after, reason=reason, at=now)
                tx.audit(entry)
        log_act(entry)
        return after

    async def remove(self, by: Actor, webhook_id: UUID, *, reason: str) -> None:
        """Remove the webhook; what it is still owed is given up.

        Raises:
            NotFoundError: `webhook_not_found`.
        """
        now = self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await _get(tx, webhook_id)
                await tx.webhooks.remove(webhook_id)
                entry = _entry(by, "remove_webhook", before, None, reason=reason, at=now)
                tx.audit(entry)
        log_act(entry)

    async def test(self, by: Actor, webhook_id: UUID) -> Tested:
        """Send a signed test now; a webhook that takes it is enabled again.

        Raises:
            NotFoundError: `webhook_not_found`.
        """
        webhook = await self._store.find(webhook_id)
        if webhook is None:
            raise webhook_not_found()
        now = self._clock()
        payload = {"type": TEST_TYPE, "timestamp": now.isoformat(), "data": {"webhook_id": str(webhook_id)}}
        try:
            await self._sender.post(target_of(webhook, now), str(new_id()), payload)
        except Unavailable as error:
            return Tested(webhook, str(error))
        except GoneError:
            return Tested(webhook, "answered 410: it wants no more")
        await self._store.note_success(webhook_id)
        if webhook.disabled_at is not None:
            webhook = await self._enable(by, webhook_id, now)
        return Tested(replace(webhook, failing_since=None, last_fault=None), None)

    async def _enable(self, by: Actor, webhook_id: UUID, now: datetime) -> Webhook:
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await _get(tx, webhook_id)
                after = replace(before, disabled_at=None)
                await tx.webhooks.change(webhook_id, disabled_at=None)
                entry = _entry(by, "enable_webhook", before, after, reason="a test was taken", at=now)
                tx.audit(entry)
        log_act(entry)
        return after


class WebhookTargets:
    """What the channel needs to know of webhooks, and what becomes of those that fail."""

    def __init__(
        self, work: NotifierWork, store: MongoWebhooks, *, disable_after: timedelta, clock: Clock
    ) -> None:
        self._work = work
        self._store = store
        self._disable_after = disable_after
        self._clock = clock
        self._failing: set[str] = set()

    async def find(self, recipient: str) -> Target:
        """Return where the webhook is.

        Raises:
            Refused: it was removed, or it is disabled.
        """
        webhook = await self._store.find(UUID(recipient))
        if webhook is None:
            raise Refused("the webhook was removed")
        if webhook.disabled_at is not None:
            raise Refused("the webhook is disabled")
        if webhook.failing_since is not None:
            self._failing.add(recipient)
        return target_of(webhook, self._clock())

    async def succeeded(self, recipient: str) -> None:
        """Forget earlier failures."""
        if recipient in self._failing:
            await self._store.note_success(UUID(recipient))
            self._failing.discard(recipient)

    async def failed(self, recipient: str, fault: str, *, for_good: bool) -> None:
        """Keep the failure, and disable a webhook that wants no more, or for long has taken nothing."""
        now, webhook_id = self._clock(), UUID(recipient)
        since = await self._store.note_failure(webhook_id, at=now, fault=fault)
        if since is not None and (for_good or now - since >= self._disable_after):
            await self._disable(webhook_id, now, fault)

    async def notice(self) -> str | None:
        """Return None, or which webhooks are disabled: operators see it in `/readyz` and `dev status`."""
        disabled = [webhook for webhook in await self._store.all() if webhook.disabled_at is not None]
        if not disabled:
            return None
        first = disabled[0]
        more = f" and {len(disabled) - 1} more" if len(disabled) > 1 else ""
        return (
            f"Webhook {first.id}{more} gets nothing any more ({first.last_fault}). "
            f"`bankctl admin webhooks test {first.id}` enables it again once it takes a test."
        )

    async def _disable(self, webhook_id: UUID, now: datetime, fault: str) -> None:
        entry: AuditEntry | None = None
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before, entry = await tx.webhooks.get(webhook_id), None
                if before is not None and before.disabled_at is None:
                    await tx.webhooks.change(webhook_id, disabled_at=now)
                    after = replace(before, disabled_at=now)
                    entry = _entry(_NOTIFIER, "disable_webhook", before, after, reason=fault, at=now)
                    tx.audit(entry)
        if entry is not None:
            _log.error("webhook disabled", webhook_id=str(webhook_id), reason=fault)


def target_of(webhook: Webhook, now: datetime) -> Target:
    """Return where a webhook is, and what signs for it now."""
    return Target(webhook.url, webhook.signing_secrets(now))


async def _get(tx: NotifierTransaction, webhook_id: UUID) -> Webhook:
    webhook = await tx.webhooks.get(webhook_id)
    if webhook is None:
        raise webhook_not_found()
    return webhook


def _entry(
    by: Actor, action: str, before: Webhook | None, after: Webhook | None, *, reason: str, at: datetime
) -> AuditEntry:
    webhook = after or before
    assert webhook is not None  # noqa: S101 - an act is on a webhook
    return AuditEntry(
        at=at,
        actor=by,
        action=action,
        target_kind=WEBHOOK_KIND,
        target_id=str(webhook.id),
        reason=reason,
        before=None if before is None else before.audit_fields(),
        after=None if after is None else after.audit_fields(),
    )
