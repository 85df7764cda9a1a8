"""Records: pages, counts, the coverage of datasets, and deletions."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from connectors.base import Record
from service.model import Sync
from service.progress import Coverage, DatasetProgress, Tally
from service.store.engine import Engine, Statement, Table, Values, bulk, stamp

_WRITE = """
INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data, at)
SELECT :connection_id, :dataset, rows.id, :sync_id, :sync_id, rows.hash, :updated_at, rows.data,
       rows.at
  FROM {rows} WHERE true  -- so that ON CONFLICT is not parsed as part of a join
    ON CONFLICT (connection_id, dataset, id) DO UPDATE
   SET sync_id = excluded.sync_id, seen = excluded.seen, hash = excluded.hash,
       updated_at = excluded.updated_at, data = excluded.data, at = excluded.at
"""
_SEE = """
UPDATE records SET seen = :sync_id
 WHERE connection_id = :connection_id AND dataset = :dataset AND id IN (SELECT rows.id FROM {rows})
"""
_STORED = """
SELECT id, hash, seen FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND id IN (SELECT rows.id FROM {rows})
"""
_ITEMS_OF_SYNC = """
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


class Sweep(msgspec.Struct, frozen=True):
    """The stored records that a full refresh did not read, and the statements that delete them."""

    #: How many records the sync could have read.
    reached: int
    #: How many of these records it did not read.
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
        rows = await self._engine.fetch(_STORED, ("id", "hash", "seen"), of, {"id": ids})
        stored = {row[0]: (row[1], row[2]) for row in rows}
        if not sync.options.dry_run:
            ids = [record.id for record in records if record.error is not None]
        if not ids:
            return stored, frozenset()
        of = {"sync_id": sync.id, "dataset": dataset}
        items = await self._engine.fetch(_ITEMS_OF_SYNC, ("record_id",), of, {"id": ids})
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
        return Sweep(row["reached"], row["gone"], [*noted, *deleted])

    # Reading ----------------------------------------------------------------------------------

    async def page(
        self, connection_id: str, dataset: str, limit: int, after: str = ""
    ) -> Sequence[Values]:
        """A page, ordered by id. `after` is the last id of the page before."""
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
        """A page of ids and data only, to read all records."""
        sql = """SELECT id, data FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset AND id > :after
                  ORDER BY id LIMIT :limit"""
        values = {"connection_id": connection_id, "dataset": dataset, "after": after}
        rows = await self._engine.fetch(sql, ("id", "data"), {**values, "limit": limit})
        return [(row[0], row[1]) for row in rows]

    async def by_id(self, connection_id: str, dataset: str, ids: Sequence[str]) -> Sequence[Values]:
        """The records with these ids, ordered by id."""
        columns = ("connection_id", "id", "sync_id", "updated_at", "data")
        sql = f"""SELECT {", ".join(columns)} FROM records
                  WHERE connection_id = :connection_id AND dataset = :dataset
                    AND id IN (SELECT rows.id FROM {{rows}}) ORDER BY id"""
        of = {"connection_id": connection_id, "dataset": dataset}
        rows = await self._engine.fetch(sql, columns, of, {"id": list(ids)})
        return [dict(zip(columns, row, strict=True)) for row in rows]

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
            self._fresh += [] if stored_hash == digest else [(record, digest)]
        elif stored_hash == digest:
            self._unchanged.append(record.id)
            self._count(record, "unchanged")
        else:
            self._fresh.append((record, digest))
            self._count(record, "created" if stored_hash is None else "updated")

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
        ]
        return PageWrite(Tally(**self._counts), [*([] if dry else writes), items])


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
