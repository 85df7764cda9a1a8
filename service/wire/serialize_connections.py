"""Convert connections, their schedules and their stored data to response shapes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from service.model import Sync
from service.store.activity import Activity, EndedSync
from service.store.completeness import StoredDay
from service.store.connections import Schedule, StoredConnection
from service.store.records import StoredDataset
from service.wire import connection_shapes, sync_shapes
from service.wire.serialize import Json, addresses, shape_of, shown_status, time


def connection(
    stored: StoredConnection,
    activity: Activity,
    titles: Mapping[str, str | Sequence[str]],
    runs: Sequence[datetime],
) -> Json:
    """A connection with its public settings, without its credentials. `titles` are the titles of
    its settings, `runs` the next runs of its schedule."""
    shape = shape_of(
        connection_shapes.Connection,
        stored,
        name=stored.shown_name,
        settings_titles=titles,
        status="lost" if stored.lost else "connected",
        status_reason=stored.lost,
        reason=stored.lost,
        schedule=schedule(stored.schedule, runs),
        records=activity.records,
        last_sync=activity.last_sync and _last_ended(activity.last_sync),
        live_sync_id=activity.live_sync_id,
    )
    return {**msgspec.to_builtins(shape), **stored.settings}


def connected(shown: Json, sync: Sync | str | None) -> Json:
    """A connection with the started or resumed sync, or why no sync was started or resumed."""
    links = msgspec.to_builtins(addresses(sync)) if isinstance(sync, Sync) else None
    warning = {"warning": sync} if isinstance(sync, str) else {}
    return {**shown, "sync": links, **warning}


def schedule(
    stored: Schedule | None, runs: Sequence[datetime]
) -> connection_shapes.ScheduleOut | None:
    if stored is None:
        return None
    times = [time(run) for run in runs]
    return shape_of(
        connection_shapes.ScheduleOut,
        stored,
        enabled=stored.next is not None,
        next_runs=times,
        next_run_at=times[0] if times else None,
    )


def _last_ended(sync: EndedSync) -> connection_shapes.LastEnded:
    return shape_of(connection_shapes.LastEnded, sync, sync_id=sync.id)


def estimate(seconds: float | None, calls: int | None) -> connection_shapes.Estimate:
    whole_seconds = None if seconds is None else round(seconds)
    return connection_shapes.Estimate(seconds=whole_seconds, calls=calls)


def stored_dataset(
    name: str, stored: StoredDataset | None, days: Sequence[StoredDay] = ()
) -> connection_shapes.LandedOut:
    coverage = stored.coverage if stored else None
    return connection_shapes.LandedOut(
        name=name,
        records=stored.records if stored else 0,
        read_since=time(coverage.since) if coverage else None,
        watermark=time(coverage.until) if coverage else None,
        sync_id=stored.sync_id if stored else None,
        days=[shape_of(connection_shapes.DayOut, day.day, fetched=day.fetched) for day in days],
    )


def completeness(
    days: Mapping[str, Sequence[StoredDay]],
) -> sync_shapes.CompletenessOut | None:
    """Counts of the days of all datasets; None if there are none."""
    counts = Counter(day.day.state for of_dataset in days.values() for day in of_dataset)
    if not counts:
        return None
    return sync_shapes.CompletenessOut(
        confirmed=counts["confirmed"],
        single_sourced=counts["single_sourced"],
        short=counts["short"],
    )


def last_sync(sync: Sync | None) -> connection_shapes.LastSync | None:
    if sync is None:
        return None
    return shape_of(
        connection_shapes.LastSync, sync, sync_id=sync.id, status=shown_status(sync.status)
    )
