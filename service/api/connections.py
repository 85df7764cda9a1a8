"""Connect, reconnect, schedule, list and forget accounts."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Literal, cast

import anyio
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Dataset, Granted
from service.api.parts import actor, parts
from service.connection_settings import SettingsType, Values, default
from service.connections import NewConnection
from service.consents import ConsentRequest
from service.errors import Invalid, ServiceError
from service.model import Status, Sync
from service.progress import Outcome
from service.schedules import ScheduleRequest
from service.starting import StartRequest
from service.store.connections import StoredConnection
from service.store.records import StoredDataset
from service.users import Actor
from service.wire import responses, serialize, shapes
from service.wire.reading import (
    In,
    Query,
    fit,
    read_object,
    read_or_null,
    read_query,
)

#: Seconds that a request waits for an erasure, which then continues in the background.
ERASED_WITHIN = 10.0
#: Data older than this needs a new sync.
STALE = timedelta(days=1)
NEEDS_SYNC = frozenset(
    {"never_synced", "last_failed", "last_cancelled", "incomplete", "stale", "last_paused"}
)

log = structlog.get_logger()


class ConnectIn(In, frozen=True):
    """An account to connect; the settings of its connector are further fields."""

    connector: str
    skip_historical_sync: bool = False


class ReconnectIn(In, frozen=True):
    """The new credentials: the secret settings of the connector."""


class ScheduleIn(In, frozen=True):
    """When to start syncs."""

    #: Five fields, as in a crontab.
    cron: str
    #: The IANA name of the time zone of `cron`.
    timezone: str = "UTC"


class AuthorizeQuery(Query, frozen=True):
    """The account to connect by consent: the public settings of the connector, with lists separated
    by commas. With `connectionId`, that connection is reconnected."""

    connection_id: str = ""


class CallbackQuery(Query, frozen=True):
    """The state that `authorize` sent, and the parameters that the source adds."""

    state: str


class ForgetQuery(Query, frozen=True):
    """What happens to the stored data of the connection."""

    data: Literal["keep", "erase"] = "keep"


async def connect(request: Request) -> Response:
    """Connect an account. It is checked and stored, and a first sync starts."""
    caller = actor(request)
    given = await read_object(request)
    common = {name: given.pop(name) for name in _names(ConnectIn) & given.keys()}
    body = fit(common, ConnectIn)
    settings = fit(given, parts(request).sources.settings(body.connector).struct)
    new = NewConnection(body.connector, settings)
    connection = await parts(request).connections.connect(caller, new)
    sync = (
        None if body.skip_historical_sync else await _historical_sync(request, caller, connection)
    )
    headers = {"Location": f"/api/connections/{connection.id}"}
    return responses.JSON(serialize.connected(connection, sync), status_code=201, headers=headers)


async def _historical_sync(
    request: Request, caller: Actor, connection: StoredConnection
) -> Sync | str:
    """Start the first sync of a connection. Returns the sync, or why it was not started. A failure
    does not fail the connection: the user can start a sync at any time."""
    try:
        return await parts(request).starter.start(caller, StartRequest(connection_id=connection.id))
    except ServiceError as error:
        log.warning("historical_sync_not_started", connection_id=connection.id, code=error.code)
        return f"The historical sync was not started. {error.detail}"
    except Exception:
        log.exception("historical_sync_not_started", connection_id=connection.id)
        return "The historical sync was not started. Start a sync to read the data."


async def authorize(request: Request) -> Response:
    """Redirect the browser to the consent page of the source."""
    caller, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    settings = parts(request).sources.settings(connector)
    given = read_query(request, _authorize_query(settings))
    consent = ConsentRequest(
        connector=connector,
        settings=_public(given, settings),
        connection_id=given.connection_id or None,
    )
    back = f"{request.base_url}api/connections/{connector}/callback"
    url = await parts(request).consents.authorize(caller, consent, back)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


@cache
def _authorize_query(settings: SettingsType) -> type[AuthorizeQuery]:
    """The query of a consent for a connector. Lists are comma-separated text."""
    lists = _lists(settings)
    public = msgspec.structs.fields(settings.public_struct)
    query = msgspec.defstruct(
        AuthorizeQuery.__name__,
        [
            (field.name, str, "")
            if field.encode_name in lists
            else (field.name, field.type, default(field))
            for field in public
        ],
        bases=(AuthorizeQuery,),
        kw_only=True,
        rename={field.name: field.encode_name for field in public},
    )
    return cast(type[AuthorizeQuery], query)


def _public(given: AuthorizeQuery, settings: SettingsType) -> Values:
    """The public settings in a query. Raises Invalid, which names the field."""
    values: Values = msgspec.to_builtins(given)
    public = {name: values[name] for name in settings.public}
    split = {name: list(filter(None, public[name].split(","))) for name in _lists(settings)}
    checked: Values = msgspec.to_builtins(fit(public | split, settings.public_struct))
    return checked


def _lists(settings: SettingsType) -> Sequence[str]:
    properties = settings.schema["properties"]
    return [name for name in settings.public if properties[name].get("type") == "array"]


def _names(shape: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(shape))


async def callback(request: Request) -> Response:
    """Handle the return from the consent page. The account is connected, a first sync starts, and
    the browser is redirected to the dashboard."""
    caller, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    answer = dict(request.query_params)
    if not answer.get("state"):
        raise Invalid.field("state", "Missing: the consent was refused or not completed.")
    connection = await parts(request).consents.complete(caller, connector, answer)
    if await _resume_paused(request, caller, connection) is None:
        await _historical_sync(request, caller, connection)
    return Response(status_code=303, headers={"Location": "/"})


async def reconnect(request: Request) -> Response:
    """Replace the credentials of an account. A sync that was paused for them is resumed."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    # Before the body is read, so that an unknown connection is 404.
    stored = await parts(request).connections.get(caller, connection_id)
    secret = parts(request).sources.settings(stored.connector).secret_struct
    body = fit(await read_object(request), secret)
    granted = Granted(msgspec.to_builtins(body))
    connection = await parts(request).connections.reconnect(caller, connection_id, granted)
    return responses.JSON(
        serialize.connected(connection, await _resume_paused(request, caller, connection))
    )


async def _resume_paused(
    request: Request, caller: Actor, connection: StoredConnection
) -> Sync | str | None:
    """Resume the paused sync of this connection. Returns the sync, why it was not resumed, or None
    if no sync is paused. A failure does not fail the reconnect."""
    registry = parts(request).registry
    live = registry.live_of(caller.user)
    if live is None or live.connection_id != connection.id or live.status is not Status.PAUSED:
        return None
    try:
        return await registry.resume(caller, live.id)
    except ServiceError as error:
        log.warning("sync_not_resumed", sync_id=live.id, code=error.code)
        return f"The paused sync was not resumed. {error.detail}"


async def schedule(request: Request) -> Response:
    """Set the schedule of a connection; null removes it."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(caller, connection_id)
    body = await read_or_null(request, ScheduleIn)
    new = None if body is None else ScheduleRequest(body.cron, body.timezone)
    connection = await parts(request).connections.schedule(caller, connection_id, new)
    return responses.JSON(serialize.connection(connection))


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
    reason, message = _why_needed(connection, newest, datasets, stored, now)
    return responses.JSON(
        shapes.Freshness(
            connection_id=connection_id,
            datasets=[
                serialize.stored_dataset(
                    dataset.name, stored.get(dataset.name), days.get(dataset.name, ())
                )
                for dataset in datasets
            ],
            completeness=serialize.completeness(days),
            last_complete_sync=serialize.last_sync(complete),
            last_sync=serialize.last_sync(newest),
            schedule=serialize.schedule(connection.schedule),
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
    now: datetime,
) -> tuple[str, str]:
    """Whether a sync is needed: a reason for programs, and a sentence for people. The stored data
    decides: a complete dry run, or a sync of some datasets or of the past, may lack some data."""
    if connection.lost:
        return "connection_lost", f"Reconnect the account first: {connection.lost}"
    if newest and newest.live:
        return "running", "A sync is running."
    if newest and not newest.options.dry_run:
        if newest.status is not Status.COMPLETE:
            return f"last_{newest.status}", f"The last sync was not completed: {newest.message}"
        if any(dataset.status is not Outcome.COMPLETE for dataset in newest.sources):
            return "incomplete", "The last sync could not read everything."
    if not stored:
        return "never_synced", "Nothing has been read yet."
    coverages = {name: data.coverage for name, data in stored.items() if data.coverage}
    if unread := [dataset.label for dataset in datasets if dataset.name not in coverages]:
        return "incomplete", f"Not everything has been read. Missing: {', '.join(unread)}."
    ages = {dataset.name: now - coverages[dataset.name].until for dataset in datasets}
    if any(ages[dataset.name] > STALE + dataset.lag for dataset in datasets):
        return "stale", f"The data is more than {STALE.days * 24} hours old."
    if any(age < -STALE for age in ages.values()):
        return "stale", "The stored data has times in the future: a clock was ahead."
    return "up_to_date", "Everything was read within the last day."


async def list_all(request: Request) -> Response:
    """List the user's connections."""
    connections = await parts(request).connections.list(actor(request))
    return responses.JSON(
        {"connections": [serialize.connection(connection) for connection in connections]}
    )


async def one(request: Request) -> Response:
    """Get a connection."""
    connection_id = request.path_params["connection_id"]
    connection = await parts(request).connections.get(actor(request), connection_id)
    return responses.JSON(serialize.connection(connection))


async def forget(request: Request) -> Response:
    """Forget a connection. Its credentials are always erased, its stored data with `data=erase`.
    202 means that the erasure continues in the background; repeat the call until it returns 404."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    connections, erasing = parts(request).connections, parts(request).erasing
    if read_query(request, ForgetQuery).data == "keep":
        await connections.forget(caller, connection_id, erase=False)
        await erasing.clean()
        return Response(status_code=204)
    if not await erasing.under_way(caller.user, connection_id):
        await connections.forget(caller, connection_id, erase=True)
    with anyio.move_on_after(ERASED_WITHIN):
        if await erasing.finish(connection_id):
            return Response(status_code=204)
    return responses.JSON(shapes.ErasingOut(id=connection_id, status="erasing"), status_code=202)
