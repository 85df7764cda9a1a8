"""Every call of the API, taken from the table of routes, with the ids of a user's resources.

A new route needs an entry here only if it is public, has a path parameter with a new name, or needs
a body to reach its own checks."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from starlette.routing import Mount, Route, WebSocketRoute

from service.api.routes import routes
from service.store.deliveries import StoredDelivery
from service.store.ids import new_id
from tests.service.api.answers import TINY, replace_token
from tests.service.api.issuer import jwks, rsa, signed
from tests.service.api.test_recoveries import claim, store_claims
from tests.serving import Serving, User, read, serve

PUBLIC = {"/healthz", "/readyz", "/", "/web", "/openapi.json", "/docs"}
"""Paths that need no credentials."""
SIGNED = {"/api/notifications/{connector}"}
"""Paths that need a signature instead (`test_notifications.py`)."""
LOCAL = {"/metrics"}
"""Paths that this machine may read, and others with a token of their own (`test_metrics.py`)."""
OPERATORS = {"/api/operations"}
"""Paths that only operators may read, and that show all tenants (`test_operations.py`)."""
STREAM = "/api/sse/sync-progress/{sync_id}"
SOCKET = "/ws/sync-progress/{sync_id}"
"""Without an upgrade it is 426 for every sync. `service/streams/test_sockets.py` opens sockets."""

DIMENSIONS = {
    **{"sku": "ANN", "length": "6", "width": "4", "height": "1", "lengthUnit": "in"},
    **{"weight": "0.5", "weightUnit": "lb"},
}

PATH_PARAMETERS = (
    *("sync_id", "connection_id", "claim_id", "record_id", "dataset", "connector"),
    *("webhook_id", "delivery_id"),
)
"""All path parameters."""
QUERIES = {"/api/data/{dataset}/{record_id}": "?connectionId={connection_id}"}
"""The queries of routes that name a resource which another user may have under the same id."""

Resources = dict[str, str]


class Call(NamedTuple):
    """A request to a route."""

    route: str
    method: str
    path: str
    body: Any

    @property
    def owned(self) -> bool:
        """Whether the route shows or changes one resource of one user."""
        if self.route == SOCKET:
            return False
        return "_id}" in self.route or self.route == "/api/sse/ticket"

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def calls(resources: Resources) -> Iterator[Call]:
    """The calls of all routes that need an identity. Resources that are not given do not exist."""
    resources = {**dict.fromkeys(PATH_PARAMETERS, "x"), **resources}
    for route in routes:
        if isinstance(route, WebSocketRoute):
            continue
        assert isinstance(route, Route | Mount), f"define a call of {route} without credentials"
        if isinstance(route, Mount) or route.path in PUBLIC:
            assert route.path in PUBLIC, f"{route.path} needs no credentials"
            continue
        if route.path in SIGNED | LOCAL:
            continue
        for method in sorted(route.methods or ()):
            path = (route.path + QUERIES.get(route.path, "")).format_map(resources)
            yield Call(route.path, method, path, body(route.path, resources))


def body(path: str, resources: Resources) -> Any:
    """A body that passes validation, so that the call reaches the check of the owner."""
    bodies = {
        "connections": {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True},
        "ticket": {"syncId": resources["sync_id"]},
        "reconnect": {"refreshToken": "good"},
        "schedule": {"cron": "0 2 * * *", "timezone": "UTC"},
        "costs": [{"sku": "MUG-01", "cost": "4.20", "currency": "USD"}],
        "dimensions": [DIMENSIONS | {"sku": "MUG-01"}],
        "webhooks": {"url": "https://hooks.example/in", "types": ["*"]},
        "replay": {"after": "-1"},
        "received": [{"orderId": "removal-1", "quantityReceived": 2}],
    }
    return bodies.get(re.sub(r"/\{\w+\}", "", path).rpartition("/")[2], {})


async def create_resources(service: Serving, user: User) -> Resources:
    """Create one resource of each kind and return the ids. None of them changes by itself."""
    await store_claims(service, user, claim(1))
    connection = read(await user.get("/api/connections"))["connections"][0]["id"]
    recoveries = read(await user.get("/api/recoveries"))["recoveries"]
    ended = read(await user.get("/api/sync/status"))["syncId"]
    await user.http.put("/api/costs", json=[{"sku": "ANN", "cost": "1", "currency": "EUR"}])
    await user.http.put("/api/dimensions", json=[DIMENSIONS])
    await replace_token(service, connection)
    paused = await user.start()
    await user.until(paused, "paused")
    await service.settled()
    webhook_id, delivery_id = await create_webhook(service, user)
    return {
        "sync_id": paused,
        "ended": ended,
        "connection_id": connection,
        "claim_id": recoveries[0]["id"],
        "record_id": "orders-0000000",
        "dataset": "orders",
        "connector": "demo",
        "webhook_id": webhook_id,
        "delivery_id": delivery_id,
    }


async def create_webhook(service: Serving, user: User) -> tuple[str, str]:
    """A webhook and a delivery, which stays as it is: the webhook is disabled."""
    body = {"url": "https://hooks.example/in", "types": ["connection.stale"]}
    webhook_id = read(await user.post("/api/webhooks", body))["id"]
    await user.http.patch(f"/api/webhooks/{webhook_id}", json={"enabled": False})
    now = service.parts.clock.now()
    delivery = StoredDelivery(
        id=new_id(now),
        webhook_id=webhook_id,
        event_id=f"event-of-{webhook_id}",
        type="connection.stale",
        sync_id="",
        connection_id="",
        tx=0,
        seq=0,
        at=now,
        body="{}",
    )
    await service.parts.webhooks._deliveries.add(delivery)
    return webhook_id, delivery.id


async def make_call(client: httpx.AsyncClient, call: Call, **options: Any) -> httpx.Response:
    """Make a call and return the response; of an endless stream, only its first chunk."""
    body = {} if call.method in ("GET", "HEAD", "DELETE") else {"json": call.body}
    async with client.stream(call.method, call.path, **body, **options) as answer:
        endless = answer.headers.get("content-type", "").startswith("text/event-stream")
        if call.method == "HEAD" or not endless:
            await answer.aread()
        else:
            answer._content = await anext(answer.aiter_raw())
    return answer


async def responses_of(user: User, resources: Resources) -> dict[str, tuple[int, str]]:
    """The responses of all GET calls of a user."""
    responses = {}
    for call in calls(resources):
        if call.method == "GET":
            answer = await make_call(user.http, call)
            responses[call.path] = (answer.status_code, re.sub(r"retry: \d+", "", answer.text))
    return responses


@asynccontextmanager
async def serve_with_secret(folder: Path) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, **TINY) as service:
        yield service, service.user("ann", tenant="acme")


@asynccontextmanager
async def serve_with_jwks(folder: Path) -> AsyncIterator[tuple[Serving, User]]:
    (folder / "jwks.json").write_bytes(jwks(rsa()))
    environ: Any = {"AUTH_JWKS": str(folder / "jwks.json"), "AUTH_SECRET": "", **TINY}
    async with serve(folder, **environ) as service:
        bearer = {"Authorization": f"Bearer {signed(rsa(), 'ann', tenant='acme')}"}
        async with service.anonymous(headers=bearer) as client:
            yield service, User(client)


def check_refused(
    answer: httpx.Response, call: Call, status: int, code: str, why: str = ""
) -> None:
    assert answer.status_code == status, (str(call), why, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    if call.method != "HEAD":
        assert read(answer)["code"] == code, str(call)
