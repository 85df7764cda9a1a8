"""Records: pages, counts, the coverage of datasets, and deletions."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

import msgspec

from connectors.base import Record
from service.model import Sync
from service.progress import Coverage, DatasetProgress, Tally
from service.store.changes import changed_records, shown
from service.store.engine import Engine, Source, Statement, Table, Values, bulk, stamp

_WRITE = """
INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data, at,
                     first_seen_at, first_sync_id)
SELECT :connection_id, :dataset, rows.id, :sync_id, :sync_id, rows.hash, :updated_at, rows.data,
       rows.at, NULL, NULL
  FROM {rows} WHERE true  -- so that ON CONFLICT is not parsed as part of a join
    ON CONFLICT (connection_id, dataset, id) DO UPDATE
   SET sync_id = excluded.sync_id, seen = excluded.seen, hash = excluded.hash,
       updated_at = excluded.updated_at, data = excluded.data, at = excluded.at,
       first_seen_at = coalesce(records.first_seen_at, records.updated_at),
       first_sync_id = coalesce(records.first_sync_id, records.sync_id)
"""
# Null if unknown: an earlier version of the service stored the record.
_FIRST_SEEN = "nullif(coalesce(first_seen_at, updated_at), '')"
_FIRST_SYNC = "nullif(coalesce(first_sync_id, sync_id), '')"
# Rows are looked up one by one, by scalar subqueries. For a join or IN, PostgreSQL would read the
# whole dataset, as long as it has not analysed the table.
_KNOWN = """(SELECT {columns} FROM records
          WHERE connection_id = :connection_id AND dataset = :dataset AND records.id = rows.id)"""
# An upsert that inserts nothing, for a set of rows that UPDATE could only join.
_SEE = f"""
INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)
SELECT :connection_id, :dataset, rows.id, '', :sync_id, '', '', ''
  FROM {{rows}}
 WHERE {_KNOWN.format(columns="true")}
    ON CONFLICT (connection_id, dataset, id) DO UPDATE SET seen = excluded.seen
"""
# `known` is the hash and the last sync, with a space between them.
_STORED = f"""
SELECT rows.id AS id, {_KNOWN.format(columns="hash || ' ' || seen")} AS known FROM {{rows}}
"""
_BY_ID = f"""
SELECT rows.id AS id, {_KNOWN.format(columns="sync_id")} AS sync_id,
       {_KNOWN.format(columns="updated_at")} AS updated_at,
       {_KNOWN.format(columns="data")} AS data
  FROM {{rows}} ORDER BY rows.id
"""
_ITEMS_OF_SYNC = """
SELECT rows.id AS id FROM {rows}
 WHERE (SELECT true FROM sync_history_items
         WHERE sync_id = :sync_id AND dataset = :dataset AND record_id = rows.id)
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
# The records that a sync could have read: those in its window and, if it had no limits, those
# without a time.
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


class PageWrite(msgspec.Struct, frozen=True):
    """The outcomes of a page's records, and the statements that store the page."""

    tally: Tally
    statements: Sequence[Statement]
    #: The records that were stored before and have changed.
    updated: Sequence[Record] = ()


class Sweep(msgspec.Struct, frozen=True):
    """The stored records that a full refresh did not read, and the statements that delete them."""

    #: The number of records that the sync could have read.
    reached: int
    #: The number of these records that it did not read.
    gone: int
    #: The statements that delete the records that it did not read.
    statements: Sequence[Statement]


class StoredDataset(msgspec.Struct, frozen=True):
    """The number of stored records of a dataset, and its coverage."""

    dataset: str
    records: int
    #: The span that was read without a gap; None if unknown.
    coverage: Coverage | None = None
    #: The sync that last read the dataset.
    sync_id: str | None = None


class RecordStore:
    """The records of all connections. Its writes are part of the guarded write of a sync."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def source(self) -> Source:
        """The records as they are at each read."""
        return self._engine

    def snapshot(self) -> AbstractAsyncContextManager[Source]:
        """The records as they are now; see `Engine.snapshot`."""
        return self._engine.snapshot()

    # Writing ----------------------------------------------------------------------------------

    async def page_write(
        self,
        sync: Sync,
        dataset: str,
        records: Sequence[Record],
        at: datetime,
        items: str = "failed",
    ) -> PageWrite:
        """Compare a page with the stored records. The result contains the statements that store it.

        The comparison is safe outside of the write: only the owner of this sync writes these rows,
        and the guard of the write fails if the sync has another owner. `items` (failed or all)
        selects the records whose outcome is stored, unless the sync has its own option."""
        stored, with_items = await self._compare(sync, dataset, records)
        page = _SortedPage(sync, stored, with_items, sync.options.items or items)
        for record in {record.id: record for record in records}.values():
            page.add(record)
        return page.write(dataset, at)

    async def _compare(
        self, sync: Sync, dataset: str, records: Sequence[Record]
    ) -> tuple[Mapping[str, tuple[str, str]], frozenset[str]]:
        """The hash and the last sync of each stored record; the ids with an item of this sync."""
        of = {"connection_id": sync.connection_id, "dataset": dataset}
        ids = [record.id for record in records]
        rows = await self._engine.fetch(_STORED, ("id", "known"), of, {"id": ids})
        stored = {row[0]: tuple(row[1].split(" ", 1)) for row in rows if row[1]}
        if not sync.options.dry_run:
            ids = [record.id for record in records if record.error is not None]
        if not ids:
            return stored, frozenset()
        of = {"sync_id": sync.id, "dataset": dataset}
        items = await self._engine.fetch(_ITEMS_OF_SYNC, ("id",), of, {"id": ids})
        return stored, frozenset(row[0] for row in items)

    async def sweep(
        self, sync: Sync, dataset: DatasetProgress, at: datetime, items: str = "failed"
    ) -> Sweep:
        """The stored records that a complete read of a dataset did not return."""
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
        if row["gone"] and not options.dry_run:
            deleted.append(await self._deletions(sync, dataset.name, of, at))
        return Sweep(row["reached"], row["gone"], [*noted, *deleted])

    async def _deletions(
        self, sync: Sync, dataset: str, of: Mapping[str, Any], at: datetime
    ) -> Statement:
        """The statement that adds the deletions of a sweep to the outbox."""
        sql = f"SELECT id, at FROM records WHERE {_GONE} ORDER BY id"
        rows = await self._engine.fetch(sql, ("id", "at"), of)
        gone = [("deleted", id, f"{moment[:23]}Z" if moment else None) for id, moment in rows]
        return changed_records(sync, dataset, at, gone)

    # Reading ----------------------------------------------------------------------------------

    async def raw_page(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[Sequence[Any]]:
        """A page of ids, data, and the times (None if unknown) when the records were first seen and
        last changed, to read all records."""
        columns = ("id", "data", "first_seen_at", "updated_at")
        sql = f"""SELECT id, data, {_FIRST_SEEN} AS first_seen_at, updated_at FROM records
                   WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                   ORDER BY id LIMIT :limit"""
        values = {"connection_id": connection_id, "dataset": dataset, "after": after}
        return await self._engine.fetch(sql, columns, {**values, "limit": limit})

    async def holders(
        self, connection_ids: Sequence[str], dataset: str, record_id: str
    ) -> Sequence[str]:
        """Those of the connections that have this record, in the order of their ids."""
        sql = """SELECT connection_id FROM {rows} CROSS JOIN records  -- CROSS: in this order
                  WHERE connection_id = rows.id AND dataset = :dataset AND records.id = :id
                  ORDER BY connection_id"""
        values = {"dataset": dataset, "id": record_id}
        table = {"id": list(connection_ids)}
        rows = await self._engine.fetch(sql, ("connection_id",), values, table)
        return [row[0] for row in rows]

    async def one(self, connection_id: str, dataset: str, record_id: str) -> Values | None:
        """A record, with the time and the sync that first stored it (None if unknown)."""
        sql = f"""SELECT connection_id, id, sync_id, updated_at, data,
                         {_FIRST_SEEN} AS first_seen_at, {_FIRST_SYNC} AS first_sync_id
                    FROM records
                   WHERE connection_id = :connection_id AND dataset = :dataset AND id = :id"""
        of = {"connection_id": connection_id, "dataset": dataset, "id": record_id}
        rows = await self._engine.read(sql, of)
        return rows[0] if rows else None

    async def by_id(self, connection_id: str, dataset: str, ids: Sequence[str]) -> Sequence[Values]:
        """The records with these ids, ordered by id."""
        columns = ("id", "sync_id", "updated_at", "data")
        of = {"connection_id": connection_id, "dataset": dataset}
        rows = await self._engine.fetch(_BY_ID, columns, of, {"id": sorted(set(ids))})
        found = (dict(zip(columns, row, strict=True)) for row in rows if row[1] is not None)
        return [{"connection_id": connection_id, **row} for row in found]

    async def datasets(self, connection_id: str) -> Mapping[str, StoredDataset]:
        """The datasets of a connection that were read, by name."""
        sql = "SELECT * FROM landed WHERE connection_id = :id ORDER BY dataset"
        rows = await self._engine.read(sql, {"id": connection_id})
        return {row["dataset"]: _stored_dataset(row) for row in rows}


def covered(sync: Sync, coverages: Mapping[str, Coverage]) -> Statement:
    """The statement that stores how far the datasets of a connection have been read."""
    of = {"connection_id": sync.connection_id, "sync_id": sync.id}
    rows = [
        {**of, "dataset": name, "since": stamp(span.since), "until": stamp(span.until)}
        for name, span in coverages.items()
    ]
    return Statement(_COVER, rows)


class _SortedPage:
    """The records of a page, grouped by outcome."""

    def __init__(
        self,
        sync: Sync,
        stored: Mapping[str, tuple[str, str]],
        with_items: frozenset[str],
        items: str,
    ) -> None:
        self._sync = sync
        self._all = items == "all" or sync.options.dry_run
        self._stored = stored
        self._with_items = with_items
        self._counts = dict.fromkeys(("created", "updated", "unchanged", "failed"), 0)
        self._fresh: list[tuple[Record, str]] = []
        self._unchanged: list[str] = []
        self._items: list[tuple[Record, str]] = []
        self._updated: list[Record] = []
        #: For the outbox: what happened to each stored record, its id, and its time.
        self._changes: list[tuple[str, str, str | None]] = []

    def add(self, record: Record) -> None:
        """Add a record. If this sync has read it before, it is stored but not counted again."""
        if record.id in self._with_items:
            return
        if record.error is not None:
            self._count(record, "failed")
            return
        digest = _hash(record)
        stored_hash, seen_by = self._stored.get(record.id, (None, None))
        if seen_by == self._sync.id:
            if stored_hash != digest:
                self._fresh.append((record, digest))
                self._note("updated", record)
        elif stored_hash == digest:
            self._unchanged.append(record.id)
            self._count(record, "unchanged")
        else:
            self._fresh.append((record, digest))
            self._updated += [] if stored_hash is None else [record]
            outcome = "created" if stored_hash is None else "updated"
            self._note(outcome, record)
            self._count(record, outcome)

    def _note(self, op: str, record: Record) -> None:
        self._changes.append((op, record.id, shown(record.at) if record.at else None))

    def _count(self, record: Record, outcome: str) -> None:
        self._counts[outcome] += 1
        if outcome == "failed" or self._all:
            self._items.append((record, outcome))

    def write(self, dataset: str, at: datetime) -> PageWrite:
        """The statements that store the page."""
        sync, created = self._sync, self._counts["created"]
        of = {"connection_id": sync.connection_id, "dataset": dataset, "sync_id": sync.id}
        # A dry run stores items only. They identify a record that is read twice.
        dry = sync.options.dry_run
        items = bulk(_ITEM, of | {"at": stamp(at)}, _item_table(self._items), optional=not dry)
        writes = [
            bulk(_WRITE, of | {"updated_at": stamp(at)}, _record_table(self._fresh)),
            bulk(_SEE, of, {"id": self._unchanged}),
            Statement(_COUNT, [{**of, "more": created}] if created else []),
            changed_records(sync, dataset, at, self._changes),
        ]
        statements = [*([] if dry else writes), items]
        return PageWrite(msgspec.convert(self._counts, Tally), statements, self._updated)


def _hash(record: Record) -> str:
    """A digest that changes with the record."""
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


def _stored_dataset(row: Values) -> StoredDataset:
    since: Any = row["since"]
    coverage = None
    if since is not None:
        ends = (datetime.fromisoformat(since), datetime.fromisoformat(row["until"]))
        coverage = Coverage(*ends)
    return StoredDataset(row["dataset"], row["records"], coverage, row["sync_id"])
