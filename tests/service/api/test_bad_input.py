"""Invalid requests: each gets a problem that says what to do, and changes nothing."""

from pathlib import Path

import pytest

from tests.service.api.answers import (
    CONNECT,
    NEW,
    SLOW,
    START,
    api_routes,
    fields,
    path_of,
    problem,
    raw,
    send,
    visible_state,
)
from tests.serving import Json, Serving, User, serve

pytestmark = pytest.mark.anyio

# Unknown resources ------------------------------------------------------------------------------


async def test_an_unknown_connector_is_refused_and_the_connectors_are_listed(ann: User) -> None:
    before = await visible_state(ann)
    for name in ("nope", "", "demo\0", "../demo", "Demo", "demo ", "base", "__init__", "x" * 5000):
        body = problem(await ann.post(CONNECT, {**NEW, "connector": name}), 422, "invalid")
        assert fields(body) == ["connector"]
        assert "demo" in body["detail"]
    assert await visible_state(ann) == before


async def test_an_unknown_field_is_refused_and_the_fields_are_listed(ann: User) -> None:
    body = problem(await ann.post("/api/sync/start", {"dataset": ["orders"]}), 422, "invalid")
    assert fields(body) == ["dataset"]
    assert "datasets" in body["detail"] and "connectionId" in body["detail"]


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


async def test_unknown_and_malformed_ids_are_404(ann: User) -> None:
    before = await visible_state(ann)
    for route, method in api_routes():
        if "{" not in route.path or method == "HEAD":
            continue
        for value in STRANGE if method == "GET" else STRANGE[:8]:
            answer = await ann.http.request(method, path_of(route, "~").replace("~", value))
            problem(answer, 404, "not_found")
            assert "x-bad" not in answer.headers and "location" not in answer.headers
    assert await visible_state(ann) == before


async def test_a_start_without_a_connection_explains_how_to_connect(service: Serving) -> None:
    bob = service.user("bob")
    for path in (START, "/api/sync/force"):
        body = problem(await bob.post(path), 409, "not_connected")
        for word in ("POST /api/connections", "GET /api/connectors"):
            assert word in body["detail"]
    assert await visible_state(bob) == (0, [], {"connections": []})


async def test_an_unknown_connection_starts_nothing(ann: User) -> None:
    before = await visible_state(ann)
    for connection_id in ("conn_x", "", "\0", "é" * 300):
        problem(await ann.post(START, {"connectionId": connection_id}), 409, "not_connected")
    assert await visible_state(ann) == before


async def test_with_several_connections_a_start_must_name_one(ann: User) -> None:
    await ann.connect(region="EU", refreshToken="token@other")
    before = await visible_state(ann)
    assert fields(problem(await ann.post(START), 422, "invalid")) == ["connectionId"]
    assert await visible_state(ann) == before


async def test_a_second_start_returns_the_id_of_the_running_sync(tmp_path: Path) -> None:
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
        assert (await visible_state(ann))[:2] == (1, [running])


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


async def test_a_body_that_is_not_json_is_400(ann: User) -> None:
    before = await visible_state(ann)
    for path in (START, CONNECT):
        for body in NOT_JSON:
            answer = await send(ann, path, body)
            assert answer.status_code == 400, body[:40]
            problem(answer, 400, "invalid_json")
    assert await visible_state(ann) == before


async def test_json_that_is_not_an_object_is_422(ann: User) -> None:
    before = await visible_state(ann)
    for path in (START, CONNECT):
        for body in NOT_AN_OBJECT:
            problem(await send(ann, path, body), 422, "invalid")
    assert await visible_state(ann) == before


async def test_an_empty_body_is_valid_for_a_start_but_not_for_a_connect(ann: User) -> None:
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


async def test_a_start_with_an_invalid_field_names_the_field(ann: User) -> None:
    before = await visible_state(ann)
    for body, field in STARTS:
        error = problem(await ann.post(START, body), 422, "invalid")
        assert fields(error) == [field], body
    assert await visible_state(ann) == before


async def test_the_error_of_an_invalid_choice_lists_the_valid_ones(ann: User) -> None:
    error = problem(await ann.post(START, {"onConflict": "wait"}), 422, "invalid")
    assert error["errors"] == [{"field": "onConflict", "message": "Must be one of attach, reject."}]
    error = problem(await ann.post(START, {"items": "some"}), 422, "invalid")
    assert error["errors"] == [{"field": "items", "message": "Must be one of all, failed."}]


async def test_a_duplicate_field_is_refused(ann: User) -> None:
    before = await visible_state(ann)
    for body in (b'{"dryRun":true,"dryRun":false}', b'{"items":"all","dryRun":true,"items":"all"}'):
        answer = await send(ann, START, body)
        assert fields(problem(answer, 422, "invalid")) == [body.decode().split('"')[1]]
    body = b'{"connector":"demo","refreshToken":"good","refreshToken":"revoked"}'
    assert fields(problem(await send(ann, CONNECT, body), 422, "invalid")) == ["refreshToken"]
    assert await visible_state(ann) == before


async def test_long_input_is_shortened_in_errors(ann: User) -> None:
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


async def test_a_connect_with_an_invalid_field_names_the_field(ann: User) -> None:
    before = await visible_state(ann)
    for body, field in CONNECTS:
        error = problem(await ann.post(CONNECT, body), 422, "invalid")
        assert fields(error) == [field], body
    assert await visible_state(ann) == before


async def test_errors_about_credentials_do_not_contain_them(ann: User) -> None:
    for body in (
        {**NEW, "refreshToken": ["s3cr3t"]},
        {**NEW, "refreshToken": "s3cr3t", "x": 1},
        {**NEW, "environment": "s3cr3t"},
        {**NEW, "environment": "s3cr3t' - at `$.s3cr3t`"},
    ):
        answer = await ann.post(CONNECT, body)
        problem(answer, 422, "invalid")
        assert "s3cr3t" not in answer.text


# Addresses and methods --------------------------------------------------------------------------


async def test_an_unsupported_method_is_405_and_allow_lists_the_supported_ones(ann: User) -> None:
    methods: dict[str, set[str]] = {}
    for route, method in api_routes():
        methods.setdefault(route.path, set()).add(method)
    before = await visible_state(ann)
    for path, allowed in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - allowed:
            answer = await ann.http.request(method, path.replace("{", "").replace("}", ""))
            problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["allow"].split(", ")) == allowed, path
    assert await visible_state(ann) == before


async def test_an_unknown_path_is_404(ann: User) -> None:
    for path in (
        *("/nope", "/api", "/api/", "/api/nope", "/api/sync", "/api/sync/stop/x", "/api/sync/"),
        *("/api/sync/status/a/b", "/api/sse", "/API/connections", "/api//connections"),
        *("/web/nope.js", "/web/..%2f..%2fsettings.py", "/web/%2e%2e/settings.py", "/web/%00"),
        *("/%00", "/%ff", "/api/connections/x/y", "/.env", "/service/settings.py"),
    ):
        problem(await ann.get(path), 404, "not_found")
    problem(await ann.post("/nope", {"a": 1}), 404, "not_found")


async def test_a_request_that_is_not_http_is_refused_and_the_service_keeps_running(
    service: Serving,
) -> None:
    for request in (b"\0" * 100 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"):
        assert (await raw(service, request)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
    assert (await service.user().get("/healthz")).status_code == 200
