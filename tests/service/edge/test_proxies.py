"""Only trusted proxies can set the sender and the scheme of a request."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api import routes
from service.api.parts import Parts, actor
from service.server import Server, address, listen
from service.wire import responses
from tests.service.api.answers import SLOW
from tests.service.api.streams import data, stream
from tests.serving import Json, Serving, User, read, serve, token

pytestmark = pytest.mark.anyio


async def sender_and_base(request: Request) -> Response:
    """Return the sender and the base URL that endpoints see."""
    return responses.JSON({"address": actor(request).address, "base": str(request.base_url)})


@asynccontextmanager
async def behind_proxy(
    folder: Path, trusted: str, patch: pytest.MonkeyPatch
) -> AsyncIterator[Serving]:
    """A service behind a proxy on this machine, with a route that returns what endpoints see."""
    patch.setattr("service.app.routes", [*routes.routes, Route("/api/who", sender_and_base)])
    async with serve(folder, TRUSTED_PROXIES=trusted) as service:
        yield service


async def observed(service: Serving, headers: list[tuple[str, str]]) -> Json:
    all_headers = [("Authorization", f"Bearer {token()}"), ("Host", "sync.example"), *headers]
    async with service.anonymous() as client:
        answer = await client.get("/api/who", headers=all_headers)
    assert answer.status_code == 200, answer.text
    assert ("strict-transport-security" in answer.headers) == read(answer)["base"].startswith(
        "https:"
    )
    return read(answer)


FORWARDED = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "203.0.113.8"),
    ("Forwarded", "for=203.0.113.9;proto=https;host=evil.example"),
]


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8, ::1, 127.0.0.2"])
async def test_headers_of_an_untrusted_peer_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # uvicorn's own setting must have no effect
    async with behind_proxy(tmp_path, trusted, monkeypatch) as service:
        result = await observed(service, FORWARDED)
        assert result == {"address": "127.0.0.1", "base": "http://sync.example/"}


async def test_a_trusted_proxy_sets_sender_and_scheme_but_not_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_proxy(tmp_path, "127.0.0.1", monkeypatch) as service:
        result = await observed(service, FORWARDED)
        assert result == {"address": "203.0.113.7", "base": "https://sync.example/"}
        assert await observed(service, []) == {
            "address": "127.0.0.1",
            "base": "http://sync.example/",
        }


SENDERS = {
    "203.0.113.7": "203.0.113.7",
    "6.6.6.6 ,203.0.113.7\t, 10.1.2.3": "203.0.113.7",
    "203.0.113.7:4711": "203.0.113.7",
    "2001:db8::1": "2001:db8::1",
    "2001:DB8:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:4711": "2001:db8::1",
    "::ffff:203.0.113.7": "203.0.113.7",
    # The client controls the left end, so the rightmost untrusted address is the sender.
    "6.6.6.6, 203.0.113.7": "203.0.113.7",
    "127.0.0.1, 203.0.113.7": "203.0.113.7",
    "6.6.6.6, 203.0.113.7, 10.1.2.3": "203.0.113.7",
    "6.6.6.6, 203.0.113.7, 10.1.2.3, [fd00::1]:80, ::ffff:10.0.0.1": "203.0.113.7",
    # If all addresses are trusted, the leftmost one is the sender.
    "10.1.2.3, 10.1.2.4": "10.1.2.3",
    # No proxy writes a value that is not an address: everything left of it is ignored.
    "unknown": "127.0.0.1",
    "": "127.0.0.1",
    ",": "127.0.0.1",
    "203.0.113.7,": "127.0.0.1",
    "6.6.6.6, _hidden": "127.0.0.1",
    "6.6.6.6, unknown, 10.1.2.3": "10.1.2.3",
    "<script>": "127.0.0.1",
    "203.0.113.7 evil": "127.0.0.1",
    "203.0.113.7:http": "127.0.0.1",
    "203.0.113.999": "127.0.0.1",
    "[2001:db8::1": "127.0.0.1",
    "[fe80::1%<script>]:1": "127.0.0.1",
    "fe80::1%eth0": "127.0.0.1",
    "1": "127.0.0.1",
    "for=203.0.113.7": "127.0.0.1",
    "9" * 5000: "127.0.0.1",
    "10.0.0.1," * 500 + "203.0.113.7": "203.0.113.7",
}


async def test_the_sender_is_the_rightmost_address_that_is_not_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_proxy(tmp_path, "127.0.0.1, 10.0.0.0/8, fd00::/8", monkeypatch) as service:
        for forwarded, sender in SENDERS.items():
            result = await observed(service, [("X-Forwarded-For", forwarded)])
            assert result["address"] == sender, forwarded
        lines = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.7, 10.1.2.3")]
        assert (await observed(service, lines))["address"] == "203.0.113.7"


async def test_an_unknown_scheme_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with behind_proxy(tmp_path, "127.0.0.0/8", monkeypatch) as service:
        for forwarded, scheme in [
            *(("https", "https"), ("HTTPS", "https"), ("http", "http")),
            *(("", "http"), ("javascript", "http"), ("https,http", "http"), ("wss", "http")),
        ]:
            result = await observed(service, [("X-Forwarded-Proto", forwarded)])
            assert result["base"] == f"{scheme}://sync.example/", forwarded


CONSENT: dict[str, Any] = {"AMAZON_APP_ID": "amzn1.sp.solution.x"}


@pytest.mark.parametrize(("trusted", "scheme"), [("127.0.0.1", "https"), ("", "http")])
async def test_the_consent_returns_to_the_url_that_the_browser_uses(
    tmp_path: Path, trusted: str, scheme: str
) -> None:
    async with serve(tmp_path, TRUSTED_PROXIES=trusted, **CONSENT) as service:
        answer = await service.user().get(
            "/api/connections/amazon/authorize",
            headers=[("Host", "sync.example"), *FORWARDED],
        )
        back = httpx.URL(answer.headers["location"]).params["redirect_uri"]
        assert back == f"{scheme}://sync.example/api/connections/amazon/callback"


@pytest.mark.parametrize(("trusted", "address"), [("127.0.0.1", "203.0.113.7"), ("", "127.0.0.1")])
async def test_the_audit_names_the_real_sender(tmp_path: Path, trusted: str, address: str) -> None:
    async with serve(tmp_path, TRUSTED_PROXIES=trusted) as service:
        service.user().http.headers.update({"X-Forwarded-For": "6.6.6.6, 203.0.113.7"})
        await service.user().connect()
        entries = read(await service.user().get("/api/audit"))["entries"]
        assert [entry["address"] for entry in entries] == [address]


async def test_the_cookie_is_secure_for_every_scheme_that_a_proxy_reports(tmp_path: Path) -> None:
    async with serve(tmp_path, TRUSTED_PROXIES="127.0.0.1") as service:
        for scheme in ("http", "https"):
            headers = {"X-Forwarded-Proto": scheme}
            answer = await service.user().post("/api/session", headers=headers)
            assert re.search(r"; Secure(;|$)", answer.headers["set-cookie"])


async def test_a_stream_works_behind_a_proxy(tmp_path: Path) -> None:
    async with serve(tmp_path, TRUSTED_PROXIES="127.0.0.1", **SLOW) as service:
        ann: User = service.user()
        await ann.connect()
        sync_id = await ann.start()
        async with stream(ann, sync_id, X_Forwarded_For="203.0.113.7") as opened:
            assert data(await opened.event())["syncId"] == sync_id
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert (await opened.rest())[-1]["event"] == "cancelled"


async def base(request: Request) -> Response:
    return Response(str(request.base_url))


async def base_behind_tls(parts: Parts | None) -> str:
    """The base URL that an application sees behind a TLS proxy."""
    bound = listen("127.0.0.1", 0)
    server = Server(
        Starlette(routes=[Route("/", base)]), parts.hub if parts else None, signals=False
    )
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: server.serve(sockets=[bound]))
        async with httpx.AsyncClient(base_url=address(bound)) as client:
            answer = await client.get("/", headers={"X-Forwarded-Proto": "https"})
        server.should_exit = True
    return answer.text


async def test_only_the_sandbox_trusts_a_tls_proxy_on_this_machine(service: Serving) -> None:
    """Client libraries that support HTTPS only reach the sandbox through a proxy."""
    assert (await base_behind_tls(None)).startswith("https://")
    assert (await base_behind_tls(service.parts)).startswith("http://")
