"""Connect an account, reconnect and schedule it, list, see and forget."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import anyio
import structlog
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Dataset, Granted
from service.api.parts import actor, parts
from service.connections import ConsentRequest, NewConnection
from service.errors import Invalid, ServiceError
from service.model import Status, Sync
from service.progress import Outcome
from service.schedules import ScheduleRequest
from service.starting import StartRequest
from service.store.connections import StoredConnection
from service.store.records import Landed
from service.users import Actor
from service.wire import responses, serialize, shapes
from service.wire.reading import In, Query, read_body, read_or_null, read_query

ERASED_WITHIN = 10.0
"""Seconds that a request waits for an erasure, which then goes on without it."""
STALE = timedelta(days=1)
"""Since the time up to which all is known: a new sync is worth while."""
NEEDED = frozenset(
    {"never_synced", "last_failed", "last_cancelled", "incomplete", "stale", "last_paused"}
)
Token = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(max_length=50)]

log = structlog.get_logger()


class ConnectIn(In, frozen=True):
    """The body of a connect."""

    connector: str
    refresh_token: Token
    region: Name = "NA"
    marketplace_ids: Annotated[tuple[Name, ...], Meta(max_length=50)] = ()
    environment: Literal["production", "sandbox"] = "production"
    skip_historical_sync: bool = False

    def __repr__(self) -> str:
        return f"ConnectIn({self.connector!r})"  # never the credentials

    def new(self) -> NewConnection:
        return NewConnection(
            connector=self.connector,
            region=self.region.upper(),
            marketplace_ids=tuple(dict.fromkeys(self.marketplace_ids)),
            refresh_token=self.refresh_token,
            environment=self.environment,
        )


class ReconnectIn(In, frozen=True):
    """The body of a reconnect."""

    refresh_token: Token

    def __repr__(self) -> str:
        return "ReconnectIn()"  # never the credentials


class ScheduleIn(In, frozen=True):
    """The body of a schedule: five fields of cron, and the name of a time zone."""

    cron: str
    timezone: str = "UTC"


class AuthorizeQuery(Query, frozen=True):
    """What is to be connected by consent; with `connectionId`, which connection anew."""

    region: Name = "NA"
    marketplace_ids: str = ""
    environment: Literal["production", "sandbox"] = "production"
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
    body = await read_body(request, ConnectIn)
    kept = await parts(request).connections.connect(who, body.new())
    begun = None if body.skip_historical_sync else await _historical_sync(request, who, kept)
    headers = {"Location": f"/api/connections/{kept.id}"}
    return responses.JSON(serialize.connected(kept, begun), status_code=201, headers=headers)


async def _historical_sync(request: Request, who: Actor, kept: StoredConnection) -> Sync | str:
    """The sync; or why there is none. A failure to start it never fails the connection: the user
    can start it any time."""
    try:
        return await parts(request).starter.start(who, StartRequest(connection_id=kept.id))
    except ServiceError as error:
        log.warning("historical_sync_not_started", connection_id=kept.id, code=error.code)
        return f"The historical sync was not started. {error.detail}"
    except Exception:
        log.exception("historical_sync_not_started", connection_id=kept.id)
        return "The historical sync was not started. Start it when you like."


async def authorize(request: Request) -> Response:
    """Send the browser to the source's page of consent."""
    who, connector = actor(request), request.path_params["connector"]
    given = read_query(request, AuthorizeQuery)
    asked = ConsentRequest(
        connector=connector,
        region=given.region.upper(),
        marketplace_ids=tuple(filter(None, given.marketplace_ids.split(","))),
        environment=given.environment,
        connection_id=given.connection_id or None,
    )
    back = f"{request.base_url}api/connections/{connector}/callback"
    url = await parts(request).connections.authorize(who, asked, back)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


async def callback(request: Request) -> Response:
    """Back from the page of consent, with a code and our state. The account is connected, a first
    sync starts, and the browser goes to the dashboard."""
    who, connector = actor(request), request.path_params["connector"]
    parts(request).sources.consent(connector)
    answer = dict(request.query_params)
    if not answer.get("state"):
        raise Invalid.field("state", "Missing: the consent was not given, or broke off.")
    kept = await parts(request).connections.consented(who, connector, answer)
    if await _going_on(request, who, kept) is None:
        await _historical_sync(request, who, kept)
    return Response(status_code=303, headers={"Location": "/"})


async def reconnect(request: Request) -> Response:
    """Give new credentials for the same account; a sync that was paused for them goes on."""
    who, wanted = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(who, wanted)  # 404 before the body is looked at
    body = await read_body(request, ReconnectIn)
    given = Granted(body.refresh_token)
    kept = await parts(request).connections.reconnect(who, wanted, given)
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
    asked = None if body is None else ScheduleRequest(body.cron, body.timezone)
    kept = await parts(request).connections.schedule(who, wanted, asked)
    return responses.JSON(serialize.connection(kept))


async def sync_status(request: Request) -> Response:
    """What is kept of a connection, whether a sync is due, and why."""
    who, here = actor(request), parts(request)
    kept = await here.connections.get(who, request.path_params["connection_id"])
    landed = await here.records.landed(kept.id)
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
    landed: Mapping[str, Landed],
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
    return responses.JSON(
        shapes.Connections(connections=[serialize.connection(each) for each in found])
    )


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
