"""The event bus of a cluster: one stream in Redis that every process adds to and reads.

Two connections per process, however many streams it serves: one reads, one writes. A change is
delivered here at once and never waits for Redis. Changes that the stream loses (Redis is
unreachable, full, or was restarted without its data) arrive by reads of the database."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import anyio.abc
import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.checks.redis import TIMEOUT, connect, explain, foreign, owner_key
from service.events.shared import Changes, OfUsers, SharedEventBus
from service.model import Sync

MAX_LENGTH = 10_000
"""About how many changes the stream keeps."""
AT_ONCE = 500
BLOCK = 2000
"""Milliseconds that a read waits for a change."""
LONGEST_PAUSE = 2.0
"""Maximum seconds between two attempts to reach Redis."""
ANNOUNCE = 5.0
"""Seconds between two writes of the key that names the owner of the prefix. By these, a process
without changes to send also notices a server that accepts no writes."""
FORGOTTEN = 60
"""Seconds after which that key expires."""

log = structlog.get_logger()


class RedisEventBus(SharedEventBus):
    """Publishes changes to the stream, and delivers those that it receives."""

    def __init__(
        self, url: str, prefix: str, database: str, changes: Changes, of_users: OfUsers
    ) -> None:
        super().__init__(changes, of_users)
        self._url = url
        self._prefix = prefix
        self._key = f"{prefix}:events"
        #: Marks the changes of this cluster: another one may use the same prefix by mistake.
        self._database = database.encode()
        self._announce_at = 0.0
        self._foreign_logged = False
        #: The newest unsent version of each sync.
        self._outgoing: dict[str, Sync] = {}
        self._wake = anyio.Event()
        #: Names of the directions that fail now.
        self._away: set[str] = set()

    async def publish(self, sync: Sync) -> None:
        self.deliver(sync)
        self._outgoing[sync.id] = sync
        self._wake.set()

    def _start(self, group: anyio.abc.TaskGroup) -> None:
        super()._start(group)
        group.start_soon(self._persist, self._send)
        group.start_soon(self._persist, self._receive)

    async def _persist(self, work: Callable[[], Any]) -> None:
        """Repeat this work, with a growing pause after each failure."""
        pause = 0.05
        while True:
            began = anyio.current_time()
            try:
                await work()
            except (RedisError, OSError, TimeoutError) as error:
                if not self._away:
                    log.error("redis_away", reason=explain(error).sentence)
                self._away.add(work.__name__)
            if anyio.current_time() - began > LONGEST_PAUSE:
                pause = 0.05
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _back(self, work: Callable[[], Any]) -> None:
        if work.__name__ not in self._away:
            return
        self._away.remove(work.__name__)
        if not self._away:
            log.warning("redis_back")

    # Sending ----------------------------------------------------------------------------------

    async def _send(self) -> None:
        client = connect(self._url)
        self._announce_at = 0.0
        try:
            while True:
                with anyio.move_on_after(self._announce_at - anyio.current_time()):
                    await self._wake.wait()
                self._wake = anyio.Event()
                await self._send_all(client)
                self._back(self._send)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await client.aclose()

    async def _send_all(self, client: Redis) -> None:
        batch, self._outgoing = self._outgoing, {}
        try:
            async with client.pipeline(transaction=False) as pipe:
                for sync in batch.values():
                    fields: Any = {"sync": msgspec.json.encode(sync), "database": self._database}
                    pipe.xadd(self._key, fields, maxlen=MAX_LENGTH, approximate=True)
                if announcing := anyio.current_time() >= self._announce_at:
                    pipe.set(owner_key(self._prefix), self._database, ex=FORGOTTEN, get=True)
                answers = await pipe.execute()
            if announcing:
                self._announce_at = anyio.current_time() + ANNOUNCE
                self._check_owner(answers[-1] or self._database)
        except BaseException:
            self._outgoing = {**batch, **self._outgoing}
            self._wake.set()
            raise

    # Receiving --------------------------------------------------------------------------------

    async def _receive(self) -> None:
        client = connect(self._url, BLOCK / 1000 + TIMEOUT)
        try:
            # Never `$`: it would skip the changes that are added between two reads.
            last = await self._last(client)
            self._back(self._receive)
            await self.catch_up()
            while True:
                read: Any = await client.xread({self._key: last}, count=AT_ONCE, block=BLOCK)
                changes: Sequence[Any] = read[0][1] if read else ()
                for last, fields in changes:  # noqa: B007 - the id of the last one is used
                    if self._check_owner(fields.get(b"database")):
                        self._deliver_encoded(fields[b"sync"])
                if len(changes) == AT_ONCE:  # the stream may have been trimmed past this reader
                    await self.catch_up()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await client.aclose()

    def _check_owner(self, database: bytes | None) -> bool:
        """Whether this is this service's database. Another one is logged once."""
        if database != self._database and not self._foreign_logged:
            self._foreign_logged = True
            log.error("foreign_events", reason=foreign(self._prefix).sentence)
        return database == self._database

    async def _last(self, client: Redis) -> bytes:
        newest: Any = await client.xrevrange(self._key, count=1)
        return newest[0][0] if newest else b"0-0"

    def _deliver_encoded(self, body: bytes) -> None:
        try:
            self.deliver(_decoder.decode(body))
        except msgspec.DecodeError as error:  # of a process of another version
            log.warning("change_not_understood", reason=str(error))


_decoder = msgspec.json.Decoder(Sync)
