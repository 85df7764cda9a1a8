"""Security headers of every response: pages, API, streams and errors."""

import re
from pathlib import Path

import anyio
import httpx
import pytest

from tests.databases import DATABASES
from tests.service.api.answers import SLOW, TINY, connection_to, problem
from tests.service.api.streams import stream
from tests.serving import Serving, serve

pytestmark = pytest.mark.anyio

EXPECTED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": re.compile(r"camera=\(\), .*usb=\(\)"),
    "content-security-policy": re.compile("default-src 'none'; .*frame-ancestors 'none'"),
}


def assert_secured(answer: httpx.Response, cache: str | None) -> None:
    """Check that the response has each security header once, and no HSTS over plain HTTP."""
    for name, expected in EXPECTED.items():
        (value,) = answer.headers.get_list(name)
        if isinstance(expected, re.Pattern):
            assert expected.fullmatch(value), name
        else:
            assert expected == value, name
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    assert answer.headers.get_list("cache-control") == ([] if cache is None else [cache])


async def test_pages_and_their_files_are_secured(service: Serving) -> None:
    async with service.anonymous() as client:
        for path in ("/", "/web/app.js", "/web/css/base.css"):
            whole = await client.get(path)
            assert whole.status_code == 200
            assert_secured(whole, "no-cache")
            assert_secured(await client.head(path), "no-cache")
        cached = await client.get("/web/app.js", headers=_if_none_match(whole))
        unchanged = await client.get("/web/app.js", headers=_if_none_match(cached))
        assert unchanged.status_code == 304
        assert_secured(unchanged, "no-cache")
        for path in ("/healthz", "/readyz"):
            assert_secured(await client.get(path), None)
        for path, status in (("/nowhere", 404), ("/web/nowhere.js", 404), ("/web/../app.py", 404)):
            answer = await client.get(path)
            assert answer.status_code == status
            assert_secured(answer, None)
        assert_secured(await client.post("/"), None)


def _if_none_match(answer: httpx.Response) -> dict[str, str]:
    return {"If-None-Match": answer.headers["etag"]}


async def test_responses_of_the_api_are_secured_and_not_cached(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        connection = await ann.connect()
        done = await ann.whole_sync()
        for answer, status in [
            (await ann.get("/api/connections"), 200),
            (await ann.get("/api/data/orders"), 200),
            (await ann.get("/api/sync/history"), 200),
            (await ann.get("/api/recoveries", headers={"Accept": "text/csv"}), 200),
            (await ann.post("/api/session"), 204),
            (await ann.get("/api/connections/conn_x"), 404),
            (await ann.get("/api/nowhere"), 404),
            (await ann.get("/api/"), 404),
            (await ann.http.put("/api/sync/start"), 405),
            (await ann.http.request("OPTIONS", "/api/sync/start"), 405),
            (await ann.post("/api/sync/start", {"nope": 1}), 422),
            (await ann.http.post("/api/sync/start", content=b" " * 1024**2 + b"x"), 413),
            (await ann.http.post("/api/sync/start", content=b"{"), 400),
            (await ann.post("/api/sse/ticket", {"syncId": done["syncId"]}), 200),
            (await ann.http.delete(f"/api/connections/{connection['id']}"), 204),
            (await ann.post("/api/sync/start"), 409),
        ]:
            assert answer.status_code == status, answer.request.url
            assert_secured(answer, "no-store")
        async with service.anonymous() as client:
            for path in ("/api/connections", "/api/sse/syncs", "/api/nothing"):
                assert_secured(await client.get(path), "no-store")


async def test_a_response_keeps_its_own_cache_policy(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        path = f"/api/sync/status/{(await ann.whole_sync())['syncId']}"
        whole = await ann.get(path)
        assert_secured(whole, "private, no-cache")
        unchanged = await ann.get(path, headers=_if_none_match(whole))
        assert unchanged.status_code == 304
        assert_secured(unchanged, "private, no-cache")


async def test_streams_are_secured(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        for path in (sync_id, "/api/sse/syncs"):
            async with stream(ann, path) as opened:
                assert_secured(opened.answer, "no-store")
        path = f"/api/sse/sync-progress/{sync_id}"
        assert_secured(await ann.http.head(path), "no-store")
        version = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()["version"]
        ended = await ann.get(path, headers={"Last-Event-ID": str(version)})
        assert ended.status_code == 204
        assert_secured(ended, "no-store")


async def break_database(folder: Path) -> None:
    """Rename a table, so that requests fail with an unexpected error. In a thread, since this waits
    for statements that the service has begun."""

    def rename() -> None:
        with DATABASES.opened(folder) as database:
            database.execute("ALTER TABLE connections RENAME TO elsewhere")

    await anyio.to_thread.run_sync(rename)


async def test_an_internal_error_is_secured_and_closes_the_connection(
    service: Serving, tmp_path: Path
) -> None:
    await break_database(tmp_path)
    for _ in range(5):
        answer = await service.user().get("/api/connections")
        problem(answer, 500, "internal_error")
        assert_secured(answer, "no-store")
        assert answer.headers["connection"] == "close", "the server closes without announcing it"


async def test_error_responses_of_demo_mode_are_secured(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo") as service, service.anonymous() as client:
        for path, cache in (("/", None), ("/api/connections", "no-store")):
            answer = await client.get(path, headers={"Host": "evil.example"})
            problem(answer, 403, "forbidden")
            assert_secured(answer, cache)
        answer = await client.get("/api/connections", headers={"Host": "localhost"})
        assert answer.status_code == 200
        assert_secured(answer, "no-store")


async def test_hsts_is_sent_over_https_only(tmp_path: Path) -> None:
    trusting = serve(tmp_path, TRUSTED_PROXIES="127.0.0.1")
    async with trusting as service, service.anonymous() as client:
        for path in ("/", "/web/app.js", "/healthz", "/nowhere", "/api/connections"):
            answer = await client.get(path, headers={"X-Forwarded-Proto": "https"})
            assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
            answer = await client.get(path, headers={"X-Forwarded-Proto": "http"})
            assert "strict-transport-security" not in answer.headers


async def test_bytes_that_are_not_http_get_400(service: Serving) -> None:
    async with connection_to(service) as raw:
        await raw.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n")
        assert (await raw.receive()).startswith(b"HTTP/1.1 400 ")
    async with service.anonymous() as client:
        assert (await client.get("/healthz")).status_code == 200
