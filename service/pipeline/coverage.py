"""The spans of time for which each dataset was read completely."""

from collections.abc import Mapping
from datetime import timedelta

from service.pipeline.held import HeldSync
from service.progress import Coverage, Outcome
from service.store.records import RecordStore

#: Maximum age of the end of a coverage that claim rules rely on.
CURRENT = timedelta(days=1)


async def coverages_of(held: HeldSync, records: RecordStore) -> Mapping[str, Coverage]:
    """The coverage of each dataset that this sync has read completely, joined with the coverage
    that earlier syncs left."""
    sync, coverages = held.sync, {}
    if sync.options.records is not None:
        return {}
    stored = await records.datasets(sync.connection_id)
    for progress in sync.read_datasets:
        if progress.status is not Outcome.COMPLETE:
            continue
        name, window = progress.name, progress.checkpoint.window
        dataset = held.dataset(name)
        before = stored[name].coverage if name in stored else None
        if before and before.plausible(sync.started_at - dataset.lag, dataset.overlap):
            coverages[name] = before.extended(window, dataset.reach or timedelta(0))
        else:
            coverages[name] = Coverage(window.since, window.until)
    return coverages


def current_datasets(held: HeldSync, coverages: Mapping[str, Coverage]) -> frozenset[str]:
    """The datasets that were read from as far back as claims need until now. Only in these is a
    missing record evidence."""
    names = set()
    for name, coverage in coverages.items():
        dataset = held.dataset(name)
        newest = held.sync.started_at - dataset.lag
        far_back = dataset.reach is None or coverage.since <= newest - dataset.reach
        if far_back and coverage.until >= newest - CURRENT:
            names.add(name)
    return frozenset(names)
