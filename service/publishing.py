"""The relay: publishes changed records from the outbox to streams of Redis.

At least once: a position is stored after Redis has accepted the changes before it, so a relay that
dies repeats its last batch, with the same ids. In order: only one process has the turn, and Redis
refuses the batches of an earlier turn once it has accepted one of a later turn. A process that was
paused and continues therefore adds nothing after its successor's changes."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

import anyio
import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from connectors.base import Clock
from service.checks.redis import connect, explain
from service.model import Sync
from service.runner.base import this_process
from service.store.changes import WHOLE, ChangeStore, OutboxRow, Position
from service.store.engine import Unavailable
from service.store.relay import RelayStore, Turn
from service.wire.feed_shapes import Change
from service.wire.serialize_feeds import change_of, changes_in

AT_ONCE = 500
"""Changes that Redis accepts in one call, which takes it a few milliseconds."""
LEASE = timedelta(seconds=5)
"""Time after which another process takes the turn of a silent one."""
LOOK = 2.0
"""Seconds between two polls of the outbox without news. A poll extends the lease."""
AGAIN = (0.05, 0.2, 0.5, 1.0)
"""Seconds between the first polls after news: rows can be read once older transactions end."""
REST = 0.02
"""Seconds after news in which further changes are collected."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts to reach Redis."""

# KEYS: the term of the last turn, the streams. ARGV: the own term, the length of streams, and for
# each change the number of its stream, its id and its event. Terms have the same length.
_ADD = """
local last = redis.call('GET', KEYS[1])
if last and last > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
for i = 3, #ARGV, 3 do
  redis.call('XADD', KEYS[tonumber(ARGV[i])], 'MAXLEN', '~', ARGV[2], '*',
             'change', ARGV[i + 1], 'event', ARGV[i + 2])
end
return 1
"""

log = structlog.get_logger()


class Relay:
    """Publishes while this process has the turn. `alone`: no other process uses the database."""

    def __init__(
        self,
        url: str,
        prefix: str,
        length: int,
        changes: ChangeStore,
        store: RelayStore,
        epoch: int,
        clock: Clock,
        alone: bool,
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._length = length
        self._changes = changes
        self._store = store
        self._epoch = epoch
        self._clock = clock
        self._alone = alone
        self._node = this_process()
        self._news = anyio.Event()
        self._looks: Iterator[float] = iter(())
        self._away = False
        self._pause = FIRST_PAUSE

    def heard(self, _: Sync) -> None:
        """Wake the relay: there may be changes to publish."""
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled, whenever this process has the turn."""
        while True:
            pause = LOOK
            try:
                begin = await self._changes.trimmed("records", None)
                now = self._clock.now()
                turn = await self._store.take(self._node, now, LEASE, begin, self._alone)
                if turn is not None:
                    await self._publish(turn)
            except (RedisError, OSError, TimeoutError) as error:
                pause = self._failed(error)
            except Unavailable:
                pass  # try again after the pause
            except Exception:
                log.exception("relay_failed")
            await anyio.sleep(pause)

    def _failed(self, error: Exception) -> float:
        """The pause before the next attempt. An outage is logged once."""
        if not self._away:
            log.error("records_wait_for_redis", reason=explain(error).sentence)
        self._away = True
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause

    def _reached(self) -> None:
        if self._away:
            log.warning("records_published_again")
        self._away, self._pause = False, FIRST_PAUSE

    # A turn -----------------------------------------------------------------------------------

    async def _publish(self, turn: Turn) -> None:
        """Publish until another process has the turn."""
        client = connect(self._url)
        try:
            await client.ping()
            self._reached()
            position = await self._skip_trimmed(turn.position)
            going_on = await self._keep(turn, position)
            while going_on:
                rows = await self._changes.rows("records", {}, position)
                for batch, behind in self._batches(rows, position):
                    if not await self._add(client, turn, batch):
                        log.warning("relay_replaced", why="a later turn has published already")
                        return
                    position = behind
                    if not await self._keep(turn, position):
                        return
                if not rows:
                    await self._wait()
                    going_on = self._alone or await self._keep(turn, position)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await self._release(turn)
                await client.aclose()

    async def _keep(self, turn: Turn, position: Position) -> bool:
        until = self._clock.now() + LEASE
        return await self._store.keep(turn.term, position, until)

    async def _release(self, turn: Turn) -> None:
        with suppress(Unavailable):  # the lease ends by itself
            await self._store.release(turn.term)

    async def _skip_trimmed(self, position: Position) -> Position:
        """The position after rows that were deleted because of their age before they could be
        published. Readers read the stored records instead."""
        trimmed = await self._changes.trimmed("records", None)
        if trimmed <= position:
            return position
        log.error(
            "records_not_published",
            reason="Changes were older than CHANGES_DAYS before Redis could be reached. "
            "Read the stored records again.",
        )
        return trimmed

    def _batches(
        self, rows: Sequence[OutboxRow], position: Position
    ) -> Iterator[tuple[Sequence[Change], Position]]:
        """The changes of rows after a position, in batches, and the position after each batch."""
        batch: list[Change] = []
        for row in rows:
            entries = changes_in(row)
            same = (row.tx, row.seq) == (position.tx, position.seq)
            begin = position.index if same else 0
            for number in range(begin, len(entries)):
                batch.append(change_of(self._epoch, row, number, entries[number]))
                if len(batch) == AT_ONCE:
                    yield batch, Position(row.tx, row.seq, number + 1)
                    batch = []
        if rows:
            yield batch, Position(rows[-1].tx, rows[-1].seq, WHOLE)

    async def _add(self, client: Redis, turn: Turn, batch: Sequence[Change]) -> bool:
        """Add a batch to the streams. Returns False if Redis has accepted changes of a later
        turn."""
        streams: dict[str, int] = {}
        arguments: list[str | bytes | int] = [f"{turn.term:015d}", self._length]
        for one in batch:
            name = f"{self._prefix}:records:{one.connector}:{one.dataset}"
            number = streams.setdefault(name, len(streams) + 2)
            arguments += [number, one.id, msgspec.json.encode(one)]
        keys = [f"{self._prefix}:relay", *streams]
        accepted = await client.eval(_ADD, len(keys), *keys, *arguments)
        self._reached()
        return bool(accepted)

    async def _wait(self) -> None:
        """Wait for news, or for the next poll."""
        with anyio.move_on_after(next(self._looks, LOOK)):
            await self._news.wait()
        if self._news.is_set():
            self._news = anyio.Event()
            self._looks = iter(AGAIN)
            await anyio.sleep(REST)
