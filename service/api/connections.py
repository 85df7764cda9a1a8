"""Connect, reconnect, rename, schedule, list and forget accounts."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import anyio
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Granted
from service.api.parts import actor, parts
from service.api.syncs import StartIn
from service.connections import NewConnection
from service.errors import Invalid, ServiceError
from service.model import Status, Sync, Trigger
from service.schedules import ScheduleRequest, next_runs
from service.starting import StartRequest
from service.store.connections import StoredConnection
from service.users import Actor
from service.wire import connection_shapes, responses, serialize_connections
from service.wire.fields import Time
from service.wire.reading import (
    In,
    Query,
    fit,
    moment,
    read_body,
    read_object,
    read_or_null,
    read_query,
)
from service.wire.serialize import Json

#: Seconds that a request waits for an erasure, which then continues in the background.
ERASED_WITHIN = 10.0
ERASING = (
    "The data is hidden and being erased in the background. Erasure ends when no other program "
    "reads the database. Repeat the request: 404 means that it is complete."
)
#: Characters that a name must not have: some of them cannot be stored.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

log = structlog.get_logger()


class ConnectIn(In, frozen=True):
    """An account to connect; the settings of its connector are further fields."""

    connector: str
    skip_historical_sync: bool = False


class ReconnectIn(In, frozen=True):
    """The new credentials: the secret settings of the connector."""


class RenameIn(In, frozen=True):
    """The name that the user gives a connection."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

    def checked(self) -> str:
        """The name without spaces around it. Raises Invalid for a name that cannot be shown."""
        name = self.name.strip()
        if not name or CONTROL.search(name):
            raise Invalid.field("name", "Must not be blank or contain control characters.")
        return name


class ScheduleIn(In, frozen=True):
    """The schedule on which syncs start."""

    #: Five fields, as in a crontab.
    cron: str
    #: The IANA name of the time zone of `cron`.
    timezone: str = "UTC"
    #: `false` keeps the schedule, but starts no syncs.
    enabled: bool = True


class EstimateQuery(Query, frozen=True):
    """The data that the sync would read, as in a start."""

    since: Time | None = None
    until: Time | None = None


class ForgetQuery(Query, frozen=True):
    """Whether the stored data of the connection is kept or erased."""

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
        None if body.skip_historical_sync else await start_first_sync(request, caller, connection)
    )
    headers = {"Location": f"/api/connections/{connection.id}"}
    (shown,) = await _shown(request, caller, connection)
    answer = serialize_connections.connected(shown, sync)
    return responses.JSON(answer, status_code=201, headers=headers)


async def start_first_sync(
    request: Request, caller: Actor, connection: StoredConnection
) -> Sync | str:
    """Start the first sync of a connection. Returns the sync, or why it was not started. A failure
    does not fail the connection: the user can start a sync at any time."""
    try:
        return await parts(request).starter.start(
            caller, StartRequest(connection.id, trigger=Trigger.CONNECT)
        )
    except ServiceError as error:
        log.warning("historical_sync_not_started", connection_id=connection.id, code=error.code)
        return f"The historical sync was not started. {error.detail}"
    except Exception:
        log.exception("historical_sync_not_started", connection_id=connection.id)
        return "The historical sync was not started. Start a sync to read the data."


def _names(shape: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(shape))


async def reconnect(request: Request) -> Response:
    """Replace the credentials of an account. A sync that was paused because of them is resumed."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    # Before the body is read, so that an unknown connection is 404.
    stored = await parts(request).connections.get(caller, connection_id)
    secret = parts(request).sources.settings(stored.connector).secret_struct
    body = fit(await read_object(request), secret)
    granted = Granted(msgspec.to_builtins(body))
    connection = await parts(request).connections.reconnect(caller, connection_id, granted)
    resumed = await resume_paused(request, caller, connection)
    (shown,) = await _shown(request, caller, connection)
    return responses.JSON(serialize_connections.connected(shown, resumed))


async def resume_paused(
    request: Request, caller: Actor, connection: StoredConnection
) -> Sync | str | None:
    """Resume the paused sync of this connection. Returns the sync, why it was not resumed, or None
    if no sync is paused. A failure does not fail the reconnect."""
    registry = parts(request).registry
    live = await registry.live_of(caller.user)
    if live is None or live.connection_id != connection.id or live.status is not Status.PAUSED:
        return None
    try:
        return await registry.resume(caller, live.id)
    except ServiceError as error:
        log.warning("sync_not_resumed", sync_id=live.id, code=error.code)
        return f"The paused sync was not resumed. {error.detail}"


async def rename(request: Request) -> Response:
    """Rename a connection. A reconnect does not replace the name."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(caller, connection_id)
    name = (await read_body(request, RenameIn)).checked()
    connection = await parts(request).connections.rename(caller, connection_id, name)
    return await _one(request, caller, connection)


async def schedule(request: Request) -> Response:
    """Set the schedule of a connection; null removes it."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(caller, connection_id)
    body = await read_or_null(request, ScheduleIn)
    new = None if body is None else ScheduleRequest(body.cron, body.timezone, body.enabled)
    connection = await parts(request).connections.schedule(caller, connection_id, new)
    return await _one(request, caller, connection)


async def estimate(request: Request) -> Response:
    """Estimate how long a sync of a connection takes. The source is not called."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    connection = await parts(request).connections.get(caller, connection_id)
    query = read_query(request, EstimateQuery)
    span = StartIn(since=moment(query.since, "since"), until=moment(query.until, "until"))
    options = span.request(None).options
    windows = await parts(request).starter.windows(caller, connection, options)
    seconds, calls = await parts(request).connections.estimate(connection, windows)
    return responses.JSON(serialize_connections.estimate(seconds, calls))


async def list_all(request: Request) -> Response:
    """List the user's connections."""
    caller = actor(request)
    connections = await parts(request).connections.list(caller)
    return responses.JSON({"connections": await _shown(request, caller, *connections)})


async def one(request: Request) -> Response:
    """Get a connection."""
    caller, connection_id = actor(request), request.path_params["connection_id"]
    connection = await parts(request).connections.get(caller, connection_id)
    return await _one(request, caller, connection)


async def _one(request: Request, caller: Actor, connection: StoredConnection) -> Response:
    (shown,) = await _shown(request, caller, connection)
    return responses.JSON(shown)


async def _shown(request: Request, caller: Actor, *connections: StoredConnection) -> Sequence[Json]:
    """The connections as responses show them, with one query for all of them."""
    store, now = parts(request).activity, parts(request).clock.now()
    activities = await store.of_connections(caller.user, [stored.id for stored in connections])
    return [
        serialize_connections.connection(
            stored,
            activities[stored.id],
            parts(request).sources.titles(stored.connector, stored.settings),
            next_runs(stored.schedule, now) if stored.schedule else (),
        )
        for stored in connections
    ]


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
    return responses.JSON(
        connection_shapes.ErasingOut(id=connection_id, status="erasing", message=ERASING),
        status_code=202,
    )
