"""X-Request-Id: every response has one, and so do the log lines of its request."""

import json
import logging
import re
from pathlib import Path

import httpx
import pytest

from service.edge.limits import Limits
from service.logs import configure_logs
from tests.cases import each
from tests.service.api.answers import raw
from tests.service.api.streams import stream
from tests.service.edge.test_headers import break_database
from tests.serving import Serving, serve, serve_within, token

pytestmark = pytest.mark.anyio

NEW = re.compile(r"[0-9a-f]{32}")
LONGEST = "x" * 128


def id_of(answer: httpx.Response) -> str:
    (request_id,) = answer.headers.get_list("x-request-id")
    return str(request_id)


def id_in(answer: bytes) -> str:
    (request_id,) = re.findall(rb"(?mi)^x-request-id: (.*)\r$", answer)
    return str(request_id.decode())


def sent(request_id: str) -> dict[str, str]:
    return {"X-Request-Id": request_id}


async def test_every_response_has_the_id_that_the_client_sent(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    async with service.anonymous() as client:
        for number, (path, code) in enumerate(
            {
                **{"/": 200, "/web/app.js": 200, "/web/nowhere.js": 404, "/healthz": 200},
                **{"/nowhere": 404, "/api/connections": 401, "/openapi.json": 200, "/docs": 200},
            }.items()
        ):
            answer = await client.get(path, headers=sent(f"request-{number}"))
            assert (answer.status_code, id_of(answer)) == (code, f"request-{number}"), path
        etag = (await client.get("/web/app.js")).headers["etag"]
        cached = await client.get("/web/app.js", headers={"If-None-Match": etag, **sent("cached")})
        assert (cached.status_code, id_of(cached)) == (304, "cached")
    for answer, code in [
        (await ann.get("/api/connections", headers=sent("a")), 200),
        (await ann.http.head("/api/connections", headers=sent("a")), 200),
        (await ann.http.put("/api/sync/start", headers=sent("a")), 405),
        (await ann.post("/api/sync/start", {"nope": 1}, headers=sent("a")), 422),
        (await ann.post("/api/session", headers=sent("a")), 204),
    ]:
        assert (answer.status_code, id_of(answer)) == (code, "a")


async def test_streams_preflights_and_refusals_of_demo_mode_have_it(tmp_path: Path) -> None:
    async with serve(tmp_path / "a", CORS_ORIGINS="https://app.example") as service:
        ann = service.user()
        async with stream(ann, "/api/sse/syncs", X_Request_Id="stream") as opened:
            assert id_of(opened.answer) == "stream"
        headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        answer = await ann.http.options("/api/me", headers={**headers, **sent("preflight")})
        assert (answer.status_code, id_of(answer)) == (200, "preflight")
    async with serve(tmp_path / "b", AUTH_MODE="demo") as service, service.anonymous() as client:
        answer = await client.get("/", headers={"Host": "evil.example", **sent("demo")})
        assert (answer.status_code, id_of(answer)) == (403, "demo")


async def test_without_one_each_request_gets_an_id_of_its_own(service: Serving) -> None:
    ids = {id_of(await service.user().get("/api/me")) for _ in range(10)}
    assert len(ids) == 10 and all(map(NEW.fullmatch, ids))


@pytest.mark.parametrize("request_id", ["!", "~", LONGEST, 'a,b;c="d"', "00-4bf92f-00f067aa-01"])
async def test_an_id_of_visible_ascii_is_taken_over(service: Serving, request_id: str) -> None:
    assert id_of(await service.user().get("/api/me", headers=sent(request_id))) == request_id


@each(
    "line",
    [
        *(b"", b" ", b"a b", b"a\tb", LONGEST.encode() + b"x", b"\xc3\xa9", b"\x80", b"\x1b[31m"),
        *(b"one\r\nX-Request-Id: two", b"one\r\n folded: yes", b"a\x00b", b"a\rSet-Cookie: b=c"),
    ],
)
async def test_a_hostile_id_is_replaced_and_never_repeated(service: Serving, line: bytes) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: "
    answer = await raw(service, head + line + b"\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 "))
    assert NEW.fullmatch(id_in(answer)), answer
    assert b"\nset-cookie" not in answer.lower() and b"folded" not in answer


async def test_bytes_that_are_not_http_have_an_id(service: Serving) -> None:
    answer = await raw(service, b"\x16\x03\x01\x00\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and NEW.fullmatch(id_in(answer))


async def test_requests_that_are_too_slow_have_an_id(tmp_path: Path) -> None:
    async with serve_within(Limits(head=0.05, tick=0.01, window=0.2), tmp_path) as service:
        answer = await raw(service, b"GET / HTTP/1.1\r\nHo")
        assert answer.startswith(b"HTTP/1.1 408") and NEW.fullmatch(id_in(answer))
        head = f"POST /api/sync/start HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
        body = "X-Request-Id: slow\r\nContent-Length: 100\r\n\r\n{"
        answer = await raw(service, (head + body).encode())
        assert answer.startswith(b"HTTP/1.1 408") and id_in(answer) == "slow"


async def test_the_log_lines_of_a_request_have_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        configure_logs("info", "json")
        ann = service.user()
        await ann.connect()
        answer = await ann.post("/api/sync/start", {}, headers=sent("start-1"))
        sync_id = answer.json()["syncId"]
        await ann.until(sync_id)
        await break_database(tmp_path)
        fault = await ann.get("/api/connections", headers=sent("fault-1"))
        assert (fault.status_code, id_of(fault)) == (500, "fault-1")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    moves = {line["to"]: line.get("request_id") for line in lines if line["event"] == "sync_moved"}
    assert moves["pending"] == "start-1"
    assert moves["in_progress"] is None, "a sync is no part of the request that started it"
    (error,) = [line for line in lines if line["event"].startswith("Exception in ASGI")]
    assert error["request_id"] == "fault-1"


async def test_a_cancel_and_a_resume_are_logged_with_their_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(tmp_path, DEMO_PAUSE="1000000") as service:
        configure_logs("info", "json")
        ann = service.user("ann", tenant="acme")
        await ann.connect()
        answer = await ann.post("/api/sync/start", {}, headers=sent("start-1"))
        path = answer.json()["syncId"]
        await ann.post(f"/api/sync/cancel/{path}", headers=sent("cancel-1"))
        await ann.post(f"/api/sync/resume/{path}", headers=sent("resume-1"))
        await ann.post(f"/api/sync/cancel/{path}", headers=sent("cancel-2"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    moves = [line for line in lines if line["event"] == "sync_moved"]
    caused = [line["request_id"] for line in moves if "request_id" in line]
    assert caused == ["start-1", "cancel-1", "resume-1", "cancel-2"]
    assert {(line["sync_id"], line["tenant"]) for line in moves} == {(path, "acme")}


async def test_every_line_of_a_run_names_its_sync_and_tenant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        logging.getLogger("a.library").warning("a line of a library")
        raise RuntimeError("broken")

    monkeypatch.setattr("service.pipeline.reading.Reading.read_all", broken)
    monkeypatch.setattr("service.pipeline.patience.FIRST_PAUSE", 0.01)
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        configure_logs("info", "json")
        ann = service.user("ann", tenant="acme")
        await ann.connect()
        answer = await ann.post("/api/sync/start", {}, headers=sent("start-1"))
        sync_id = answer.json()["syncId"]
        assert (await ann.until(sync_id))["status"] == "failed"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events = ("a line of a library", "sync_failed_unexpectedly", "sync_retried")
    of_run = [line for line in lines if line["event"] in events]
    assert {line["event"] for line in of_run} == set(events)
    assert {(line["sync_id"], line["tenant"]) for line in of_run} == {(sync_id, "acme")}
    assert not any("request_id" in line for line in of_run)
