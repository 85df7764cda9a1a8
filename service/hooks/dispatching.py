"""Turns the events of the feed into deliveries, and sends them.

Every process that runs syncs does so. The tables are the queue: the position of a webhook in the
feed moves in the write that stores the deliveries, and a delivery is claimed before it is sent. So
no event is lost if a process ends in between, and no other engine (procrastinate) has to agree with
the tables about waiting deliveries, their times and their order. After a crash, interrupted
deliveries are sent again."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import anyio
import anyio.abc
import structlog
from cryptography.fernet import InvalidToken
from msgspec.structs import replace

from connectors.base import Clock
from service.hooks.sending import SendOutcome, WebhookSender
from service.hooks.webhooks import Webhooks, event_body
from service.model import Status, Sync
from service.store.changes import ChangeStore, OutboxRow, Position
from service.store.deliveries import (
    DeliveryAttempt,
    DeliveryStatus,
    DeliveryStore,
    StoredDelivery,
    added,
)
from service.store.engine import Unavailable
from service.store.ids import Ids
from service.store.webhooks import StoredWebhook, WebhookStore
from service.wire.offsets import to_token

LOOK = 1.0
"""Seconds between two polls for events and due deliveries."""
AGAIN = (0.05, 0.2, 0.5)
"""Seconds after which a woken process polls again: the rows of a transaction are read once all
older ones have ended."""
REST = 0.02
"""Seconds between two rounds. Changes are collected meanwhile."""
AHEAD = timedelta(days=2)
"""Longer than the longest wait of a schedule: a delivery due later was stored before the clock was
set back."""
CORRECT_EVERY = 3600.0
"""Seconds between two checks for such deliveries."""
CLAIM = timedelta(seconds=40)
"""The time that a process has to send a delivery: longer than an attempt takes and clocks
differ."""
MAX_AT_ONCE = 256
"""Maximum attempts at once in a process."""
MAX_TO_FAILING = 128
"""Maximum of these to receivers whose last attempt failed: working receivers never wait for
them."""
MAX_TO_ONE = 4
"""Maximum attempts at once to one receiver; one if its last attempt failed."""
JITTER = 0.1
"""The share by which a wait is at most prolonged, so that recovering receivers are not
overloaded."""
GONE = "The receiver answered 410 Gone."
UNDECRYPTABLE = "The secret cannot be decrypted: rotate it, or restore the key in SECRETS_KEYS."
USER_AGENT = "seller-sync-webhooks/1"

log = structlog.get_logger()


class Dispatcher:
    """Delivers events while it runs. Its memory is bounded by MAX_AT_ONCE deliveries."""

    def __init__(
        self,
        webhooks: Webhooks,
        store: WebhookStore,
        deliveries: DeliveryStore,
        changes: ChangeStore,
        epoch: int,
        sender: WebhookSender,
        clock: Clock,
        schedule: Sequence[float],
    ) -> None:
        """`schedule`: the seconds between two attempts."""
        self._webhooks = webhooks
        self._store = store
        self._deliveries = deliveries
        self._changes = changes
        self._epoch = epoch
        self._sender = sender
        self._clock = clock
        self._schedule = schedule
        self._ids = Ids()
        self._random = Random()  # noqa: S311 - not a secret
        self._woken = anyio.Event()
        #: When to check next for times that are too far in the future.
        self._correct_at = 0.0
        #: The number of running attempts of each webhook.
        self._sending: Counter[str] = Counter()
        #: The webhooks whose last attempt failed.
        self._failing: set[str] = set()

    def wake(self) -> None:
        """Poll at once."""
        self._woken.set()

    def heard(self, sync: Sync) -> None:
        """Poll after a change of a sync, unless it is only progress, which is not an event."""
        if sync.status is not Status.IN_PROGRESS:
            self.wake()

    async def run(self, alone: bool) -> None:
        """Run until cancelled. `alone`: no other process sends."""
        async with anyio.create_task_group() as group:
            looks: Sequence[float] = ()
            while True:
                try:
                    if alone:  # of a process that died
                        await self._deliveries.release_all()
                        alone = False
                    await self._correct_now_and_then()
                    if await self._collect():
                        self.wake()  # there may be more
                    await self._start_due(group)
                except Unavailable:
                    pass  # try again in the next round
                except Exception:
                    log.exception("webhooks_failed")
                await anyio.sleep(REST)
                looks = AGAIN if self._woken.is_set() else looks[1:]
                self._woken = anyio.Event()
                with anyio.move_on_after(looks[0] if looks else LOOK):
                    await self._woken.wait()

    async def _correct_now_and_then(self) -> None:
        if anyio.current_time() >= self._correct_at:
            await self._deliveries.correct_future(self._clock.now(), AHEAD)
            self._correct_at = anyio.current_time() + CORRECT_EVERY

    # From the feed ----------------------------------------------------------------------------

    async def _collect(self) -> bool:
        """Store deliveries of the next events without one, at most ROWS_AT_ONCE for each webhook.
        Returns False if there are none."""
        behind = await self._store.behind()
        for webhook in behind:
            await self._collect_some(webhook)
        return bool(behind)

    async def _collect_some(self, webhook: StoredWebhook) -> None:
        """Store deliveries of the next events of one webhook."""
        rows = await self._changes.rows("events", webhook.filters, webhook.position)
        if not rows:
            return
        wanted = [self._delivery(webhook, row) for row in rows if webhook.wants(row.type)]
        position = Position(rows[-1].tx, rows[-1].seq)
        await self._store.advance(webhook, position, [added(wanted)])

    def _delivery(self, webhook: StoredWebhook, row: OutboxRow) -> StoredDelivery:
        now = self._clock.now()
        return StoredDelivery(
            id=self._ids.next(now),
            webhook_id=webhook.id,
            event_id=to_token(self._epoch, Position(row.tx, row.seq)),
            type=row.type,
            sync_id=row.sync_id,
            connection_id=row.connection_id,
            tx=row.tx,
            seq=row.seq,
            at=now,
            body=event_body(row.type, row.at, row.body.encode()),
        )

    # Sending ----------------------------------------------------------------------------------

    async def _start_due(self, group: anyio.abc.TaskGroup) -> None:
        """Start attempts, as many as may run at once."""
        now = self._clock.now()
        webhooks = list(await self._deliveries.webhooks_with_due(now))
        self._random.shuffle(webhooks)  # so that no receiver is always the last one
        for webhook_id in webhooks:
            free = self._free(webhook_id)
            if free <= 0:
                continue
            for delivery in await self._deliveries.due(webhook_id, now, free):
                until = now + CLAIM
                if await self._deliveries.claim(delivery.id, now, until):
                    self._sending[webhook_id] += 1
                    group.start_soon(self._send, replace(delivery, claimed_until=until))

    def _free(self, webhook_id: str) -> int:
        """The number of attempts to a receiver that may start."""
        sending = self._sending[webhook_id]
        free = MAX_AT_ONCE - self._sending.total()
        if webhook_id not in self._failing:
            return min(free, MAX_TO_ONE - sending)
        to_failing = sum(self._sending[one] for one in self._failing)
        return min(free, 1 - sending, MAX_TO_FAILING - to_failing)

    async def _send(self, delivery: StoredDelivery) -> None:
        """Make an attempt and store its outcome."""
        failing = True
        try:
            failing = await self._attempt(delivery)
        except Unavailable:
            pass  # the claim ends, and the delivery is sent again
        except Exception:
            log.exception("delivery_failed", delivery_id=delivery.id)
        finally:
            self._sending[delivery.webhook_id] -= 1
            self._sending += Counter()  # without those that are 0
            (self._failing.add if failing else self._failing.discard)(delivery.webhook_id)
            self.wake()

    async def _attempt(self, delivery: StoredDelivery) -> bool:
        """Make an attempt. Returns whether it failed."""
        webhook = await self._store.one(delivery.webhook_id)
        if webhook is None:  # deleted meanwhile
            return False
        at, begun = self._clock.now(), anyio.current_time()
        try:
            signature = self._webhooks.signature(webhook, delivery.event_id, at, delivery.body)
        except InvalidToken:
            outcome = SendOutcome(None, UNDECRYPTABLE)
        else:
            headers = {
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                "webhook-id": delivery.event_id,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": signature,
            }
            outcome = await self._sender.send(webhook.url, headers, delivery.body.encode())
        ms = round((anyio.current_time() - begun) * 1000)
        attempt = DeliveryAttempt(at, outcome.status, outcome.error, ms)
        await self._finish(delivery, attempt, gone=outcome.gone)
        return outcome.error is not None

    async def _finish(self, delivery: StoredDelivery, attempt: DeliveryAttempt, gone: bool) -> None:
        now = self._clock.now()
        tries = delivery.tries + 1
        ended = replace(
            delivery,
            attempts=(*delivery.attempts, attempt),
            tries=tries,
            next_attempt_at=None,
            status=DeliveryStatus.FAILED if attempt.error else DeliveryStatus.DELIVERED,
        )
        if attempt.error and not gone and tries <= len(self._schedule):
            wait = self._schedule[tries - 1] * (1 + JITTER * self._random.random())
            next_at = now + timedelta(seconds=wait)
            ended = replace(ended, status=DeliveryStatus.PENDING, next_attempt_at=next_at)
        stored = await self._deliveries.finish(ended, now, GONE if gone else None)
        if stored and attempt.error:
            log.info(
                "webhook_not_delivered",
                webhook_id=delivery.webhook_id,
                delivery_id=delivery.id,
                reason=attempt.error,
                status=ended.status.value,
            )
