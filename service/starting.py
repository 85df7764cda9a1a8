"""A new sync: which datasets it reads, and which span of time of each. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from connectors.base import Connector, Dataset, Window
from service.errors import Invalid, PlanLimit
from service.model import Actor, Options, Sync
from service.plans import Plan
from service.progress import CLAIMS, Checkpoint, DatasetProgress, window_to_read
from service.store.connections import StoredConnection
from service.store.ids import new_id
from service.store.records import StoredDataset


def new_sync(
    actor: Actor,
    connection: StoredConnection,
    connector: Connector,
    options: Options,
    plan: Plan,
    landed: Mapping[str, StoredDataset],
    now: datetime,
    last: str = "",
) -> Sync:
    """What was asked for, as a sync that waits for its turn; `last` is the id of the user's newest.
    Raises Invalid or PlanLimit."""
    datasets = [
        _progress(each, _window(each, options, plan, landed.get(each.name), now))
        for each in _chosen(connector.datasets, options)
    ]
    claims = DatasetProgress(CLAIMS, "claims", Checkpoint(Window(now, now)))
    return Sync(
        id=_id(now, last),
        user=actor.user,
        tenant=actor.tenant,
        connector=connection.connector,
        connection_id=connection.id,
        started_at=now,
        updated_at=now,
        options=options,
        datasets=(*datasets, claims),
    )


def _id(now: datetime, last: str) -> str:
    """Of a user's ids the later one is the greater: they are the order of the history."""
    return f"sync_{new_id(now, last.removeprefix('sync_'))}"


def _chosen(datasets: Sequence[Dataset], options: Options) -> Sequence[Dataset]:
    names = [each.name for each in datasets]
    wanted = names if options.datasets is None else options.datasets
    if not wanted or set(wanted) - set(names):
        raise Invalid.field("datasets", f"Choose at least one of: {', '.join(names)}.")
    return [each for each in datasets if each.name in wanted]


def _progress(dataset: Dataset, window: Window) -> DatasetProgress:
    return DatasetProgress(dataset.name, dataset.label, Checkpoint(window))


def _window(
    dataset: Dataset, options: Options, plan: Plan, known: StoredDataset | None, now: datetime
) -> Window:
    """Computed once: it stays through every attempt. Unless told, from where the last sync ended;
    all that the dataset reaches back for a full refresh, and for a window that ends in the past."""
    newest = now - dataset.lag
    until = min(options.until or newest, newest)
    if dataset.reach is None:
        return Window(until, until)
    allowed = timedelta(days=plan.history_days) if plan.history_days else dataset.reach
    if options.since:
        _check(options.since, until, now, plan)
        return Window(options.since, until)
    again = options.overwrite or options.until is not None
    coverage = None if again or known is None else known.coverage
    return window_to_read(min(dataset.reach, allowed), dataset.overlap, until, coverage)


def _check(since: datetime, until: datetime, now: datetime, plan: Plan) -> None:
    if since >= until:
        raise Invalid.field("since", f"Must be before until ({until:%Y-%m-%dT%H:%M:%SZ}).")
    if plan.history_days and since < now - timedelta(days=plan.history_days):
        raise PlanLimit(
            f"Your plan allows to read {plan.history_days} days back. Choose a later `since`.",
            more={"limit": "historyDays", "allowed": plan.history_days},
        )
