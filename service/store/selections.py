"""Selections of records: a dataset of some connections, filtered, read along an index."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from service.store.engine import Source

COLUMNS = ("connection_id", "id", "sync_id", "updated_at", "data")
"""The columns of a row that is read."""

Row = Sequence[Any]
"""The cells of a record, in the order of COLUMNS."""

Position = tuple[str, ...]
"""The position where a selection continues: the connection, the time of the change if the selection
has `since`, and the id of the last record; empty at the beginning."""

FIRST_BATCH = 20
"""Records of the first batch. Each may have tens of kilobytes."""
MAX_ROWS = 250
BATCH_BYTES = 64 * 1024
"""Characters of data of a batch, approximately. Its rows are decoded in one step, which other tasks
wait for."""

_SELECTED = f"SELECT {', '.join(COLUMNS)} FROM records"
_OF = "WHERE connection_id = :connection_id AND dataset = :dataset"
_WITH_PREFIX = "+id >= :prefix AND +id < :beyond"  # +: keeps this from choosing an index
# A partial index, which a statement must name by its condition: after the bounds of the page, since
# SQLite begins to read at the first lower bound in the statement.
_BY_CHANGE = f"""{_SELECTED} INDEXED BY records_by_change {_OF}
   AND (updated_at, id) > (:since, :after) AND updated_at > ''"""
_STATES = """
SELECT rows.id AS id,
       (SELECT records FROM landed
         WHERE connection_id = rows.id AND dataset = :dataset) AS records,
       (SELECT updated_at FROM records INDEXED BY records_by_change
         WHERE connection_id = rows.id AND dataset = :dataset AND updated_at > ''
         ORDER BY updated_at DESC LIMIT 1) AS changed
  FROM {rows} ORDER BY rows.id
"""
_COUNTS = """
SELECT dataset, CAST(SUM(records) AS BIGINT) AS records
  FROM {rows} JOIN landed ON landed.connection_id = rows.id GROUP BY dataset
"""


class Selection(msgspec.Struct, frozen=True):
    """A selection of records. They are ordered by connection and id; with `since` by connection,
    time of the last change, and id."""

    dataset: str
    #: In the order of their ids.
    connection_ids: Sequence[str]
    #: Only records whose id begins with this.
    prefix: str = ""
    #: Only records that changed at this time or later, as the database stores times.
    since: str = ""

    @property
    def key_length(self) -> int:
        """The number of texts of a position."""
        return 3 if self.since else 2

    def position(self, row: Row) -> Position:
        """The position after a record."""
        connection_id, record_id, _, updated_at, _ = row
        return (connection_id, updated_at, record_id) if self.since else (connection_id, record_id)

    async def batches(
        self, source: Source, limit: int | None = None, after: Position = ()
    ) -> AsyncIterator[Sequence[Row]]:
        """The records after a position, at most `limit`, in batches that are not empty."""
        size = FIRST_BATCH
        for connection_id in self.connection_ids:
            if after and connection_id < after[0]:
                continue
            position = after if after and connection_id == after[0] else ()
            full = True
            while full and limit != 0:
                size = size if limit is None else min(size, limit)
                rows = await self._page(source, connection_id, size, position)
                full = len(rows) == size
                if rows:
                    yield rows
                    position = self.position(rows[-1])
                    limit = None if limit is None else limit - len(rows)
                    size = _next_size(rows)

    async def _page(
        self, source: Source, connection_id: str, limit: int, after: Position
    ) -> Sequence[Row]:
        """At most `limit` records of a connection."""
        of = {"connection_id": connection_id, "dataset": self.dataset, "limit": limit}
        query, order, values = self._by_change(after) if self.since else self._by_id(after)
        return await source.fetch(f"{query} ORDER BY {order} LIMIT :limit", COLUMNS, of | values)

    def _by_id(self, after: Position) -> tuple[str, str, dict[str, str]]:
        # One lower bound only: of two, the database may begin to read at the lower one.
        first, query = self.prefix, f"{_SELECTED} {_OF} AND id >= :first"
        if after and after[-1] >= self.prefix:
            first, query = after[-1], f"{_SELECTED} {_OF} AND id > :first"
        if not self.prefix:
            return query, "id", {"first": first}
        return f"{query} AND id < :beyond", "id", {"first": first, "beyond": _beyond(self.prefix)}

    def _by_change(self, after: Position) -> tuple[str, str, dict[str, str]]:
        _, since, last = max(after, ("", self.since, ""), key=lambda position: position[1:])
        values = {"since": since, "after": last}
        if not self.prefix:
            return _BY_CHANGE, "updated_at, id", values
        values |= {"prefix": self.prefix, "beyond": _beyond(self.prefix)}
        return f"{_BY_CHANGE} AND {_WITH_PREFIX}", "updated_at, id", values


async def states(
    source: Source, dataset: str, connection_ids: Sequence[str]
) -> Sequence[Sequence[Any]]:
    """The state of a dataset of each connection, which changes with its records: the id of the
    connection, the number of records and the time of the last change (None without records)."""
    columns = ("id", "records", "changed")
    table = {"id": list(connection_ids)}
    return await source.fetch(_STATES, columns, {"dataset": dataset}, table) if table["id"] else []


async def counts(source: Source, connection_ids: Sequence[str]) -> Mapping[str, int]:
    """The number of stored records of each dataset of these connections."""
    if not connection_ids:
        return {}
    rows = await source.fetch(_COUNTS, ("dataset", "records"), {}, {"id": list(connection_ids)})
    return {dataset: records for dataset, records in rows}


def _next_size(rows: Sequence[Row]) -> int:
    """The number of records to read next, if they are as long as these."""
    length = max(1, sum(len(row[-1]) for row in rows) // len(rows))
    return max(1, min(MAX_ROWS, BATCH_BYTES // length))


def _beyond(prefix: str) -> str:
    """The first text after all that begin with a prefix, in the order of code points."""
    rest = prefix.rstrip(chr(0x10FFFF))
    if not rest:
        return chr(0x10FFFF) * 2000  # no id is as long
    code = ord(rest[-1]) + 1
    return rest[:-1] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)
