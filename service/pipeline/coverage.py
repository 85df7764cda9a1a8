"""Which spans of time of each dataset are known completely."""

from collections.abc import Mapping
from datetime import timedelta

from service.pipeline.held import HeldSync
from service.progress import Coverage, Outcome
from service.store.records import RecordStore

#: How old the end of a coverage may be for claim rules to conclude anything from it.
CURRENT = timedelta(days=1)


async def coverages_of(held: HeldSync, records: RecordStore) -> Mapping[str, Coverage]:
    """The coverage of each dataset that this sync has read completely, joined with the coverage
    that earlier syncs left."""
    sync, coverages = held.sync, {}
    landed = await records.datasets(sync.connection_id)
    for progress in sync.sources:
        if progress.status is not Outcome.COMPLETE:
            continue
        name, window = progress.name, progress.checkpoint.window
        dataset = held.dataset(name)
        before = landed[name].coverage if name in landed else None
        if before and before.plausible(sync.started_at - dataset.lag, dataset.overlap):
            coverages[name] = before.extended(window, dataset.reach or timedelta(0))
        else:
            coverages[name] = Coverage(window.since, window.until)
    return coverages


def current_datasets(held: HeldSync, coverages: Mapping[str, Coverage]) -> frozenset[str]:
    """The datasets that are known from as far back as claims need until now. Only in these does a
    missing record prove anything."""
    names = set()
    for name, coverage in coverages.items():
        dataset = held.dataset(name)
        newest = held.sync.started_at - dataset.lag
        far_back = dataset.reach is None or coverage.since <= newest - dataset.reach
        if far_back and coverage.until >= newest - CURRENT:
            names.add(name)
    return frozenset(names)
