"""Detects claims in the stored records of a connection."""

from collections.abc import Iterable, Mapping

import anyio

from connectors.base import Money, Record, Undetectable
from service.intake import fit_findings, reason
from service.pipeline.coverage import current_datasets
from service.pipeline.held import HeldSync
from service.pipeline.resources import Resources
from service.progress import Coverage
from service.store.claims import findings
from service.store.records import RecordStore

#: Records loaded in one read of the database.
RECORDS_AT_ONCE = 500


class StoredRecords:
    """The records of a connection, which a connector reads in the detection thread."""

    def __init__(
        self,
        records: RecordStore,
        connection_id: str,
        costs: Mapping[str, Money],
        complete: frozenset[str],
        learned: Mapping[str, str],
    ) -> None:
        self._records = records
        self._connection_id = connection_id
        self._costs = costs
        self._complete = complete
        self.learned = learned

    def complete(self, dataset: str) -> bool:
        return dataset in self._complete

    def cost(self, sku: str) -> Money | None:
        return self._costs.get(sku)

    def read(self, dataset: str) -> Iterable[Record]:
        """All records, loaded page by page."""
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


async def detect_claims(
    resources: Resources, held: HeldSync, coverages: Mapping[str, Coverage]
) -> None:
    """Run the connector's claim rules and store what they find together with the sync."""
    if held.sync.options.dry_run:
        why = "Not computed: a dry run stores no records to compute claims from."
        await held.change(lambda sync, now: sync.undetectable(why, now))
        return
    connection_id = held.sync.connection_id
    costs = await resources.claims.costs(held.sync.user)
    complete = current_datasets(held, coverages)
    learned = await resources.connections.learned(connection_id)
    try:
        raw = await anyio.to_thread.run_sync(
            held.connector.detect,
            StoredRecords(resources.records, connection_id, costs, complete, learned),
            held.sync.started_at,
            abandon_on_cancel=True,
            limiter=resources.detecting,
        )
    except Undetectable as error:
        why = reason(error)
        await held.change(lambda sync, now: sync.undetectable(why, now))
        return
    result = fit_findings(raw)
    twins = await resources.connections.twins(connection_id)
    await held.change(
        lambda sync, now: sync.detected(len(result.claims), result.skipped, now),
        *findings(held.sync, result, resources.clock.now(), twins),
    )
