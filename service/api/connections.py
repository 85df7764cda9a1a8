"""Connect an account, list, see and forget."""

from typing import Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response

from service.api import wire
from service.api.parts import actor, parts
from service.connections import ConsentRequest, NewConnection
from service.errors import Invalid, ServiceError
from service.model import Actor
from service.registry import StartRequest, addresses
from service.store.store import StoredConnection

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
        if len(self.refresh_token) > 4096:
            raise Invalid.field("refreshToken", "Must not be longer than 4,096 characters.")
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
    given = wire.query(request, "region", "marketplaceIds", "environment")
    asked = ConsentRequest(
        connector=connector,
        region=given.get("region", "NA").upper(),
        marketplace_ids=tuple(filter(None, given.get("marketplaceIds", "").split(","))),
        environment=given.get("environment", "production"),
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
    await _historical_sync(request, who, kept)
    return Response(status_code=303, headers={"Location": "/"})


async def list_all(request: Request) -> Response:
    """GET /api/connections."""
    found = await parts(request).connections.list(actor(request))
    return wire.JSON({"connections": [wire.connection(each) for each in found]})


async def one(request: Request) -> Response:
    """GET /api/connections/{connection_id}."""
    wanted = request.path_params["connection_id"]
    return wire.JSON(wire.connection(await parts(request).connections.get(actor(request), wanted)))


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
