"""Turns of periodic work: of all processes that use the database, one does it."""

from datetime import datetime, timedelta

from service.store.engine import Engine, Statement, stamp

CLOCKS_APART = timedelta(minutes=5)
"""A turn that is further than this in the future was taken before a clock was set back."""

_TAKE = """
UPDATE chores SET at = :now WHERE name = :name AND (at <= :before OR at > :ahead) RETURNING name
"""


class ChoreStore:
    """The time of the last turn of each chore. The migrations add the chores."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def take(self, name: str, now: datetime, every: timedelta) -> bool:
        """Take the turn of a chore. Returns False if a process has taken it less than `every`
        ago."""
        row = {
            "name": name,
            "now": stamp(now),
            "before": stamp(now - every),
            "ahead": stamp(now + CLOCKS_APART),
        }
        return await self._engine.write(Statement(_TAKE, [row]), [])
