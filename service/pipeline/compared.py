"""Reads the stored records of a connection for a comparison of datasets."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from itertools import islice
from typing import Any

import anyio

from connectors.base import Record
from connectors.completing import Compared
from service.pipeline.detection import RECORDS_AT_ONCE
from service.store.completeness import CompletenessStore, RowPage
from service.store.engine import stamp

#: Ids that are looked up in one read of the database.
IDS_AT_ONCE = 1_000

NextPage = Callable[[tuple[str, str]], Coroutine[Any, Any, RowPage]]


class ComparedRows:
    """Reads records in the detection thread. `compared` are the last comparisons, by dataset."""

    def __init__(
        self, store: CompletenessStore, connection_id: str, compared: Mapping[str, Compared]
    ) -> None:
        self._store = store
        self._connection_id = connection_id
        self._compared = compared

    def compared(self, dataset: str) -> Compared | None:
        return self._compared.get(dataset)

    def changed(self, dataset: str, since: datetime | None) -> Iterable[Record]:
        first = stamp(since) if since else ""
        return _all(first, lambda after: self._changed(dataset, RECORDS_AT_ONCE, after))

    async def _changed(self, dataset: str, limit: int, after: tuple[str, str]) -> RowPage:
        return await self._store.changed(self._connection_id, dataset, limit, after)

    def between(self, dataset: str, since: datetime, until: datetime) -> Iterable[Record]:
        async def page(after: tuple[str, str]) -> RowPage:
            return await self._store.between(
                self._connection_id, dataset, RECORDS_AT_ONCE, after, until
            )

        return _all(stamp(since), page)

    def lacking(self, dataset: str, ids: Iterable[str]) -> AbstractSet[str]:
        return self._those(self._store.lacking, dataset, ids)

    def closed(self, dataset: str, keys: Iterable[str]) -> AbstractSet[str]:
        return self._those(self._store.closed, dataset, keys)

    def _those(
        self,
        find: Callable[[str, str, list[str]], Coroutine[Any, Any, AbstractSet[str]]],
        dataset: str,
        ids: Iterable[str],
    ) -> AbstractSet[str]:
        left, found = iter(ids), set[str]()
        while some := list(islice(left, IDS_AT_ONCE)):
            found |= anyio.from_thread.run(find, self._connection_id, dataset, some)
        return found

    def per_day(self, dataset: str) -> Mapping[date, int]:
        """The number of records of each day, cached while the dataset does not change."""
        before = self._compared.get(dataset)
        if before and not self._has_changed(dataset, before.at):
            return {day.day: day.records for day in before.days if day.records}
        return anyio.from_thread.run(self._store.per_day, self._connection_id, dataset)

    def _has_changed(self, dataset: str, since: datetime) -> bool:
        page = anyio.from_thread.run(self._changed, dataset, 1, (stamp(since), ""))
        return bool(page.rows)


def _all(first: str, page: NextPage) -> Iterable[Record]:
    """All records, loaded page by page, from the time `first` on."""
    after: tuple[str, str] | None = (first, "")
    while after is not None:
        found = anyio.from_thread.run(page, after)
        for record_id, data in found.rows:
            yield Record(record_id, data.encode())
        after = found.last
