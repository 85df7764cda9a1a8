"""The freshness of the stored data of a connection."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Dataset
from service.api.parts import actor, parts
from service.model import Status, Sync
from service.progress import Outcome
from service.schedules import next_runs
from service.store.completeness import StoredDay
from service.store.connections import StoredConnection
from service.store.records import StoredDataset
from service.wire import connection_shapes, responses, serialize_connections

#: Data older than this needs a new sync.
STALE = timedelta(days=1)
NEEDS_SYNC = frozenset(
    {"never_synced", "last_failed", "last_cancelled", "incomplete", "short", "stale", "last_paused"}
)


async def sync_status(request: Request) -> Response:
    """Get the stored data of a connection, and whether a new sync is needed."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    connection = await parts(request).connections.get(caller, connection_id)
    stored = await parts(request).records.datasets(connection_id)
    store = parts(request).store
    complete = await store.newest_of(caller.user, connection_id, Status.COMPLETE)
    newest = await store.newest_of(caller.user, connection_id)
    datasets = parts(request).sources.get(connection.connector).datasets
    days = await parts(request).completeness.days(connection_id)
    now = parts(request).clock.now()
    runs = next_runs(connection.schedule, now) if connection.schedule else ()
    reason, message = _why_needed(connection, newest, datasets, stored, days, now)
    return responses.JSON(
        connection_shapes.Freshness(
            connection_id=connection_id,
            datasets=[
                serialize_connections.stored_dataset(
                    dataset.name, stored.get(dataset.name), days.get(dataset.name, ())
                )
                for dataset in datasets
            ],
            completeness=serialize_connections.completeness(days),
            last_complete_sync=serialize_connections.last_sync(complete),
            last_sync=serialize_connections.last_sync(newest),
            schedule=serialize_connections.schedule(connection.schedule, runs),
            sync_needed=reason in NEEDS_SYNC,
            reason=reason,
            message=message,
        )
    )


def _why_needed(
    connection: StoredConnection,
    newest: Sync | None,
    datasets: Sequence[Dataset],
    stored: Mapping[str, StoredDataset],
    days: Mapping[str, Sequence[StoredDay]],
    now: datetime,
) -> tuple[str, str]:
    """The reason why a sync is needed or not: a code for programs, and a sentence for people. The
    stored data decides: a complete dry run, or a sync of some datasets or of the past, may lack
    some data."""
    if connection.lost:
        return "connection_lost", f"Reconnect the account first: {connection.lost}"
    if newest and newest.live:
        return "running", "A sync is running."
    if newest and not newest.options.dry_run and newest.options.records is None:
        if newest.status is not Status.COMPLETE:
            return f"last_{newest.status}", f"The last sync was not completed: {newest.message}"
        if any(dataset.status is not Outcome.COMPLETE for dataset in newest.read_datasets):
            return "incomplete", "The last sync did not read all data."
    if not stored:
        return "never_synced", "Nothing has been read yet."
    coverages = {name: data.coverage for name, data in stored.items() if data.coverage}
    if unread := [dataset.label for dataset in datasets if dataset.name not in coverages]:
        return "incomplete", f"Not all datasets have been read. Missing: {', '.join(unread)}."
    if short := sum(day.day.state == "short" for of_dataset in days.values() for day in of_dataset):
        which = "day lacks" if short == 1 else "days lack"
        return "short", f"{short:,} {which} records that other datasets show."
    ages = {dataset.name: now - coverages[dataset.name].until for dataset in datasets}
    if any(ages[dataset.name] > STALE + dataset.lag for dataset in datasets):
        return "stale", f"The data is more than {STALE.days * 24} hours old."
    if any(age < -STALE for age in ages.values()):
        return "stale", "The stored data has times in the future: a clock was ahead."
    return "up_to_date", "All data was read within the last 24 hours."
