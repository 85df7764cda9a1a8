"""Whatever is wrong with a request: a problem that says what to do, and nothing has changed."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.service.api.answers import (
    SLOW,
    TINY,
    api_routes,
    connection_to,
    path_of,
    problem,
    raw,
    what_there_is,
)
from tests.serving import Json, Serving, User, serve, token

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
START, CONNECT = "/api/sync/start", "/api/connections"
NEW = {"connector": "demo", "refreshToken": "good"}


@pytest.fixture
async def ann(service: Serving) -> User:
    user = service.user()
    await user.connect()
    return user


async def send(user: User, path: str, content: Any, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", **headers}
    return await user.http.post(path, content=content, headers=headers)


def fields(body: Json) -> list[str]:
    return [each["field"] for each in body["errors"]]


# What is not there ------------------------------------------------------------------------------


async def test_an_unknown_connector_is_refused_and_the_known_ones_are_named(ann: User) -> None:
    before = await what_there_is(ann)
    for name in ("nope", "", "demo\0", "../demo", "Demo", "demo ", "base", "__init__", "x" * 5000):
        body = problem(await ann.post(CONNECT, {**NEW, "connector": name}), 422, "invalid")
        assert fields(body) == ["connector"]
        assert "demo" in body["detail"]
    assert await what_there_is(ann) == before


STRANGE = [
    "sync_0192f0c4aaaabbbbccccddddeeeeffff",
    "x",
    "x" * 20_000,
    "%00",
    "%0d%0aX-Bad:%201",
    "%22%3E%3Cscript%3E",
    "%ff%fe",
    "..%2f..%2fetc%2fpasswd",
    "%e2%82%ac",
    "%F0%9F%92%A9",
    "a%2Fb",
    "..;",
    "%",
    "%zz",
    "'%20OR%20'1'='1",
    "*",
]


async def test_an_unknown_id_is_404_however_strange(ann: User) -> None:
    before = await what_there_is(ann)
    for route, method in api_routes():
        if "{" not in route.path or method == "HEAD":
            continue
        for value in STRANGE if method == "GET" else STRANGE[:8]:
            answer = await ann.http.request(method, path_of(route, "~").replace("~", value))
            problem(answer, 404, "not_found")
            assert "x-bad" not in answer.headers and "location" not in answer.headers
    assert await what_there_is(ann) == before


async def test_without_a_connection_a_start_says_how_to_connect(service: Serving) -> None:
    bob = service.user("bob")
    for path in (START, "/api/sync/force"):
        body = problem(await bob.post(path), 409, "not_connected")
        for word in ("POST /api/connections", "GET /api/connectors"):
            assert word in body["detail"]
    assert await what_there_is(bob) == (0, [], {"connections": []})


async def test_an_unknown_connection_starts_nothing(ann: User) -> None:
    before = await what_there_is(ann)
    for wanted in ("conn_x", "", "\0", "é" * 300):
        problem(await ann.post(START, {"connectionId": wanted}), 409, "not_connected")
    assert await what_there_is(ann) == before


async def test_with_several_connections_a_start_must_say_which(ann: User) -> None:
    await ann.connect(region="EU", refreshToken="token@other")
    before = await what_there_is(ann)
    assert fields(problem(await ann.post(START), 422, "invalid")) == ["connectionId"]
    assert await what_there_is(ann) == before


async def test_a_second_start_names_the_sync_that_runs(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        await ann.connect()
        running = await ann.start()
        for path in (START, "/api/sync/force"):
            body = problem(
                await ann.post(path, {"onConflict": "reject"}), 409, "sync_already_running"
            )
            assert body["syncId"] == running
            assert body["statusUrl"] == f"/api/sync/status/{running}"
            assert body["streamUrl"] == f"/api/sse/sync-progress/{running}"
        assert (await what_there_is(ann))[:2] == (1, [running])


# Bodies -----------------------------------------------------------------------------------------

NOT_JSON = [
    b"{",
    b"}",
    b"{'datasets': []}",
    b"{,}",
    b'{"datasets": [}',
    b"nul",
    b"NaN",
    b"1e999",
    b'{"since": NaN}',
    b"\x00",
    b"{}\x00",
    b"\xff\xfe{\x00}\x00",
    b'{"connectionId": "\xff"}',
    b'{"connectionId": "\xed\xa0\x80"}',
    b'{"connectionId": "\\ud800"}',
    b'{"connectionId": "\\x00"}',
    b'{"connectionId": "a\nb"}',
    b"{} {}",
    b"{}]",
    b"a=b",
    b"<xml/>",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"connectionId": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]
NOT_AN_OBJECT = [b"null", b"[]", b"[{}]", b'"start"', b"1", b"true", b"-0"]


async def test_what_is_no_json_is_400(ann: User) -> None:
    before = await what_there_is(ann)
    for path in (START, CONNECT):
        for body in NOT_JSON:
            answer = await send(ann, path, body)
            assert answer.status_code == 400, body[:40]
            problem(answer, 400, "invalid_json")
    assert await what_there_is(ann) == before


async def test_json_that_is_no_object_is_422(ann: User) -> None:
    before = await what_there_is(ann)
    for path in (START, CONNECT):
        for body in NOT_AN_OBJECT:
            problem(await send(ann, path, body), 422, "invalid")
    assert await what_there_is(ann) == before


async def test_an_empty_body_starts_but_does_not_connect(ann: User) -> None:
    problem(await send(ann, CONNECT, b""), 400, "invalid_json")
    assert (await send(ann, START, b" \r\n")).status_code == 202


STARTS: list[tuple[Json, str]] = [
    ({"connectionId": 1}, "connectionId"),
    ({"connectionId": ["a"]}, "connectionId"),
    ({"datasets": "orders"}, "datasets"),
    ({"datasets": []}, "datasets"),
    ({"datasets": [1]}, "datasets[0]"),
    ({"datasets": [None]}, "datasets[0]"),
    ({"datasets": ["nope"]}, "datasets"),
    ({"datasets": ["orders", "nope"]}, "datasets"),
    ({"datasets": ["claims"]}, "datasets"),
    ({"datasets": {"orders": True}}, "datasets"),
    ({"since": "yesterday"}, "since"),
    ({"since": 1767225600}, "since"),
    ({"since": ""}, "since"),
    ({"since": "2026-01-15"}, "since"),
    ({"since": "2026-01-15T12:00:00"}, "since"),
    ({"until": "2026-01-15T12:00:00"}, "until"),
    ({"since": "2026-13-15T12:00:00Z"}, "since"),
    ({"since": "0001-01-01T00:00:00Z"}, "since"),
    ({"since": "0001-01-01T00:00:00+23:59"}, "since"),
    ({"until": "0001-01-01T00:00:00Z"}, "until"),
    ({"until": "9999-12-31T23:59:59-23:59"}, "until"),
    ({"since": "2026-01-15T12:00:00Z", "until": "2026-01-15T12:00:00Z"}, "since"),
    ({"since": "2026-01-15T12:00:00Z", "until": "2026-01-15T13:00:00+02:00"}, "since"),
    ({"since": "2999-01-15T12:00:00Z"}, "since"),
    (
        {
            "datasets": ["inventory"],
            "since": "2026-01-16T12:00:00Z",
            "until": "2026-01-15T12:00:00Z",
        },
        "since",
    ),
    ({"onConflict": "wait"}, "onConflict"),
    ({"onConflict": None}, "onConflict"),
    ({"onconflict": "attach"}, "onconflict"),
    ({"on_conflict": "attach"}, "on_conflict"),
    ({"conectionId": "x"}, "conectionId"),
    ({"": 1}, "body"),
]


async def test_a_start_with_a_wrong_field_names_it(ann: User) -> None:
    before = await what_there_is(ann)
    for body, field in STARTS:
        found = problem(await ann.post(START, body), 422, "invalid")
        assert fields(found) == [field], body
    assert await what_there_is(ann) == before


async def test_a_name_given_twice_is_refused(ann: User) -> None:
    before = await what_there_is(ann)
    for body in (b'{"dryRun":true,"dryRun":false}', b'{"items":"all","dryRun":true,"items":"all"}'):
        answer = await send(ann, START, body)
        assert fields(problem(answer, 422, "invalid")) == [body.decode().split('"')[1]]
    body = b'{"connector":"demo","refreshToken":"good","refreshToken":"revoked"}'
    assert fields(problem(await send(ann, CONNECT, body), 422, "invalid")) == ["refreshToken"]
    assert await what_there_is(ann) == before


async def test_what_was_sent_is_not_sent_back_at_any_length(ann: User) -> None:
    for answer in (
        await ann.post(START, {"k" * 200_000: 1}),
        await ann.post(START, {"connectionId": "k" * 200_000}),
        await ann.post(CONNECT, {**NEW, "connector": "k" * 200_000}),
        await ann.get("/api/sync/status/" + "k" * 20_000),
        await ann.get("/api/sync/history?" + "k" * 20_000),
    ):
        assert 400 <= answer.status_code < 500 and len(answer.content) < 5_000


CONNECTS: list[tuple[Json, str]] = [
    ({"refreshToken": "good"}, "connector"),
    ({"connector": "demo"}, "refreshToken"),
    ({**NEW, "connector": None}, "connector"),
    ({**NEW, "refreshToken": 1}, "refreshToken"),
    ({**NEW, "refreshToken": ""}, "refreshToken"),
    ({**NEW, "refreshToken": "a" * 4097}, "refreshToken"),
    ({**NEW, "region": 1}, "region"),
    ({**NEW, "region": "x" * 51}, "region"),
    ({**NEW, "marketplaceIds": "ATVPDKIKX0DER"}, "marketplaceIds"),
    ({**NEW, "marketplaceIds": ["a", 1]}, "marketplaceIds[1]"),
    ({**NEW, "marketplaceIds": ["a"] * 51}, "marketplaceIds"),
    ({**NEW, "marketplaceIds": ["a" * 51]}, "marketplaceIds[0]"),
    ({**NEW, "environment": "staging"}, "environment"),
    ({**NEW, "skipHistoricalSync": "yes"}, "skipHistoricalSync"),
    ({**NEW, "refresh_token": "good"}, "refresh_token"),
    ({**NEW, "user": "bob"}, "user"),
    ({**NEW, "id": "conn_x"}, "id"),
]


async def test_a_connection_with_a_wrong_field_names_it(ann: User) -> None:
    before = await what_there_is(ann)
    for body, field in CONNECTS:
        found = problem(await ann.post(CONNECT, body), 422, "invalid")
        assert fields(found) == [field], body
    assert await what_there_is(ann) == before


async def test_credentials_are_not_in_what_is_said_about_them(ann: User) -> None:
    for body in (
        {**NEW, "refreshToken": ["s3cr3t"]},
        {**NEW, "refreshToken": "s3cr3t", "x": 1},
        {**NEW, "environment": "s3cr3t"},
        {**NEW, "environment": "s3cr3t' - at `$.s3cr3t`"},
    ):
        answer = await ann.post(CONNECT, body)
        problem(answer, 422, "invalid")
        assert "s3cr3t" not in answer.text


# Large bodies -----------------------------------------------------------------------------------


async def pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield b" " * 65536


async def test_a_body_over_a_mebibyte_is_413_and_its_sender_sees_that(ann: User) -> None:
    before = await what_there_is(ann)
    for path in (START, CONNECT):
        for body in (b" " * (MIB + 1), b" " * (8 * MIB), pieces(2 * MIB), pieces(8 * MIB)):
            answer = await send(ann, path, body)
            assert "1 MiB" in problem(answer, 413, "body_too_large")["detail"]
    assert await what_there_is(ann) == before


async def test_a_body_of_a_mebibyte_is_read_whole_or_in_pieces(ann: User) -> None:
    problem(await send(ann, CONNECT, b"{" + b" " * (MIB - 1)), 400, "invalid_json")
    problem(await send(ann, CONNECT, pieces(MIB)), 400, "invalid_json")
    assert (await send(ann, START, pieces(MIB))).status_code == 202


async def test_a_body_without_end_is_cut_off_and_the_service_lives(
    service: Serving, ann: User
) -> None:
    before = await what_there_is(ann)
    head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    sent = 0
    async with connection_to(service) as stream:
        await stream.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        with anyio.fail_after(10), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while sent < 64 * MIB:
                await stream.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
            await stream.receive()
            await stream.receive()
    assert sent < 64 * MIB
    assert await what_there_is(ann) == before


async def test_a_body_that_breaks_off_leaves_no_trace_in_the_log(
    service: Serving, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    before = await what_there_is(ann)
    head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    for _ in range(5):
        async with connection_to(service) as stream:
            await stream.send(head.encode() + b"Content-Length: 100\r\n\r\n{")
    assert await what_there_is(ann) == before
    assert not [each for each in caplog.records if each.levelname in ("ERROR", "WARNING")]


# Queries ----------------------------------------------------------------------------------------


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


HISTORY: list[tuple[str, str]] = [
    *(
        (f"limit={value}", "limit")
        for value in (
            *("0", "-1", "101", "abc", "1e3", "1.0", "", "+5", "%2B5", "%205", "5%20", "5%0A"),
            *("0x5", "1_0", "٣", "５", "²", "%00", "9" * 400, "None", "true", "NaN"),  # noqa: RUF001
        )
    ),
    *((f"offset={value}", "offset") for value in ("-1", "10001", "x", "1e2", "9" * 30)),
    *(
        (f"cursor={value}", "cursor")
        for value in (
            *("", "x", "%00", "é", "====", "W10", "bnVsbA", cursor(), cursor("sync_x")),
            *(cursor("history"), cursor("history", 1), cursor("history", ""), cursor("data", "x")),
            *(cursor("history", "a", "b"), cursor("items", "a", "b"), "A" * 9000, "W1tb"),
        )
    ),
    ("offset=0&cursor=" + cursor("history", "sync_x"), "offset"),
    ("status=unknown", "status"),
    ("status=pending", "status"),
    ("status=COMPLETE", "status"),
    ("from=yesterday", "from"),
    ("from=2026-01-15", "from"),
    ("from=2026-01-15T12:00:00", "from"),
    ("to=", "to"),
    ("to=1767225600", "to"),
    ("from=0001-01-01T00:00:00%2B23:59", "from"),
    ("to=9999-12-31T23:59:59-23:59", "to"),
    ("from=2026-01-15T12:00:00+02:00", "from"),  # an unescaped plus is a space
    ("page=2", "page"),
    ("Limit=5", "Limit"),
    ("limit=5&limit=6", "limit"),
    ("conectionId=x", "conectionId"),
    ("%ff=1", "\ufffd"),
]


async def test_a_wrong_parameter_of_the_history_is_named(ann: User) -> None:
    for query, field in HISTORY:
        answer = await ann.get(f"/api/sync/history?{query}")
        assert answer.status_code == 422, query
        assert fields(problem(answer, 422, "invalid")) == [field], query


async def test_a_wrong_parameter_of_the_data_is_named(ann: User) -> None:
    for query, field in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=٣", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=" + cursor("items", "a", "b"), "cursor"),
        ("cursor=" + cursor("data", "a"), "cursor"),
        ("offset=1", "offset"),
        ("dataset=orders", "dataset"),
    ]:
        answer = await ann.get(f"/api/data/orders?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query
    problem(await ann.get("/api/data/nope"), 404, "not_found")
    problem(await ann.get("/api/data/claims"), 404, "not_found")
    problem(await ann.get("/api/data/orders?connectionId=nope"), 404, "not_found")


async def test_a_wrong_parameter_of_the_items_is_named(ann: User) -> None:
    path = f"/api/sync/history/{await ann.start()}/items"
    for query, field in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("cursor=" + cursor("data", "a", "b"), "cursor"),
        ("status=nope", "status"),
        ("offset=1", "offset"),
    ]:
        answer = await ann.get(f"{path}?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field], query
    assert (await ann.get(f"{path}?dataset=&status=")).status_code == 200
    assert (await ann.get(f"{path}?dataset=%00")).json()["items"] == []


async def test_a_wrong_parameter_of_a_delete_changes_nothing(ann: User) -> None:
    before = await what_there_is(ann)
    path = f"{CONNECT}/{before[2]['connections'][0]['id']}"
    for query, field in [
        ("data=all", "data"),
        ("data=", "data"),
        ("data=keep&data=erase", "data"),
        ("date=erase", "date"),
    ]:
        answer = await ann.http.delete(f"{path}?{query}")
        assert fields(problem(answer, 422, "invalid")) == [field]
    assert await what_there_is(ann) == before


# Addresses and methods --------------------------------------------------------------------------


async def test_a_wrong_method_is_405_and_told_all_the_right_ones(ann: User) -> None:
    methods: dict[str, set[str]] = {}
    for route, method in api_routes():
        methods.setdefault(route.path, set()).add(method)
    before = await what_there_is(ann)
    for path, allowed in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
            answer = await ann.http.request(method, path.replace("{", "").replace("}", ""))
            problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["allow"].split(", ")) == allowed, path
    assert await what_there_is(ann) == before


async def test_an_unknown_path_is_404(ann: User) -> None:
    for path in (
        *("/nope", "/api", "/api/", "/api/nope", "/api/sync", "/api/sync/stop/x", "/api/sync/"),
        *("/api/sync/status/a/b", "/api/sse", "/API/connections", "/api//connections"),
        *("/web/nope.js", "/web/..%2f..%2fsettings.py", "/web/%2e%2e/settings.py", "/web/%00"),
        *("/%00", "/%ff", "/api/connections/x/y", "/.env", "/service/settings.py"),
    ):
        problem(await ann.get(path), 404, "not_found")
    problem(await ann.post("/nope", {"a": 1}), 404, "not_found")


async def test_what_is_no_http_is_refused_and_the_service_lives(service: Serving) -> None:
    for nonsense in (b"\0" * 100 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        assert (await raw(service, nonsense)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
    assert (await service.user().get("/healthz")).status_code == 200


# Anything ---------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=st.none() | zones | st.just(UTC)).map(datetime.isoformat)
starts = st.fixed_dictionaries(
    {},
    optional={
        "connectionId": anything,
        "datasets": st.lists(st.sampled_from(["orders", "inventory", "x"]), max_size=3) | anything,
        "since": moments | anything,
        "until": moments | anything,
        "onConflict": st.sampled_from(["reject", "attach"]) | anything,
    },
)
connects = st.fixed_dictionaries(
    {"connector": st.sampled_from(["demo", "amazon"]) | anything, "refreshToken": anything},
    optional={
        "region": anything,
        "marketplaceIds": st.lists(st.text(max_size=9), max_size=3) | anything,
        "environment": anything,
        "skipHistoricalSync": st.booleans() | anything,
        "x": anything,
    },
)
EASY = hypothesis_settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
async def tiny(tmp_path: Path) -> AsyncIterator[User]:
    async with serve(tmp_path, **TINY) as service:
        user = service.user()
        await user.connect()
        yield user


def fault_free(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        problem(answer, answer.status_code, answer.json()["code"])


@EASY
@given(body=starts | anything)
async def test_no_body_of_a_start_is_a_fault_of_ours(tiny: User, body: Any) -> None:
    fault_free(await send(tiny, START, json.dumps(body).encode()))


@EASY
@given(body=connects | anything)
async def test_no_body_of_a_connection_is_a_fault_of_ours(tiny: User, body: Any) -> None:
    if isinstance(body, dict) and body.get("connector") == "amazon":
        body["refreshToken"] = None  # what would be asked of Amazon is not ours to test
    fault_free(await send(tiny, CONNECT, json.dumps(body).encode()))


@EASY
@given(body=st.binary(max_size=200))
async def test_no_bytes_are_a_fault_of_ours(tiny: User, body: bytes) -> None:
    fault_free(await send(tiny, START, body))
    fault_free(await send(tiny, CONNECT, body))


@EASY
@given(
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "offset", "status", "connector", "from", "to", "x"]),
        st.text(max_size=30) | st.integers().map(str) | moments,
        max_size=3,
    )
)
async def test_no_query_is_a_fault_of_ours(tiny: User, query: dict[str, str]) -> None:
    for path in ("/api/sync/history", "/api/data/orders"):
        fault_free(await tiny.get(path, params=query))
