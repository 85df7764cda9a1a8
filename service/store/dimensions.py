"""The dimensions and weights of products that users enter."""

from collections.abc import Mapping

import msgspec

from connectors.claims import Dimensions
from service.store.engine import Engine, Values, bulk

MAX_DIMENSIONS = 100_000
"""Products whose dimensions one user may store."""

_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Dimensions))
_NAMES = ", ".join(_COLUMNS)
_KEEP = f"""
INSERT INTO dimensions (user_id, sku, {_NAMES})
SELECT :user_id, rows.sku, {", ".join(f"rows.{name}" for name in _COLUMNS)} FROM {{rows}} WHERE true
    ON CONFLICT (user_id, sku) DO UPDATE
   SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""
_ROOM = """
SELECT 1 WHERE (SELECT COUNT(*) FROM dimensions WHERE user_id = :user_id)
             + (SELECT COUNT(*) FROM {rows} WHERE NOT EXISTS (
                    SELECT 1 FROM dimensions WHERE user_id = :user_id AND sku = rows.sku)) <= :most
"""


class DimensionStore:
    """Reads and writes what users enter about the size of their products."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def all(self, user: str) -> dict[str, Dimensions]:
        """The dimensions of all products of a user, by SKU."""
        sql = f"SELECT sku, {_NAMES} FROM dimensions WHERE user_id = :user"
        return dict(map(_dimensions, await self._engine.read(sql, {"user": user})))

    async def page(self, user: str, limit: int, after: str = "") -> list[tuple[str, Dimensions]]:
        """A page, ordered by SKU. `after` is the last SKU of the page before."""
        sql = f"""SELECT sku, {_NAMES} FROM dimensions WHERE user_id = :user AND sku > :after
                   ORDER BY sku LIMIT :limit"""
        values = {"user": user, "after": after, "limit": limit}
        return list(map(_dimensions, await self._engine.read(sql, values)))

    async def store(self, user: str, dimensions: Mapping[str, Dimensions]) -> bool:
        """Store dimensions by SKU. Returns False, and stores nothing, if the user would have those
        of more than MAX_DIMENSIONS products."""
        if not dimensions:
            return True
        table = {"sku": list(dimensions)} | {
            name: [getattr(one, name) for one in dimensions.values()] for name in _COLUMNS
        }
        guard = bulk(_ROOM, {"user_id": user, "most": MAX_DIMENSIONS}, table)
        return await self._engine.write(guard, [bulk(_KEEP, {"user_id": user}, table)])


def _dimensions(row: Values) -> tuple[str, Dimensions]:
    return row["sku"], Dimensions(*(row[name] for name in _COLUMNS))
