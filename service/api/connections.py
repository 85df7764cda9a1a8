"""Connect an account, reconnect and schedule it, list, see and forget."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response

from connectors.base import Dataset
from service.api import wire
from service.api.parts import actor, parts
from service.connections import ConsentRequest, NewConnection
from service.errors import Invalid, ServiceError
from service.model import Actor, Status, Sync
from service.progress import Outcome
from service.registry import StartRequest, addresses
from service.schedules import WantedSchedule
from service.store.connections import StoredConnection
from service.store.records import Landed

STALE = timedelta(days=1)
"""Since the time up to which all is known: a new sync is worth while."""
NEEDED = frozenset(
    {"never_synced", "last_failed", "last_cancelled", "incomplete", "stale", "last_paused"}
)
LONGEST_TOKEN = 4096

log = structlog.get_logger()


class ConnectIn(wire.In, frozen=True):
    """The body of a connect."""

    connector: str
    refresh_token: str
    region: str = "NA"
    marketplace_ids: tuple[str, ...] = ()
    environment: Literal["production", "sandbox"] = "production"
    skip_historical_sync: bool = False

    def __repr__(self) -> str:
        return f"ConnectIn({self.connector!r})"  # never the credentials

    def new(self) -> NewConnection:
        _check_token(self.refresh_token)
        if len(self.marketplace_ids) > 50 or any(len(each) > 50 for each in self.marketplace_ids):
            raise Invalid.field("marketplaceIds", "At most 50, of at most 50 characters each.")
        if len(self.region) > 50:
            raise Invalid.field("region", "Must not be longer than 50 characters.")
        return NewConnection(
            connector=self.connector,
            region=self.region.upper(),
            marketplace_ids=tuple(dict.fromkeys(self.marketplace_ids)),
            refresh_token=self.refresh_token,
            environment=self.environment,
        )


class ReconnectIn(wire.In, frozen=True):
    """The body of a reconnect."""

    refresh_token: str

    def __repr__(self) -> str:
        return "ReconnectIn()"  # never the credentials


class ScheduleIn(wire.In, frozen=True):
    """The body of a schedule: five fields of cron, and the name of a time zone."""

    cron: str
    timezone: str = "UTC"


async def connect(request: Request) -> Response:
    """POST /api/connections: checks the account, keeps it, and starts the historical sync."""
    who = actor(request)
    body = await wire.read_body(request, ConnectIn)
    kept = await parts(request).connections.connect(who, body.new())
    answer = wire.connection(kept) | {"sync": None}
    if not body.skip_historical_sync:
        answer |= await _historical_sync(request, who, kept)
    headers = {"Location": f"/api/connections/{kept.id}"}
    return wire.JSON(answer, status_code=201, headers=headers)


async def _historical_sync(request: Request, who: Actor, kept: StoredConnection) -> wire.Json:
    """Where it can be followed. A failure to start it never fails the connection: the user can
    start it any time."""
    try:
        sync = await parts(request).registry.start(who, StartRequest(connection_id=kept.id))
        return {"sync": addresses(sync.id)}
    except ServiceError as error:
        log.warning("historical_sync_not_started", connection_id=kept.id, code=error.code)
        return {"warning": f"The historical sync was not started. {error.detail}"}
    except Exception:
        log.exception("historical_sync_not_started", connection_id=kept.id)
        return {"warning": "The historical sync was not started. Start it when you like."}


async def authorize(request: Request) -> Response:
    """GET /api/connections/{connector}/authorize: sends the browser to the source's page."""
    who, connector = actor(request), request.path_params["connector"]
    given = wire.query(request, "region", "marketplaceIds", "environment", "connectionId")
    asked = ConsentRequest(
        connector=connector,
        region=given.get("region", "NA").upper(),
        marketplace_ids=tuple(filter(None, given.get("marketplaceIds", "").split(","))),
        environment=given.get("environment", "production"),
        connection_id=given.get("connectionId"),
    )
    back = f"{request.base_url}api/connections/{connector}/callback"
    url = await parts(request).connections.authorize(who, asked, back)
    return Response(status_code=302, headers={"Location": url, "Cache-Control": "no-store"})


async def callback(request: Request) -> Response:
    """GET /api/connections/{connector}/callback: back from the source, with a code and our state.
    Connected, the first sync starts, and the browser goes to the dashboard."""
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
    """POST /api/connections/{connection_id}/reconnect: new credentials for the same account; a sync
    that was paused for them goes on."""
    who, wanted = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(who, wanted)  # 404 before the body is looked at
    body = await wire.read_body(request, ReconnectIn)
    _check_token(body.refresh_token)
    kept = await parts(request).connections.reconnect(who, wanted, body.refresh_token)
    resumed = await _going_on(request, who, kept)
    return wire.JSON(wire.connection(kept) | {"sync": addresses(resumed.id) if resumed else None})


async def _going_on(request: Request, who: Actor, kept: StoredConnection) -> Sync | None:
    """The sync that was paused for the credentials of this connection, resumed."""
    registry = parts(request).registry
    live = registry.live_of(who.user)
    if live is None or live.connection_id != kept.id or live.status is not Status.PAUSED:
        return None
    return await registry.resume(who, live.id)


async def schedule(request: Request) -> Response:
    """PUT /api/connections/{connection_id}/schedule: syncs start by themselves; null ends it."""
    who, wanted = actor(request), request.path_params["connection_id"]
    await parts(request).connections.get(who, wanted)
    body = await wire.read_or_null(request, ScheduleIn)
    asked = None if body is None else WantedSchedule(body.cron, body.timezone)
    kept = await parts(request).connections.schedule(who, wanted, asked)
    return wire.JSON(wire.connection(kept))


async def sync_status(request: Request) -> Response:
    """GET /api/connections/{connection_id}/sync-status: what is kept, and whether a sync is due."""
    who, here = actor(request), parts(request)
    kept = await here.connections.get(who, request.path_params["connection_id"])
    landed = await here.records.landed(kept.id)
    complete = await here.store.newest_of(who.user, kept.id, Status.COMPLETE)
    newest = await here.store.newest_of(who.user, kept.id)
    datasets = here.sources.get(kept.connector).datasets
    why = _why_needed(kept, newest, datasets, landed, here.clock.now())
    return wire.JSON(
        {
            "connectionId": kept.id,
            "datasets": [wire.landed(each.name, landed.get(each.name)) for each in datasets],
            "lastCompleteSync": wire.last_sync(complete),
            "lastSync": wire.last_sync(newest),
            "schedule": wire.schedule(kept.schedule),
            "syncNeeded": why[0] in NEEDED,
            "reason": why[0],
            "message": why[1],
        }
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
    if any(now - known[each.name].until > STALE + each.lag for each in datasets):
        return "stale", f"What was read is more than {STALE.days * 24} hours old."
    return "up_to_date", "All was read within the last day."


async def list_all(request: Request) -> Response:
    """GET /api/connections."""
    found = await parts(request).connections.list(actor(request))
    return wire.JSON({"connections": [wire.connection(each) for each in found]})


async def one(request: Request) -> Response:
    """GET /api/connections/{connection_id}."""
    wanted = request.path_params["connection_id"]
    return wire.JSON(wire.connection(await parts(request).connections.get(actor(request), wanted)))


def _check_token(refresh_token: str) -> None:
    if len(refresh_token) > LONGEST_TOKEN:
        text = f"Must not be longer than {LONGEST_TOKEN:,} characters."
        raise Invalid.field("refreshToken", text)


async def forget(request: Request) -> Response:
    """DELETE /api/connections/{connection_id}?data=keep|erase: the credentials go in any case."""
    given = wire.query(request, "data")
    wanted = given.get("data", "keep")
    if wanted not in ("keep", "erase"):
        raise Invalid.field("data", "Must be keep or erase.")
    await parts(request).connections.forget(
        actor(request), request.path_params["connection_id"], erase=wanted == "erase"
    )
    return Response(status_code=204)
