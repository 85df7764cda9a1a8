"""The turn of the relay that publishes changed records, and its position in the outbox.

Only one process has the turn, until its lease ends. Each turn has a number, its term, above all
earlier ones: a write of an earlier turn changes nothing."""

from datetime import datetime, timedelta

import msgspec

from service.store.changes import WHOLE, Position
from service.store.chores import CLOCKS_APART
from service.store.engine import Engine, Statement, stamp

NAME = "records"

_READ = "SELECT node, term, until, tx, seq, entry FROM outbox_relay WHERE name = :name"
_BEGIN = """
INSERT INTO outbox_relay (name, node, term, until, tx, seq, entry)
SELECT :name, '', 0, '', :tx, :seq, :entry
 WHERE NOT EXISTS (SELECT 1 FROM outbox_relay WHERE name = :name) RETURNING name
"""
_TAKE = """
UPDATE outbox_relay SET node = :node, term = :next, until = :until
 WHERE name = :name AND term = :term AND until = :known RETURNING name
"""
_KEEP = """
UPDATE outbox_relay SET tx = :tx, seq = :seq, entry = :entry, until = :until
 WHERE name = :name AND term = :term RETURNING name
"""
_RELEASE = """
UPDATE outbox_relay SET until = '' WHERE name = :name AND term = :term RETURNING name
"""
# Includes rows that are not settled yet: they are also waiting.
_OLDEST = """
SELECT at FROM outbox WHERE feed = :name AND (tx, seq) {compared} (:tx, :seq)
 ORDER BY tx, seq LIMIT 1
"""


class Turn(msgspec.Struct, frozen=True):
    """A turn: its number, and the position from which it continues."""

    term: int
    position: Position


class RelayState(msgspec.Struct, frozen=True):
    """The state of the relay, for operators."""

    #: The process that has the turn, or had it last.
    node: str
    #: Seconds since the oldest change that is not published yet was stored; 0 if there is none.
    lag_seconds: float


class RelayStore:
    """The turns of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(
        self, node: str, now: datetime, lease: timedelta, begin: Position, alone: bool
    ) -> Turn | None:
        """Begin a turn; None while another process has it. The first one begins at `begin`. With
        `alone` there is no other process, so an existing lease belongs to one that died."""
        rows = await self._engine.read(_READ, {"name": NAME})
        if not rows:
            await self._engine.write(Statement(_BEGIN, [{"name": NAME, **_of(begin)}]), [])
            rows = await self._engine.read(_READ, {"name": NAME})
        row = rows[0]
        if not alone and stamp(now) < row["until"] <= stamp(now + CLOCKS_APART):
            return None
        # Milliseconds, so that a database restored from a copy has no term that was used before.
        term = max(row["term"] + 1, int(now.timestamp() * 1000))
        of = {"name": NAME, "node": node, "term": row["term"], "known": row["until"], "next": term}
        taken = Statement(_TAKE, [{**of, "until": stamp(now + lease)}])
        if not await self._engine.write(taken, []):
            return None  # another process was first
        return Turn(term, Position(row["tx"], row["seq"], row["entry"]))

    async def keep(self, term: int, position: Position, until: datetime) -> bool:
        """Store the position of a turn and extend its lease. Returns False if another turn has
        begun."""
        of = {"name": NAME, "term": term, "until": stamp(until), **_of(position)}
        return await self._engine.write(Statement(_KEEP, [of]), [])

    async def release(self, term: int) -> None:
        """End a turn, so that another process need not wait for the end of its lease."""
        await self._engine.write(Statement(_RELEASE, [{"name": NAME, "term": term}]), [])

    async def state(self, now: datetime) -> RelayState | None:
        """The process that publishes, and its lag; None if nothing was ever published."""
        rows = await self._engine.read(_READ, {"name": NAME})
        if not rows:
            return None
        row = rows[0]
        position = Position(row["tx"], row["seq"], row["entry"])
        compared = ">" if position.index == WHOLE else ">="
        oldest = await self._engine.read(
            _OLDEST.format(compared=compared),
            {"name": NAME, "tx": position.tx, "seq": position.seq},
        )
        lag = 0.0
        if oldest:
            lag = (now - datetime.fromisoformat(oldest[0]["at"])).total_seconds()
        return RelayState(row["node"], max(0.0, lag))


def _of(position: Position) -> dict[str, int]:
    return {"tx": position.tx, "seq": position.seq, "entry": position.index}
