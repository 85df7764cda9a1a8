"""Connect an account, reconnect and schedule it, list, see and forget."""

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
from service.model import Actor, Status, Sync
from service.progress import Outcome
from service.registry import StartRequest
from service.schedules import WantedSchedule
from service.store.connections import StoredConnection
from service.store.records import StoredDataset
from service.wire import responses, serialize, shapes
from service.wire.reading import (
    In,
    Query,
    fit,
    read_object,
    read_or_null,
    read_query,
)

ERASED_WITHIN = 10.0
"""Seconds that a request waits for an erasure, which then goes on without it."""
STALE = timedelta(days=1)
"""Since the time up to which all is known: a new sync is worth while."""
NEEDED = frozenset(
    {"never_synced", "last_failed", "last_cancelled", "incomplete", "stale", "last_paused"}
)

log = structlog.get_logger()


class ConnectIn(In, frozen=True):
    """The body of a connect, beside the settings of the connector."""

    connector: str
    skip_historical_sync: bool = False


class ReconnectIn(In, frozen=True):
    """The body of a reconnect: the secret settings of the connector, and nothing else."""


class ScheduleIn(In, frozen=True):
    """The body of a schedule: five fields of cron, and the name of a time zone."""

    cron: str
    timezone: str = "UTC"


class AuthorizeQuery(Query, frozen=True):
    """The public settings of the connector, lists separated by commas. With `connectionId`, that
    connection is reconnected."""

    connection_id: str = ""


class CallbackQuery(Query, frozen=True):
    """Our state, and whatever the source adds to it."""

    state: str


class ForgetQuery(Query, frozen=True):
    """Whether what was landed goes with the connection."""

    data: Literal["keep", "erase"] = "keep"


async def connect(request: Request) -> Response:
    """Connect an account: it is checked, kept, and a first sync starts."""
    who = actor(request)
    given = await read_object(request)
    own = {name: given.pop(name) for name in _names(ConnectIn) & given.keys()}
    body = fit(own, ConnectIn)
    settings = fit(given, parts(request).sources.settings(body.connector).struct)
    new = NewConnection(body.connector, settings)
    kept = await parts(request).connections.connect(who, new)
    begun = None if body.skip_historical_sync else await _historical_sync(request, who, kept)
    headers = {"Location": f"/api/connections/{kept.id}"}
    return responses.JSON(serialize.connected(kept, begun), status_code=201, headers=headers)


async def _historical_sync(request: Request, who: Actor, kept: StoredConnection) -> Sync | str:
    """The sync; or why there is none. A failure to start it never fails the connection: the user
    can start it any time."""
    try:
        return await parts(request).registry.start(who, StartRequest(connection_id=kept.id))
    except ServiceError as error:
        log.warning("historical_sync_not_started", connection_id=kept.id, code=error.code)
        return f"The historical sync was not started. {error.detail}"
    except Exception:
        log.exception("historical_sync_not_started", connection_id=kept.id)
        return "The historical sync was not started. Start it when you like."


async def authorize(request: Request) -> Response:
    """Send the browser to the source's page of consent."""
    who, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    settings = parts(request).sources.settings(connector)
    given = read_query(request, _authorize_query(settings))
    asked = ConsentRequest(
        connector=connector,
        settings=_public(given, settings),
        connection_id=given.connection_id or None,
    )
    back = f"{request.base_url}api/connections/{connector}/callback"
    url = await parts(request).consents.authorize(who, asked, back)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


@cache
def _authorize_query(settings: SettingsType) -> type[AuthorizeQuery]:
    """The query of a consent for a connector: lists are texts in it."""
    lists = _lists(settings)
    public = msgspec.structs.fields(settings.public_struct)
    query = msgspec.defstruct(
        AuthorizeQuery.__name__,
        [
            (each.name, str, "")
            if each.encode_name in lists
            else (each.name, each.type, default(each))
            for each in public
        ],
        bases=(AuthorizeQuery,),
        kw_only=True,
        rename={each.name: each.encode_name for each in public},
    )
    return cast(type[AuthorizeQuery], query)


def _public(given: AuthorizeQuery, settings: SettingsType) -> Values:
    """The public settings in a query. Raises Invalid naming the field."""
    values: Values = msgspec.to_builtins(given)
    public = {name: values[name] for name in settings.public}
    split = {name: list(filter(None, public[name].split(","))) for name in _lists(settings)}
    found: Values = msgspec.to_builtins(fit(public | split, settings.public_struct))
    return found


def _lists(settings: SettingsType) -> Sequence[str]:
    properties = settings.schema["properties"]
    return [name for name in settings.public if properties[name].get("type") == "array"]


def _names(shape: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(shape))


async def callback(request: Request) -> Response:
    """Back from the page of consent, with a code and our state. The account is connected, a first
    sync starts, and the browser goes to the dashboard."""
    who, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    answer = dict(request.query_params)
    if not answer.get("state"):
        raise Invalid.field("state", "Missing: the consent was not given, or broke off.")
    kept = await parts(request).consents.complete(who, connector, answer)
    if await _going_on(request, who, kept) is None:
        await _historical_sync(request, who, kept)
    return Response(status_code=303, headers={"Location": "/"})


async def reconnect(request: Request) -> Response:
    """Give new credentials for the same account; a sync that was paused for them goes on."""
    who, wanted = actor(request), request.path_params["connection_id"]
    stored = await parts(request).connections.get(who, wanted)  # 404 comes before a bad body
    secret = parts(request).sources.settings(stored.connector).secret_struct
    body = fit(await read_object(request), secret)
    granted = Granted(msgspec.to_builtins(body))
    kept = await parts(request).connections.reconnect(who, wanted, granted)
    return responses.JSON(serialize.connected(kept, await _going_on(request, who, kept)))


async def _going_on(request: Request, who: Actor, kept: StoredConnection) -> Sync | str | None:
    """The sync that was paused for the credentials of this connection, resumed; or why it is not.
    A failure to resume it never fails the connection, either."""
    registry = parts(request).registry
    live = registry.live_of(who.user)
    if live is None or live.connection_id != kept.id or live.status is not Status.PAUSED:
        return None
    try:
        return await registry.resume(who, live.id)
    except ServiceError as error:
        log.warning("sync_not_resumed", sync_id=live.id, code=error.code)
        return f"The paused sync does not go on yet. {error.detail}"


async def schedule(request: Request) -> Response:
    """Have syncs start by themselves; null ends that."""
    who, wanted = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(who, wanted)
    body = await read_or_null(request, ScheduleIn)
    asked = None if body is None else WantedSchedule(body.cron, body.timezone)
    kept = await parts(request).connections.schedule(who, wanted, asked)
    return responses.JSON(serialize.connection(kept))


async def sync_status(request: Request) -> Response:
    """What is kept of a connection, whether a sync is due, and why."""
    who, here = actor(request), parts(request)
    kept = await here.connections.get(who, request.path_params["connection_id"])
    landed = await here.records.datasets(kept.id)
    complete = await here.store.newest_of(who.user, kept.id, Status.COMPLETE)
    newest = await here.store.newest_of(who.user, kept.id)
    datasets = here.sources.get(kept.connector).datasets
    why = _why_needed(kept, newest, datasets, landed, here.clock.now())
    return responses.JSON(
        shapes.Freshness(
            connection_id=kept.id,
            datasets=[serialize.landed(each.name, landed.get(each.name)) for each in datasets],
            last_complete_sync=serialize.last_sync(complete),
            last_sync=serialize.last_sync(newest),
            schedule=serialize.schedule(kept.schedule),
            sync_needed=why[0] in NEEDED,
            reason=why[0],
            message=why[1],
        )
    )


def _why_needed(
    kept: StoredConnection,
    newest: Sync | None,
    datasets: Sequence[Dataset],
    landed: Mapping[str, StoredDataset],
    now: datetime,
) -> tuple[str, str]:
    """A word for programs and a sentence for people. What was kept decides: a dry run, or a sync of
    some datasets or of the past, is complete and yet has not brought all."""
    if kept.lost:
        return "connection_lost", f"Reconnect the account first: {kept.lost}"
    if newest and newest.live:
        return "running", "A sync is running."
    if newest and not newest.options.dry_run:
        if newest.status is not Status.COMPLETE:
            return f"last_{newest.status}", f"The last sync was not completed: {newest.message}"
        if any(each.status is not Outcome.COMPLETE for each in newest.sources):
            return "incomplete", "The last sync could not read all of it."
    if not landed:
        return "never_synced", "Nothing has been read yet."
    known = {name: each.coverage for name, each in landed.items() if each.coverage}
    if unread := [each.label for each in datasets if each.name not in known]:
        return "incomplete", f"Not all of it has been read: {', '.join(unread)}."
    ages = {each.name: now - known[each.name].until for each in datasets}
    if any(ages[each.name] > STALE + each.lag for each in datasets):
        return "stale", f"What was read is more than {STALE.days * 24} hours old."
    if any(age < -STALE for age in ages.values()):
        return "stale", "What was read was dated by a clock that was ahead."
    return "up_to_date", "All was read within the last day."


async def list_all(request: Request) -> Response:
    """The user's connections."""
    found = await parts(request).connections.list(actor(request))
    return responses.JSON({"connections": [serialize.connection(each) for each in found]})


async def one(request: Request) -> Response:
    """One connection."""
    wanted = request.path_params["connection_id"]
    return responses.JSON(
        serialize.connection(await parts(request).connections.get(actor(request), wanted))
    )


async def forget(request: Request) -> Response:
    """Forget a connection. Its credentials are erased in any case; `data` says what becomes of what
    was landed. 202: it is still being erased, and goes on by itself; the same call tells when it is
    done (404)."""
    who, here = actor(request), parts(request)
    wanted, erase = request.path_params["connection_id"], read_query(request, ForgetQuery).data
    if erase == "keep":
        await here.connections.forget(who, wanted, erase=False)
        await here.erasing.clean()
        return Response(status_code=204)
    if not await here.erasing.under_way(who.user, wanted):
        await here.connections.forget(who, wanted, erase=True)
    with anyio.move_on_after(ERASED_WITHIN):
        if await here.erasing.finish(wanted):
            return Response(status_code=204)
    return responses.JSON(shapes.Erasing(id=wanted, status="erasing"), status_code=202)
