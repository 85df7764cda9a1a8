"""CORS: which origins may call the API, how, and which responses they can read."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.edge.cors import RESPONSE_HEADERS
from tests.service.api.answers import SLOW, api_routes, path_of, problem
from tests.service.api.streams import data, stream, until_streams
from tests.service.edge.test_headers import break_database
from tests.serving import Serving, User, read, serve, token

pytestmark = pytest.mark.anyio

APP = "https://app.example"
SHARED: dict[str, Any] = {"CORS_ORIGINS": f"{APP}, http://localhost:5173"}
ALLOW_ORIGIN = "access-control-allow-origin"
OTHER_ORIGINS = (
    "https://evil.example",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://APP.example",
    "null",
    "",
    "*",
)


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }


def cors_headers(answer: httpx.Response) -> dict[str, list[str]]:
    names = {name for name in answer.headers if name.startswith("access-control-")}
    return {name: answer.headers.get_list(name) for name in names}


def assert_readable(answer: httpx.Response, origin: str = APP) -> None:
    """Check that a page of the origin can read the response."""
    assert cors_headers(answer) == {
        ALLOW_ORIGIN: [origin],
        "access-control-expose-headers": [", ".join(RESPONSE_HEADERS)],
    }
    assert answer.headers.get_list("vary") == ["Origin"]


async def test_a_preflight_allows_every_method_and_header_of_the_api(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED) as service, service.anonymous() as client:
        for origin in (APP, "http://localhost:5173"):
            for route, method in api_routes():
                answer = await client.options(
                    path_of(route, "x"), headers=preflight(origin, method)
                )
                assert answer.status_code == 200, (method, route.path)
                assert answer.headers[ALLOW_ORIGIN] == origin
                methods = answer.headers["access-control-allow-methods"].split(", ")
                assert method in methods
                allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
                assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
                assert {"last-event-id", "if-none-match"} <= set(allowed)
                assert {"prefer", "x-request-id"} <= set(allowed)
                assert answer.headers["access-control-max-age"] == "600"
                assert "access-control-allow-credentials" not in answer.headers
                assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_can_read_every_response_including_errors(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED) as service:
        ann, headers = service.user(), {"Origin": APP}
        connection = await ann.connect()
        started = await ann.post("/api/sync/start", headers=headers)
        assert started.status_code == 202 and started.headers["location"]
        assert_readable(started)
        status = await ann.get(started.headers["location"], headers=headers)
        assert status.status_code == 200
        assert_readable(status)
        await ann.until(started.json()["syncId"])
        status = await ann.get(started.headers["location"], headers=headers)
        cached = {**headers, "If-None-Match": status.headers["etag"]}
        unchanged = await ann.get(started.headers["location"], headers=cached)
        assert unchanged.status_code == 304
        assert_readable(unchanged)
        async with service.anonymous(headers=headers) as client:
            refused = await client.get("/api/connections")
            problem(refused, 401, "unauthenticated")
            assert_readable(refused)
        for answer, code in [
            (await ann.get("/api/nowhere", headers=headers), 404),
            (await ann.get("/api/connections/conn_x", headers=headers), 404),
            (await ann.http.put("/api/sync/start", headers=headers), 405),
            (await ann.post("/api/sync/start", {"nope": 1}, headers=headers), 422),
            (await ann.http.request("OPTIONS", "/api/sync/start", headers=headers), 405),
            (await ann.post("/api/session", headers=headers), 204),
            (await ann.http.delete(f"/api/connections/{connection['id']}", headers=headers), 204),
        ]:
            assert answer.status_code == code
            assert_readable(answer)
        await break_database(tmp_path)
        fault = await ann.get("/api/connections", headers=headers)
        problem(fault, 500, "internal_error")
        assert_readable(fault)


async def test_other_origins_cannot_read_a_response(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED) as service:
        ann = service.user()
        for origin in OTHER_ORIGINS:
            answer = await ann.get("/api/connections", headers={"Origin": origin})
            assert answer.status_code == 200, origin
            assert ALLOW_ORIGIN not in answer.headers, origin
            assert answer.headers["vary"] == "Origin", "a cache must not share the response"
            answer = await ann.http.options("/api/connections", headers=preflight(origin))
            assert answer.status_code == 400, origin
            assert ALLOW_ORIGIN not in answer.headers, origin
        answer = await ann.get("/api/connections")
        assert (answer.status_code, cors_headers(answer)) == (200, {})
        assert answer.headers["vary"] == "Origin"


async def test_pages_are_not_shared_with_other_origins(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED) as service, service.anonymous() as client:
        for path in ("/", "/docs", "/healthz", "/nowhere", "/api"):
            answer = await client.get(path, headers={"Origin": APP})
            assert cors_headers(answer) == {} and "vary" not in answer.headers
            assert cors_headers(await client.options(path, headers=preflight(APP))) == {}


async def test_a_page_of_an_allowed_origin_can_import_modules(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED) as service, service.anonymous() as client:
        for path in ("/web/embed.js", "/web/client.js"):
            answer = await client.get(path, headers={"Origin": APP})
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/javascript")
            assert_readable(answer)
            for origin in OTHER_ORIGINS:
                refused = await client.get(path, headers={"Origin": origin})
                assert ALLOW_ORIGIN not in refused.headers, origin


async def test_nothing_is_shared_with_other_origins_by_default(service: Serving) -> None:
    ann = service.user()
    answer = await ann.get("/api/connections", headers={"Origin": APP})
    assert (cors_headers(answer), answer.headers.get("vary")) == ({}, None)
    answer = await ann.http.options("/api/connections", headers=preflight(APP))
    problem(answer, 405, "method_not_allowed")
    assert cors_headers(answer) == {}


async def test_a_star_allows_every_origin_but_no_credentials(tmp_path: Path) -> None:
    async with serve(tmp_path, CORS_ORIGINS="*") as service:
        ann = service.user()
        for origin in (APP, "null", "https://evil.example"):
            answer = await ann.get("/api/connections", headers={"Origin": origin})
            assert_readable(answer, "*")
            assert "access-control-allow-credentials" not in answer.headers
        answer = await ann.http.options("/api/connections", headers=preflight(APP))
        assert answer.headers[ALLOW_ORIGIN] == "*"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origins", [APP, "*"])
async def test_the_cookie_changes_nothing_from_an_allowed_origin(
    tmp_path: Path, origins: str
) -> None:
    async with serve(tmp_path, CORS_ORIGINS=origins) as service:
        await service.user().connect()
        headers = {"Cookie": f"session={token()}", "Origin": APP}
        async with service.anonymous(headers=headers) as client:
            problem(await client.post("/api/sync/start"), 403, "forbidden")
            answer = await client.get("/api/connections")
            assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_an_allowed_origin_follows_a_stream_with_a_ticket(tmp_path: Path) -> None:
    async with serve(tmp_path, **SHARED, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        answer = await ann.post("/api/sse/ticket", {"syncId": sync_id}, headers={"Origin": APP})
        assert_readable(answer)
        anonymous = User(service.anonymous())
        path = f"/api/sse/sync-progress/{sync_id}?ticket={read(answer)['ticket']}"
        async with anonymous.http, stream(anonymous, path, Origin=APP) as opened:
            assert_readable(opened.answer)
            assert data(await opened.event())["syncId"] == sync_id
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert (await opened.rest())[-1]["event"] == "cancelled", "not handed to the hub"
        await until_streams(service, 0)
        async with service.anonymous(headers={"Origin": APP}) as client:
            refused = await client.get(path + "x")
            problem(refused, 401, "unauthenticated")
            assert_readable(refused)


async def test_demo_mode_refuses_other_origins_despite_the_setting(tmp_path: Path) -> None:
    demo = serve(tmp_path, AUTH_MODE="demo", **SHARED)
    async with demo as service, service.anonymous() as client:
        for answer in (
            await client.get("/api/connections", headers={"Origin": APP}),
            await client.options("/api/connections", headers=preflight(APP)),
        ):
            problem(answer, 403, "forbidden")
            assert cors_headers(answer) == {}
