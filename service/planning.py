"""Plans a new sync: its connection, its datasets and the window of each. No I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from connectors.base import Connector, Dataset, Window
from service.errors import Invalid, LostConnection, NotConnected, PlanLimit
from service.model import Options, Sync, Trigger
from service.plans import Plan
from service.progress import CLAIMS, Checkpoint, DatasetProgress, window_to_read
from service.store.connections import StoredConnection
from service.store.ids import new_id
from service.store.records import StoredDataset
from service.users import Actor


def choose_connection(
    connections: Sequence[StoredConnection], connection_id: str | None
) -> StoredConnection:
    """The connection with this id or, without an id, the user's only one. Raises NotConnected, or
    Invalid for several connections."""
    if connection_id is not None:
        connections = [stored for stored in connections if stored.id == connection_id]
        if not connections:
            raise NotConnected(
                f"You have no connection {connection_id}. GET /api/connections lists yours; "
                "POST /api/connections connects an account."
            )
    if not connections:
        raise NotConnected
    if len(connections) > 1:
        raise Invalid.field("connectionId", "You have several connections. Choose one.")
    return connections[0]


def check_not_lost(connection: StoredConnection) -> None:
    """Raises LostConnection while the source refuses the credentials: a sync would only pause."""
    if connection.refused is not None:
        raise LostConnection(
            f"The connection is lost: {connection.refused} "
            f"Reconnect it: POST /api/connections/{connection.id}/reconnect.",
            more={"connectionId": connection.id},
        )


def new_sync(
    actor: Actor,
    connection: StoredConnection,
    connector: Connector,
    options: Options,
    plan: Plan,
    stored: Mapping[str, StoredDataset],
    now: datetime,
    newest_id: str = "",
    trigger: Trigger = Trigger.USER,
) -> Sync:
    """A sync that waits for its turn. `newest_id` is the id of the user's newest sync. Raises
    Invalid or PlanLimit."""
    datasets = [
        _progress(dataset, options, plan, stored.get(dataset.name), now)
        for dataset in _choose_datasets(connector.datasets, options)
    ]
    claims = DatasetProgress(CLAIMS, "claims", Checkpoint(Window(now, now)))
    return Sync(
        id=_id(now, newest_id),
        user=actor.user,
        tenant=actor.tenant,
        connector=connection.connector,
        connection_id=connection.id,
        started_at=now,
        updated_at=now,
        options=options,
        trigger=trigger,
        datasets=(*datasets, claims),
    )


def _id(now: datetime, newest_id: str) -> str:
    """An id greater than those of all earlier syncs of the user, since history is sorted by id."""
    return f"sync_{new_id(now, newest_id.removeprefix('sync_'))}"


def _choose_datasets(datasets: Sequence[Dataset], options: Options) -> Sequence[Dataset]:
    names = [dataset.name for dataset in datasets]
    chosen = names if options.datasets is None else options.datasets
    if not chosen or set(chosen) - set(names):
        raise Invalid.field("datasets", f"Choose at least one of: {', '.join(names)}.")
    return [dataset for dataset in datasets if dataset.name in chosen]


def _progress(
    dataset: Dataset, options: Options, plan: Plan, stored: StoredDataset | None, now: datetime
) -> DatasetProgress:
    window = _window(dataset, options, plan, stored, now)
    coverage = stored.coverage if stored else None
    historical = coverage is None or window.since < coverage.since
    if options.records is not None:
        historical = False
    checkpoint = Checkpoint(window)
    return DatasetProgress(dataset.name, dataset.label, checkpoint, historical=historical)


def _window(
    dataset: Dataset, options: Options, plan: Plan, stored: StoredDataset | None, now: datetime
) -> Window:
    """The window to read, which is the same in every attempt. By default, it begins where
    the last sync ended. A full refresh, and a window that ends in the past, begin as far back as
    the dataset reaches."""
    newest = now - dataset.lag
    until = min(options.until or newest, newest)
    if dataset.reach is None or options.records is not None:
        return Window(until, until)
    allowed = timedelta(days=plan.history_days) if plan.history_days else dataset.reach
    if options.since:
        _check_since(options.since, until, now, plan)
        return Window(options.since, until)
    from_scratch = options.overwrite or options.until is not None
    coverage = None if from_scratch or stored is None else stored.coverage
    return window_to_read(min(dataset.reach, allowed), dataset.overlap, until, coverage)


def _check_since(since: datetime, until: datetime, now: datetime, plan: Plan) -> None:
    if since >= until:
        raise Invalid.field("since", f"Must be before until ({until:%Y-%m-%dT%H:%M:%SZ}).")
    if plan.history_days and since < now - timedelta(days=plan.history_days):
        raise PlanLimit(
            f"Your plan allows reading {plan.history_days} days back. Choose a later `since`.",
            more={"limit": "historyDays", "allowed": plan.history_days},
        )
