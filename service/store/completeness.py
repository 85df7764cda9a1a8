"""The days of datasets: those that a second source confirms and those that lack records. Also reads
the stored records for a comparison."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime

import msgspec

from connectors.base import Window
from connectors.completing import Compared, DatasetDay
from service.model import Sync
from service.store.engine import Engine, Statement, bulk, stamp

_KEEP = """
INSERT INTO dataset_days (connection_id, dataset, day, state, records, missing, fetched, sync_id,
                          filled)
SELECT :connection_id, :dataset, rows.day, rows.state, CAST(rows.records AS INTEGER),
       CAST(rows.missing AS INTEGER), CAST(rows.fetched AS INTEGER), :sync_id, rows.filled
  FROM {rows} WHERE true
    ON CONFLICT (connection_id, dataset, day) DO UPDATE
   SET state = excluded.state, records = excluded.records, missing = excluded.missing,
       fetched = dataset_days.fetched + excluded.fetched, sync_id = excluded.sync_id,
       filled = excluded.filled
"""
_MARK = """
INSERT INTO comparisons (connection_id, dataset, at, windows, sync_id)
VALUES (:connection_id, :dataset, :at, :windows, :sync_id)
    ON CONFLICT (connection_id, dataset) DO UPDATE
   SET at = excluded.at, windows = excluded.windows, sync_id = excluded.sync_id
"""
_CLOSE = """
INSERT INTO closed_gaps (connection_id, dataset, gap, sync_id)
SELECT :connection_id, :dataset, rows.gap, :sync_id FROM {rows} WHERE true
    ON CONFLICT (connection_id, dataset, gap) DO NOTHING
"""
# Scalar look-ups, as in `service.store.records`.
_LACKING = """
SELECT rows.id AS id FROM {rows}
 WHERE (SELECT true FROM records
         WHERE records.connection_id = :connection_id AND records.dataset = :dataset
           AND records.id = rows.id) IS NULL
"""
_CLOSED = """
SELECT rows.gap AS gap FROM {rows}
 WHERE (SELECT true FROM closed_gaps
         WHERE closed_gaps.connection_id = :connection_id AND closed_gaps.dataset = :dataset
           AND closed_gaps.gap = rows.gap)
"""
# In the order of a partial index, which each statement must name by its condition: a page costs the
# same wherever it begins. The condition is last: SQLite begins to read at the first lower bound.
_CHANGED = """
SELECT id, data, updated_at AS mark FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND (updated_at, id) > (:mark, :after) AND updated_at > ''
 ORDER BY updated_at, id LIMIT :limit
"""
_BETWEEN = """
SELECT id, data, at AS mark FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND (at, id) > (:mark, :after) AND at <= :until AND at > ''
 ORDER BY at, id LIMIT :limit
"""
_DAYS = """
SELECT day, state, records, missing, filled FROM dataset_days
 WHERE connection_id = :connection_id AND dataset = :dataset ORDER BY day
"""
# Reads only the index.
_PER_DAY = """
SELECT substr(at, 1, 10) AS day, COUNT(*) AS records FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset AND at > ''
 GROUP BY substr(at, 1, 10)
"""


class StoredDay(msgspec.Struct, frozen=True):
    """A day of a dataset, as the last comparison found it."""

    day: DatasetDay
    #: Records that reads lacked and that were fetched one by one.
    fetched: int


class RowPage(msgspec.Struct, frozen=True):
    """Records as ids and data, and where the next page begins."""

    rows: Sequence[tuple[str, str]]
    #: The time and the id of the last record; None after the last page.
    last: tuple[str, str] | None = None


class CompletenessStore:
    """Reads the results of comparisons, and the records for the next one. Results are written with
    the sync that made them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def days(self, connection_id: str) -> Mapping[str, Sequence[StoredDay]]:
        """The days of each dataset, the oldest first."""
        sql = """SELECT dataset, day, state, records, missing, fetched, filled FROM dataset_days
                  WHERE connection_id = :id ORDER BY dataset, day"""
        days: defaultdict[str, list[StoredDay]] = defaultdict(list)
        for row in await self._engine.read(sql, {"id": connection_id}):
            days[row["dataset"]].append(StoredDay(_day(row), row["fetched"]))
        return days

    async def compared(self, connection_id: str, dataset: str) -> Compared | None:
        """The last comparison of a dataset; None if there was none."""
        of = {"connection_id": connection_id, "dataset": dataset}
        sql = """SELECT at, windows FROM comparisons
                  WHERE connection_id = :connection_id AND dataset = :dataset"""
        marks = await self._engine.read(sql, of)
        if not marks:
            return None
        days = [_day(row) for row in await self._engine.read(_DAYS, of)]
        windows = msgspec.json.decode(marks[0]["windows"], type=dict[str, Window])
        return Compared(datetime.fromisoformat(marks[0]["at"]), windows, days)

    # Records, for a comparison ------------------------------------------------------------------

    async def lacking(
        self, connection_id: str, dataset: str, ids: Sequence[str]
    ) -> AbstractSet[str]:
        """The ids that no stored record has."""
        of = {"connection_id": connection_id, "dataset": dataset}
        return {row[0] for row in await self._engine.fetch(_LACKING, ("id",), of, {"id": ids})}

    async def closed(
        self, connection_id: str, dataset: str, keys: Sequence[str]
    ) -> AbstractSet[str]:
        """Those of the keys that are gaps for which the source has no record."""
        of = {"connection_id": connection_id, "dataset": dataset}
        return {row[0] for row in await self._engine.fetch(_CLOSED, ("gap",), of, {"gap": keys})}

    async def changed(
        self, connection_id: str, dataset: str, limit: int, after: tuple[str, str]
    ) -> RowPage:
        """Records in the order of their last change, after a time and an id."""
        of = {"connection_id": connection_id, "dataset": dataset}
        return await self._page(_CHANGED, of, limit, after)

    async def between(
        self, connection_id: str, dataset: str, limit: int, after: tuple[str, str], until: datetime
    ) -> RowPage:
        """Records in the order of their time, after a time and an id, up to `until`."""
        of = {"connection_id": connection_id, "dataset": dataset, "until": stamp(until)}
        return await self._page(_BETWEEN, of, limit, after)

    async def _page(
        self, sql: str, of: Mapping[str, str], limit: int, after: tuple[str, str]
    ) -> RowPage:
        values = {**of, "mark": after[0], "after": after[1], "limit": limit}
        rows = await self._engine.fetch(sql, ("id", "data", "mark"), values)
        last = (rows[-1][2], rows[-1][0]) if len(rows) == limit else None
        return RowPage([(row[0], row[1]) for row in rows], last)

    async def per_day(self, connection_id: str, dataset: str) -> Mapping[date, int]:
        """The number of records of each day that has any."""
        of = {"connection_id": connection_id, "dataset": dataset}
        rows = await self._engine.read(_PER_DAY, of)
        return {date.fromisoformat(row["day"]): row["records"] for row in rows}


def keep_days(
    sync: Sync, dataset: str, days: Sequence[DatasetDay], fetched: Mapping[date, int]
) -> Statement:
    """The statement that stores days of a dataset, with what was fetched for each."""
    table = {
        "day": [day.day.isoformat() for day in days],
        "state": [str(day.state) for day in days],
        "records": [str(day.records) for day in days],
        "missing": [str(day.missing) for day in days],
        "fetched": [str(fetched.get(day.day, 0)) for day in days],
        "filled": [str(day.filled) for day in days],
    }
    return bulk(_KEEP, _of(sync, dataset), table)


def mark_compared(
    sync: Sync, dataset: str, at: datetime, windows: Mapping[str, Window]
) -> Statement:
    """The statement that stores the time up to which a dataset was compared, and the spans of time
    that were used."""
    spans = msgspec.json.encode(windows).decode()
    return Statement(_MARK, [{**_of(sync, dataset), "at": stamp(at), "windows": spans}])


def close_gaps(sync: Sync, dataset: str, keys: Sequence[str]) -> Statement:
    """The statement that stores the keys of gaps for which the source has no record."""
    return bulk(_CLOSE, _of(sync, dataset), {"gap": list(keys)})


def _of(sync: Sync, dataset: str) -> Mapping[str, str]:
    return {"connection_id": sync.connection_id, "dataset": dataset, "sync_id": sync.id}


def _day(row: Mapping[str, object]) -> DatasetDay:
    return msgspec.convert(
        {name: row[name] for name in DatasetDay.__struct_fields__}, DatasetDay, strict=True
    )
