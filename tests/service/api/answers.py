"""Checks of responses of the API, and requests that no client library can send."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from anyio.abc import SocketStream
from starlette.routing import Route

from service.api.routes import routes
from service.wire.contract import requires_identity
from tests.serving import PATIENCE, Json, Serving, User, read

SLOW: dict[str, Any] = {"DEMO_PAUSE": "0.9", "DEMO_PAGE": "10"}
"""A source whose syncs take longer than any test, and which does not announce its pauses."""
START, CONNECT = "/api/sync/start", "/api/connections"
NEW = {"connector": "demo", "refreshToken": "good"}
TINY: dict[str, Any] = {"DEMO_ORDERS": "1"}
TRACE = re.compile(r"Traceback|File \\?\"|\bline \d+, in")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def problem(answer: httpx.Response, status: int, code: str) -> Json:
    """The body of a response, which must be a problem as RFC 9457 describes it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = read(answer)
    assert body["status"] == status
    assert body["code"] == code, body
    for name in ("type", "title", "detail", "code"):
        assert isinstance(body[name], str) and body[name], name
    assert not TRACE.search(answer.text), answer.text
    for error in body.get("errors", []):
        assert set(error) == {"field", "message"}
    return body


def fields(body: Json) -> list[str]:
    """The names of the invalid fields in a problem."""
    return [error["field"] for error in body["errors"]]


async def send(user: User, path: str, content: Any, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    return await user.http.post(path, content=content, headers=headers)


def api_routes() -> Iterator[tuple[Route, str]]:
    """Every path under /api that needs an identity, with each of its methods."""
    for route in routes:
        if not isinstance(route, Route) or not requires_identity(route.path):
            continue
        if route.path.startswith("/api"):
            for method in sorted(route.methods or ()):
                yield route, method


def path_of(route: Route, value: str) -> str:
    return re.sub(r"\{\w+\}", value, route.path)


async def visible_state(user: User) -> Any:
    """The state that a refused request must leave unchanged."""
    history = read(await user.get("/api/sync/history"))
    connections = read(await user.get("/api/connections"))
    return history["total"], [sync["syncId"] for sync in history["syncs"]], connections


async def paused_sync(service: Serving, user: User) -> str:
    """A sync that paused because the source refused its credentials."""
    connection = (await user.connect())["id"]
    await replace_token(service, connection)
    sync_id = await user.start()
    await user.until(sync_id, "paused")
    return sync_id


async def replace_token(service: Serving, connection_id: str, token: str = "revoked") -> None:
    """Replace the stored token, as if the seller had revoked it. Only the source notices."""
    from service.credentials import encrypt, read_keys
    from service.store.engine import Statement
    from tests.serving import KEY

    secret = encrypt(read_keys(KEY), {"refreshToken": token})
    sql = "UPDATE connections SET credentials = :secret, lost = NULL WHERE id = :id RETURNING id"
    row = {"secret": secret, "id": connection_id}
    assert await service.parts.store.write(Statement(sql, [row]))


@asynccontextmanager
async def connection_to(service: Serving) -> AsyncIterator[SocketStream]:
    """A TCP connection to the service."""
    address = urlsplit(service.url)
    async with await anyio.connect_tcp(str(address.hostname), int(address.port or 0)) as stream:
        yield stream


async def raw(service: Serving, request: bytes) -> bytes:
    """The bytes of the response, up to the end of the connection."""
    answer = b""
    async with connection_to(service) as stream:
        await stream.send(request)
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return answer
