"""The days of datasets: which of them a second source confirms, and which lack records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date

import msgspec

from connectors.completing import DatasetDay, Gaps
from service.model import Sync
from service.store.engine import Engine, Statement, bulk

_KEEP = """
INSERT INTO dataset_days (connection_id, dataset, day, state, records, missing, fetched, sync_id)
SELECT :connection_id, :dataset, rows.day, rows.state, CAST(rows.records AS INTEGER),
       CAST(rows.missing AS INTEGER), CAST(rows.fetched AS INTEGER), :sync_id
  FROM {rows} WHERE true
    ON CONFLICT (connection_id, dataset, day) DO UPDATE
   SET state = excluded.state, records = excluded.records, missing = excluded.missing,
       fetched = dataset_days.fetched + excluded.fetched, sync_id = excluded.sync_id
"""
_CLOSE = """
INSERT INTO closed_gaps (connection_id, dataset, gap, sync_id)
SELECT :connection_id, :dataset, rows.gap, :sync_id FROM {rows} WHERE true
    ON CONFLICT (connection_id, dataset, gap) DO NOTHING
"""


class StoredDay(msgspec.Struct, frozen=True):
    """A day of a dataset, as the last comparison found it."""

    day: DatasetDay
    #: Records that reads lacked and that were fetched one by one.
    fetched: int


class CompletenessStore:
    """Reads what comparisons found. It is written with the sync that made them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def days(self, connection_id: str) -> Mapping[str, Sequence[StoredDay]]:
        """The days of each dataset, the oldest first."""
        sql = """SELECT dataset, day, state, records, missing, fetched FROM dataset_days
                  WHERE connection_id = :id ORDER BY dataset, day"""
        days: defaultdict[str, list[StoredDay]] = defaultdict(list)
        for row in await self._engine.read(sql, {"id": connection_id}):
            on = date.fromisoformat(row["day"])
            day = DatasetDay(on, row["state"], row["records"], row["missing"])
            days[row["dataset"]].append(StoredDay(day, row["fetched"]))
        return days

    async def closed(self, connection_id: str) -> Mapping[str, AbstractSet[str]]:
        """The keys of gaps for which the source has no record, by dataset."""
        sql = "SELECT dataset, gap FROM closed_gaps WHERE connection_id = :id"
        closed: defaultdict[str, set[str]] = defaultdict(set)
        for row in await self._engine.read(sql, {"id": connection_id}):
            closed[row["dataset"]].add(row["gap"])
        return closed


def keep_days(sync: Sync, gaps: Gaps, fetched: Mapping[date, int]) -> Statement:
    """The statement that stores the days of a dataset, with what was fetched for each."""
    table = {
        "day": [day.day.isoformat() for day in gaps.days],
        "state": [str(day.state) for day in gaps.days],
        "records": [str(day.records) for day in gaps.days],
        "missing": [str(day.missing) for day in gaps.days],
        "fetched": [str(fetched.get(day.day, 0)) for day in gaps.days],
    }
    return bulk(_KEEP, _of(sync, gaps.dataset), table)


def close_gaps(sync: Sync, dataset: str, keys: Sequence[str]) -> Statement:
    """The statement that stores the keys of gaps for which the source has no record."""
    return bulk(_CLOSE, _of(sync, dataset), {"gap": list(keys)})


def _of(sync: Sync, dataset: str) -> Mapping[str, str]:
    return {"connection_id": sync.connection_id, "dataset": dataset, "sync_id": sync.id}
