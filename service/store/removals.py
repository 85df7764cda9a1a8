"""The units that users received from removal orders, and the removal orders in the records."""

from collections.abc import Collection, Sequence
from datetime import date

import msgspec

from connectors.claims import RemovalArrival, RemovalColumns
from service.store.engine import Engine, Table, Values, bulk

MAX_ARRIVALS = 100_000
"""Arrivals that one user may store."""

Key = tuple[str, str, str, str]
"""The key of an arrival: removal order, SKU, FNSKU and tracking number."""

NOTHING: Key = ("", "", "", "")
"""The key that sorts before all others."""

_ARRIVAL = "order_id, sku, fnsku, tracking, units, day"
_KEEP = f"""
INSERT INTO removals_received (user_id, {_ARRIVAL}, connection_id)
SELECT :user_id, rows.order_id, rows.sku, rows.fnsku, rows.tracking,
       CAST(rows.units AS INTEGER), rows.day, rows.connection_id
  FROM {{rows}}
 WHERE EXISTS (SELECT 1 FROM connections  -- it may have been erased meanwhile
                WHERE id = rows.connection_id AND forgotten_at IS NULL)
    ON CONFLICT (user_id, order_id, sku, fnsku, tracking) DO UPDATE
   SET units = excluded.units, day = excluded.day, connection_id = excluded.connection_id
"""
_ROOM = """
SELECT 1 WHERE (SELECT COUNT(*) FROM removals_received WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM {rows} WHERE NOT EXISTS (
                    SELECT 1 FROM removals_received AS kept
                     WHERE kept.user_id = :user_id AND kept.order_id = rows.order_id
                       AND kept.sku = rows.sku AND kept.fnsku = rows.fnsku
                       AND kept.tracking = rows.tracking)) <= :most
"""
_SENT = """
SELECT DISTINCT json_extract(data, :order_path) AS order_id,
       coalesce(json_extract(data, :sku_path), '') AS sku,
       coalesce(json_extract(data, :fnsku_path), '') AS fnsku,
       coalesce(json_extract(data, :tracking_path), '') AS tracking
  FROM records
 WHERE connection_id = :connection_id AND dataset = :dataset
   AND json_extract(data, :order_path) IN (SELECT rows.order_id FROM {rows})
"""


class SentProduct(msgspec.Struct, frozen=True):
    """A product of a removal order, as the records of a connection show it."""

    connection_id: str
    order: str
    sku: str
    fnsku: str
    #: Empty if it is not known.
    tracking: str


def key(arrival: RemovalArrival) -> Key:
    return arrival.order, arrival.sku, arrival.fnsku, arrival.tracking


class RemovalStore:
    """Stores arrivals, and finds removal orders in the records."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def arrivals(self, user: str) -> Sequence[RemovalArrival]:
        """All arrivals that the user reported, in the order of `key`."""
        sql = f"""SELECT {_ARRIVAL} FROM removals_received WHERE user_id = :user
                   ORDER BY order_id, sku, fnsku, tracking"""
        return [_arrival(row) for row in await self._engine.read(sql, {"user": user})]

    async def page(self, user: str, limit: int, after: Key = NOTHING) -> Sequence[RemovalArrival]:
        """A page in the order of `key`. `after` is the key of the last arrival before it."""
        sql = f"""SELECT {_ARRIVAL} FROM removals_received
                   WHERE user_id = :user
                     AND (order_id, sku, fnsku, tracking) > (:order, :sku, :fnsku, :tracking)
                   ORDER BY order_id, sku, fnsku, tracking LIMIT :limit"""
        names = ("order", "sku", "fnsku", "tracking")
        values = {"user": user, "limit": limit, **dict(zip(names, after, strict=True))}
        return [_arrival(row) for row in await self._engine.read(sql, values)]

    async def store(self, user: str, arrivals: Sequence[tuple[RemovalArrival, str]]) -> bool:
        """Store arrivals, each with the connection that has its removal order. Returns False, and
        stores nothing, if the user would have more than MAX_ARRIVALS."""
        if not arrivals:
            return True
        table: Table = {
            "order_id": [arrival.order for arrival, _ in arrivals],
            "sku": [arrival.sku for arrival, _ in arrivals],
            "fnsku": [arrival.fnsku for arrival, _ in arrivals],
            "tracking": [arrival.tracking for arrival, _ in arrivals],
            "units": [str(arrival.units) for arrival, _ in arrivals],
            "day": [_text(arrival.day) for arrival, _ in arrivals],
            "connection_id": [connection_id for _, connection_id in arrivals],
        }
        guard = bulk(_ROOM, {"user_id": user, "most": MAX_ARRIVALS}, table)
        return await self._engine.write(guard, [bulk(_KEEP, {"user_id": user}, table)])

    async def sent(
        self, connection_id: str, columns: RemovalColumns, orders: Collection[str]
    ) -> Sequence[SentProduct]:
        """The products of these removal orders in a dataset of a connection."""
        names = ("order", "sku", "fnsku", "tracking")
        paths = {f"{name}_path": f'$."{getattr(columns, name)}"' for name in names}
        rows = await self._engine.fetch(
            _SENT,
            ("order_id", "sku", "fnsku", "tracking"),
            {**paths, "connection_id": connection_id, "dataset": columns.dataset},
            {"order_id": list(orders)},
        )
        return [SentProduct(connection_id, *map(str, row)) for row in rows]


def _text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _arrival(row: Values) -> RemovalArrival:
    return RemovalArrival(
        order=row["order_id"],
        units=row["units"],
        sku=row["sku"],
        fnsku=row["fnsku"],
        tracking=row["tracking"],
        day=date.fromisoformat(row["day"]) if row["day"] else None,
    )
