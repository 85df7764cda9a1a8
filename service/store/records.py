"""Records: landing them, counting them, how far a dataset was read, what is no more."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from connectors.base import Record
from service.model import Sync
from service.progress import Coverage, DatasetProgress, Tally
from service.store.engine import Engine, Statement, Table, Values, bulk, stamp

_LAND = """
INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data, at)
SELECT :connection_id, :dataset, rows.id, :sync_id, :sync_id, rows.hash, :updated_at, rows.data,
       rows.at
  FROM {rows} WHERE true  -- or ON CONFLICT would be read as a join's
    ON CONFLICT (connection_id, dataset, id) DO UPDATE
   SET sync_id = excluded.sync_id, seen = excluded.seen, hash = excluded.hash,
       updated_at = excluded.updated_at, data = excluded.data, at = excluded.at
"""
_SEE = """
UPDATE records SET seen = :sync_id
 WHERE connection_id = :connection_id AND dataset = :dataset AND id IN (SELECT rows.id FROM {rows})
"""
_KNOWN = """
SELECT id, hash, seen FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND id IN (SELECT rows.id FROM {rows})
"""
_KNOWN_ITEMS = """
SELECT record_id FROM sync_history_items
 WHERE sync_id = :sync_id AND dataset = :dataset
   AND record_id IN (SELECT rows.id FROM {rows})
"""
_ITEM = """
INSERT INTO sync_history_items (sync_id, dataset, record_id, name, outcome, error, at)
SELECT :sync_id, :dataset, rows.id, rows.name, rows.outcome, rows.error, :at
  FROM {rows} WHERE true
    ON CONFLICT (sync_id, dataset, record_id) DO NOTHING
"""
_COUNT = """
INSERT INTO landed (connection_id, dataset, records) VALUES (:connection_id, :dataset, :more)
    ON CONFLICT (connection_id, dataset) DO UPDATE SET records = landed.records + :more
"""
_COVER = """
INSERT INTO landed (connection_id, dataset, records, since, until, sync_id)
VALUES (:connection_id, :dataset, 0, :since, :until, :sync_id)
    ON CONFLICT (connection_id, dataset) DO UPDATE
   SET since = excluded.since, until = excluded.until, sync_id = excluded.sync_id
"""
# What a sync could have met: of the window that it read, or, where it read all there is, also what
# has no time.
_IN_REACH = """connection_id = :connection_id AND dataset = :dataset
   AND (at BETWEEN :since AND :until OR (at IS NULL AND :whole))"""
_GONE = f"{_IN_REACH} AND seen <> :sync_id"
_GONE_DRY = f"""{_IN_REACH} AND NOT EXISTS (
    SELECT 1 FROM sync_history_items AS items
     WHERE items.sync_id = :sync_id AND items.dataset = records.dataset
       AND items.record_id = records.id)"""
_GONE_ITEMS = """
INSERT INTO sync_history_items (sync_id, dataset, record_id, name, outcome, error, at)
SELECT :sync_id, dataset, id, '', 'deleted', NULL, :now FROM records WHERE {gone}
    ON CONFLICT (sync_id, dataset, record_id) DO NOTHING
"""


class Landing(msgspec.Struct, frozen=True):
    """What a page's records come to, and the statements that keep them."""

    tally: Tally
    statements: Sequence[Statement]


class Sweep(msgspec.Struct, frozen=True):
    """How many records a sync could have met, how many of these it did not meet, and the statements
    that delete those."""

    reached: int
    gone: int
    statements: Sequence[Statement]


class Landed(msgspec.Struct, frozen=True):
    """What is kept of a dataset of a connection."""

    dataset: str
    records: int
    coverage: Coverage | None = None
    sync_id: str | None = None


class RecordStore:
    """What was landed. Its writes travel in the guarded write of a sync."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Landing ----------------------------------------------------------------------------------

    async def landing(
        self,
        sync: Sync,
        dataset: str,
        records: Sequence[Record],
        at: datetime,
        items: str = "failed",
    ) -> Landing:
        """Compare a page with what is known, and say what must be written.

        The look may come before the write and outside of it: only the owner of this sync writes
        these rows, and its guard fails if it is the owner no more. `items` says of which records
        the outcome is noted, unless the sync was told: failed, or all."""
        known, noted = await self._known(sync, dataset, records)
        page = _Sorted(sync, known, noted, sync.options.items or items)
        for record in {each.id: each for each in records}.values():
            page.add(record)
        return page.landing(dataset, at)

    async def _known(
        self, sync: Sync, dataset: str, records: Sequence[Record]
    ) -> tuple[Mapping[str, tuple[str, str]], frozenset[str]]:
        """The hash and last sight of each record that is kept; of which this sync has an item."""
        of = {"connection_id": sync.connection_id, "dataset": dataset}
        ids = [each.id for each in records]
        rows = await self._engine.fetch(_KNOWN, ("id", "hash", "seen"), of, {"id": ids})
        known = {row[0]: (row[1], row[2]) for row in rows}
        if not sync.options.dry_run:
            ids = [each.id for each in records if each.error is not None]
        if not ids:
            return known, frozenset()
        of = {"sync_id": sync.id, "dataset": dataset}
        items = await self._engine.fetch(_KNOWN_ITEMS, ("record_id",), of, {"id": ids})
        return known, frozenset(row[0] for row in items)

    async def sweep(
        self, sync: Sync, dataset: DatasetProgress, at: datetime, items: str = "failed"
    ) -> Sweep:
        """What a faultless read of a dataset did not bring any more."""
        window, options = dataset.checkpoint.window, sync.options
        of = {
            "connection_id": sync.connection_id,
            "dataset": dataset.name,
            "sync_id": sync.id,
            "since": stamp(window.since),
            "until": stamp(window.until),
            "whole": options.since is None and options.until is None,
            "now": stamp(at),
        }
        gone = _GONE_DRY if options.dry_run else _GONE
        sql = f"""SELECT COUNT(*) AS reached, COUNT(CASE WHEN {gone} THEN 1 END) AS gone
                    FROM records WHERE {_IN_REACH}"""
        (row,) = await self._engine.read(sql, of)
        note = Statement(_GONE_ITEMS.replace("{gone}", gone), [of], optional=not options.dry_run)
        delete = Statement(f"DELETE FROM records WHERE {gone}", [of])
        fewer = Statement(_COUNT, [{**of, "more": -row["gone"]}])
        noted = [note] if options.dry_run or (options.items or items) == "all" else []
        deleted = [] if options.dry_run else [delete, fewer]
        return Sweep(row["reached"], row["gone"], [*noted, *deleted])

    # Reading ----------------------------------------------------------------------------------

    async def page(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[Values]:
        """In the order of their ids; `after` is the id that the last page ended with."""
        sql = """SELECT connection_id, id, sync_id, updated_at, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                  ORDER BY id LIMIT :limit"""
        return await self._engine.read(
            sql,
            {"connection_id": connection_id, "dataset": dataset, "after": after, "limit": limit},
        )

    async def raw_page(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[tuple[str, str]]:
        """Their ids and data alone: for those who read all of them."""
        sql = """SELECT id, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                  ORDER BY id LIMIT :limit"""
        values = {"connection_id": connection_id, "dataset": dataset, "after": after}
        rows = await self._engine.fetch(sql, ("id", "data"), {**values, "limit": limit})
        return [(row[0], row[1]) for row in rows]

    async def some(self, connection_id: str, dataset: str, ids: Sequence[str]) -> Sequence[Values]:
        columns = ("connection_id", "id", "sync_id", "updated_at", "data")
        sql = f"""SELECT {", ".join(columns)} FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset
                    AND id IN (SELECT rows.id FROM {{rows}}) ORDER BY id"""
        of = {"connection_id": connection_id, "dataset": dataset}
        rows = await self._engine.fetch(sql, columns, of, {"id": list(ids)})
        return [dict(zip(columns, row, strict=True)) for row in rows]

    async def landed(self, connection_id: str) -> Mapping[str, Landed]:
        """What is kept, by dataset."""
        sql = "SELECT * FROM landed WHERE connection_id = :id ORDER BY dataset"
        rows = await self._engine.read(sql, {"id": connection_id})
        return {row["dataset"]: _landed(row) for row in rows}


def covered(sync: Sync, coverages: Mapping[str, Coverage]) -> Statement:
    """How far the datasets of a connection have been read."""
    of = {"connection_id": sync.connection_id, "sync_id": sync.id}
    rows = [
        {**of, "dataset": name, "since": stamp(each.since), "until": stamp(each.until)}
        for name, each in coverages.items()
    ]
    return Statement(_COVER, rows)


class _Sorted:
    """The records of a page by what becomes of them."""

    def __init__(
        self,
        sync: Sync,
        known: Mapping[str, tuple[str, str]],
        noted: frozenset[str],
        items: str,
    ) -> None:
        self._sync = sync
        self._all = items == "all" or sync.options.dry_run
        self._known = known
        self._noted = noted
        self._counts = dict.fromkeys(("created", "updated", "unchanged", "failed"), 0)
        self._fresh: list[tuple[Record, str]] = []
        self._unchanged: list[str] = []
        self._items: list[tuple[Record, str]] = []

    def add(self, record: Record) -> None:
        """One that this sync has met before is kept, but not counted twice."""
        if record.id in self._noted:
            return
        if record.error is not None:
            self._count(record, "failed")
            return
        digest = _hash(record)
        kept, seen_by = self._known.get(record.id, (None, None))
        if seen_by == self._sync.id:
            self._fresh += [] if kept == digest else [(record, digest)]
        elif kept == digest:
            self._unchanged.append(record.id)
            self._count(record, "unchanged")
        else:
            self._fresh.append((record, digest))
            self._count(record, "created" if kept is None else "updated")

    def _count(self, record: Record, outcome: str) -> None:
        self._counts[outcome] += 1
        if outcome == "failed" or self._all:
            self._items.append((record, outcome))

    def landing(self, dataset: str, at: datetime) -> Landing:
        sync, created = self._sync, self._counts["created"]
        of = {"connection_id": sync.connection_id, "dataset": dataset, "sync_id": sync.id}
        # In a dry run the items are all that is kept, and what tells that a record comes again.
        dry = sync.options.dry_run
        items = bulk(_ITEM, of | {"at": stamp(at)}, _item_table(self._items), optional=not dry)
        kept = [
            bulk(_LAND, of | {"updated_at": stamp(at)}, _record_table(self._fresh)),
            bulk(_SEE, of, {"id": self._unchanged}),
            Statement(_COUNT, [{**of, "more": created}] if created else []),
        ]
        return Landing(Tally(**self._counts), [*([] if dry else kept), items])


def _hash(record: Record) -> str:
    """Of what tells whether a record has changed."""
    version = record.version.encode(errors="surrogatepass")
    return hashlib.blake2b(version or record.data, digest_size=12).hexdigest()


def _record_table(fresh: Sequence[tuple[Record, str]]) -> Table:
    return {
        "id": [record.id for record, _ in fresh],
        "hash": [digest for _, digest in fresh],
        "at": [stamp(record.at) if record.at else None for record, _ in fresh],
        "data": [record.data for record, _ in fresh],
    }


def _item_table(items: Sequence[tuple[Record, str]]) -> Table:
    return {
        "id": [record.id for record, _ in items],
        "name": [record.name for record, _ in items],
        "outcome": [outcome for _, outcome in items],
        "error": [record.error for record, _ in items],
    }


def _landed(row: Values) -> Landed:
    since: Any = row["since"]
    coverage = None
    if since is not None:
        ends = (datetime.fromisoformat(since), datetime.fromisoformat(row["until"]))
        coverage = Coverage(*ends)
    return Landed(row["dataset"], row["records"], coverage, row["sync_id"])
