"""What was landed of a connection, as a connector reads it to detect claims."""

from collections.abc import Iterable, Mapping

import anyio

from connectors.base import Money, Record
from service.model import Sync
from service.store.records import RecordStore

RECORDS_AT_ONCE = 500


class Landed:
    """Reads page by page, from the thread that detects."""

    def __init__(
        self, records: RecordStore, sync: Sync, costs: Mapping[str, Money], complete: frozenset[str]
    ) -> None:
        self._records = records
        self._costs = costs
        self._connection_id = sync.connection_id
        self._complete = complete

    def complete(self, dataset: str) -> bool:
        return dataset in self._complete

    def cost(self, sku: str) -> Money | None:
        return self._costs.get(sku)

    def read(self, dataset: str) -> Iterable[Record]:
        after = ""
        while True:
            rows = anyio.from_thread.run(
                self._records.raw_page, self._connection_id, dataset, RECORDS_AT_ONCE, after
            )
            for record_id, data in rows:
                yield Record(record_id, data.encode())
            if len(rows) < RECORDS_AT_ONCE:
                return
            after = rows[-1][0]
