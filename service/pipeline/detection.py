"""Detects claims in the stored records of a connection."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

import anyio

from connectors.base import Record, Undetectable
from connectors.claims import Dimensions, Findings, Money, RemovalArrival
from service.intake import fit_findings, reason
from service.model import Sync
from service.pipeline.coverage import current_datasets
from service.pipeline.held import HeldSync
from service.pipeline.resources import Resources
from service.progress import Coverage
from service.store.findings import findings_in_parts
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
        dimensions: Mapping[str, Dimensions],
        complete: frozenset[str],
        learned: Mapping[str, str],
        arrivals: Sequence[RemovalArrival] = (),
    ) -> None:
        self._records = records
        self._connection_id = connection_id
        self._costs = costs
        self._dimensions = dimensions
        self._complete = complete
        self.learned = learned
        self._arrivals = arrivals

    def complete(self, dataset: str) -> bool:
        return dataset in self._complete

    def cost(self, sku: str) -> Money | None:
        return self._costs.get(sku)

    def dimensions(self, sku: str) -> Dimensions | None:
        return self._dimensions.get(sku)

    def arrivals(self) -> Sequence[RemovalArrival]:
        return self._arrivals

    def read(self, dataset: str) -> Iterable[Record]:
        """All records, loaded page by page."""
        after = ""
        while True:
            rows = anyio.from_thread.run(
                self._records.raw_page, self._connection_id, dataset, RECORDS_AT_ONCE, after
            )
            for record_id, data, first_seen, changed in rows:
                yield Record(
                    record_id,
                    data.encode(),
                    first_seen=datetime.fromisoformat(first_seen) if first_seen else None,
                    changed=datetime.fromisoformat(changed),
                )
            if len(rows) < RECORDS_AT_ONCE:
                return
            after = rows[-1][0]


async def detect_claims(
    resources: Resources, held: HeldSync, coverages: Mapping[str, Coverage]
) -> None:
    """Run the connector's claim rules and store their findings."""
    if held.sync.options.dry_run:
        why = "Not computed: a dry run stores no records to compute claims from."
        await held.change(lambda sync, now: sync.undetectable(why, now))
        return
    if held.sync.options.records is not None:
        why = "Not computed: this sync read single records. The next sync computes claims."
        await held.change(lambda sync, now: sync.skipping_claims(why, now))
        return
    connection_id = held.sync.connection_id
    costs = await resources.claims.costs(held.sync.user)
    dimensions = await resources.dimensions.all(held.sync.user)
    arrivals = await resources.removals.arrivals(held.sync.user)
    complete = current_datasets(held, coverages)
    learned = await resources.connections.learned(connection_id)
    records = StoredRecords(
        resources.records, connection_id, costs, dimensions, complete, learned, arrivals
    )
    as_of = held.sync.started_at
    try:
        found = await anyio.to_thread.run_sync(
            lambda: fit_findings(held.connector.detect(records, as_of)),
            abandon_on_cancel=True,
            limiter=resources.detecting,
        )
    except Undetectable as error:
        why = reason(error)
        await held.change(lambda sync, now: sync.undetectable(why, now))
        return
    await _store(resources, held, found)


def _progress(stored: int, count: int, sync: Sync, now: datetime) -> Sync:
    return sync.storing_claims(stored, count, now)


async def _store(resources: Resources, held: HeldSync, found: Findings) -> None:
    """Store findings in parts, with rests in between as between pages. The last part is stored
    together with the end of the detection."""
    connection_id, count = held.sync.connection_id, len(found.claims)
    open_claims = [
        claim_id
        for rule in found.ran
        for claim_id in await resources.claims.open_ids(
            connection_id, rule, found.searched_since.get(rule)
        )
    ]
    twins = await resources.connections.twins(connection_id)
    at = resources.clock.now()
    unknown = await resources.claims.unknown(connection_id, found.claims, twins)
    parts = findings_in_parts(held.sync, found, at, open_claims, twins, unknown)
    stored = 0
    while True:
        part = await anyio.to_thread.run_sync(next, parts)  # encoding takes a while
        if part.last:
            break
        begun, stored = resources.clock.now(), stored + part.claims
        progress = partial(_progress, stored, count)
        await held.change(progress, *part.statements)
        await resources.pacer.rest(resources.clock.now() - begun)
    await held.change(lambda sync, now: sync.detected(count, found.skipped, now), *part.statements)
