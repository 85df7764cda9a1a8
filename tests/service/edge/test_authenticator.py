"""Identification of callers by tokens, the session cookie and demo mode."""

import base64
import hashlib
import hmac
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.base import SystemClock
from service.edge.token_claims import LEEWAY
from service.edge.tokens import CACHE_SIZE, Tokens
from service.users import Actor
from tests.service.advancing import AdvancingClock
from tests.service.api.answers import (
    api_routes,
    path_of,
    problem,
    raw,
    visible_state,
)
from tests.serving import SECRET, YEAR_2100, Serving, serve, settings, token

pytestmark = pytest.mark.anyio

GOOD = {"sub": "ann", "exp": YEAR_2100}
HEADER = {"alg": "HS256", "typ": "JWT"}


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def make_token(claims: Any = GOOD, header: Any = HEADER, secret: str | bytes = SECRET) -> str:
    """A token with a valid signature and any content."""
    signed = f"{part(header)}.{part(claims)}"
    key = secret.encode() if isinstance(secret, str) else secret
    digest = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(digest)}"


INVALID = {
    "expired": make_token({**GOOD, "exp": time.time() - 61}),
    "issued in the future": make_token({**GOOD, "iat": YEAR_2100 - 1}),
    "not yet valid": make_token({**GOOD, "nbf": YEAR_2100 - 1}),
    "signed with another secret": make_token(secret="another secret, but also long enough"),
    "claims exchanged": make_token()[: make_token().index(".") + 1]
    + part({"sub": "eve", "exp": YEAR_2100})
    + make_token()[make_token().rindex(".") :],
    "alg none, unsigned": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "alg none, signed": make_token(header={"alg": "none"}),
    "alg None": make_token(header={"alg": "None"}),
    "alg HS512": make_token(header={"alg": "HS512"}),
    "alg RS256": make_token(header={"alg": "RS256"}),
    "alg of another type": make_token(header={"alg": 1}),
    "no alg": make_token(header={}),
    "an unknown critical header": make_token(header={**HEADER, "crit": ["x"], "x": 1}),
    "no sub": make_token({"exp": YEAR_2100}),
    "no exp": make_token({"sub": "ann"}),
    "an empty sub": make_token({**GOOD, "sub": ""}),
    "sub a number": make_token({**GOOD, "sub": 1}),
    "sub null": make_token({**GOOD, "sub": None}),
    "sub too long": make_token({**GOOD, "sub": "a" * 201}),
    "sub with an unpaired surrogate": make_token(b'{"sub":"\\ud800","exp":%d}' % YEAR_2100),
    "tenant with an unpaired surrogate": make_token(
        b'{"sub":"a","tenant":"\\udfff","exp":%d}' % YEAR_2100
    ),
    "tenant a number": make_token({**GOOD, "tenant": 1}),
    "tenant too long": make_token({**GOOD, "tenant": "a" * 201}),
    "plan a list": make_token({**GOOD, "plan": ["gold"]}),
    "plan too long": make_token({**GOOD, "plan": "a" * 201}),
    "exp text": make_token({**GOOD, "exp": str(YEAR_2100)}),
    "exp true": make_token({**GOOD, "exp": True}),
    "exp null": make_token({**GOOD, "exp": None}),
    "exp NaN": make_token(b'{"sub":"ann","exp":NaN}'),
    "exp of 401 digits": make_token(b'{"sub":"ann","exp":1%s}' % (b"0" * 400)),
    "exp of 5,001 digits": make_token(b'{"sub":"ann","exp":1%s}' % (b"0" * 5000)),
    "nbf text": make_token({**GOOD, "nbf": "now"}),
    "claims a list": make_token([1]),
    "claims null": make_token(None),
    "claims not JSON": make_token(b"{"),
    "claims not UTF-8": make_token(b'{"sub":"\xff"}'),
    "claims nested": make_token(b"[" * 2500 + b"]" * 2500),
    "header nested": f"{part(b'[' * 6000)}.{part(GOOD)}.x",
    "header a list": make_token(header=[]),
    "header not JSON": make_token(header=b"{"),
    "one part": "abc",
    "two parts": "abc.def",
    "five parts": ".".join(["eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0", "", "a", "b", "c"]),
    "dots": "...",
    "too long": make_token({**GOOD, "name": "a" * 9000}),
}


@pytest.mark.parametrize("way", ["header", "cookie"])
async def test_an_invalid_token_gets_401(service: Serving, way: str) -> None:
    async with service.anonymous() as client:
        for name, bad in INVALID.items():
            headers = {"Authorization": f"Bearer {bad}"}
            if way == "cookie":
                headers = {"Cookie": f"session={bad}"}
            answer = await client.get("/api/sync/history", headers=headers)
            assert answer.status_code == 401, name
            body = problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer"), name
            assert bad not in body["detail"] or bad in ("", "...")


async def test_a_header_without_a_bearer_token_gets_401(service: Serving) -> None:
    async with service.anonymous(headers={"Cookie": f"session={token()}"}) as client:
        # An invalid header is not ignored, even with a valid cookie.
        for header in (
            "",
            "Bearer",
            "Basic YTpi",
            "Token x",
            make_token(),
            "Bearer\ta",
            "Bearer,x",
        ):
            answer = await client.get("/api/connections", headers={"Authorization": header})
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_header_that_is_not_ascii_gets_401(service: Serving) -> None:
    answer = await raw(
        service,
        b"GET /api/connections HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer \xff\xfe.\xe2\x82\xac.x\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"application/problem+json" in answer


async def test_the_scheme_of_a_valid_token_is_case_insensitive(service: Serving) -> None:
    async with service.anonymous() as client:
        for scheme in ("Bearer", "bearer", "BEARER"):
            headers = {"Authorization": f"{scheme} {token('carl', nbf=1, iat=1)}"}
            answer = await client.get("/api/connections", headers=headers)
            assert answer.status_code == 200


async def test_a_token_that_was_accepted_is_refused_after_it_expires(tmp_path: Path) -> None:
    clock = AdvancingClock()
    headers = {"Authorization": f"Bearer {make_token({**GOOD, 'exp': time.time() + 60})}"}
    async with serve(tmp_path, clock) as service, service.anonymous(headers=headers) as client:
        for seconds, status in ((0, 200), (60, 200), (LEEWAY, 401)):
            clock.advance(seconds)
            assert (await client.get("/api/connections")).status_code == status


async def test_the_tenant_is_the_user_unless_the_token_names_one(service: Serving) -> None:
    ann, bob = service.user("ann"), service.user("bob", tenant="acme")
    await ann.connect()
    await bob.connect()
    actors = [Actor("ann", "ann"), Actor("bob", "acme")]
    connections = [(await service.parts.connections.list(actor))[0] for actor in actors]
    assert [connection.tenant for connection in connections] == ["ann", "acme"]


async def test_the_cache_of_verified_tokens_is_bounded(tmp_path: Path) -> None:
    tokens = Tokens(settings(tmp_path), SystemClock())
    for number in range(CACHE_SIZE + 5):
        assert (await tokens.read(make_token({**GOOD, "n": number}))).sub == "ann"
    assert len(tokens._verified) == CACHE_SIZE


# The cookie ---------------------------------------------------------------------------------------


async def test_the_session_cookie_is_http_only_and_expires_with_the_token(
    service: Serving,
) -> None:
    short = token(exp=time.time() + 1000)
    headers = {"Authorization": f"Bearer {short}"}
    async with service.anonymous(headers=headers) as client:
        answer = await client.post("/api/session")
    assert (answer.status_code, answer.content) == (204, b"")
    morsel = SimpleCookie(answer.headers["set-cookie"])["session"]
    assert morsel.value == short
    assert morsel["secure"] is True and morsel["httponly"] is True
    assert morsel["samesite"].lower() == "lax"
    assert morsel["path"] == "/"
    assert not morsel["domain"]
    assert 990 <= int(morsel["max-age"]) <= 1000


async def test_ending_the_session_clears_the_cookie(service: Serving) -> None:
    headers = {"Cookie": f"session={token()}", "Origin": service.url}
    async with service.anonymous(headers=headers) as client:
        answer = await client.delete("/api/session")
    assert answer.status_code == 204
    morsel = SimpleCookie(answer.headers["set-cookie"])["session"]
    assert morsel.value == "" and morsel["max-age"] == "0"
    assert morsel["secure"] is True and morsel["httponly"] is True


async def test_a_session_starts_with_a_bearer_token_only(service: Serving) -> None:
    headers = {"Cookie": f"session={token()}", "Origin": service.url}
    async with service.anonymous(headers=headers) as client:
        answer = await client.post("/api/session")
        problem(answer, 401, "unauthenticated")
        assert "www-authenticate" in answer.headers
        assert "set-cookie" not in answer.headers


async def test_the_cookie_allows_the_same_reads_as_the_token(service: Serving) -> None:
    await service.user().connect()
    async with service.anonymous(headers={"Cookie": f"x=1; session={token()}"}) as client:
        answer = await client.get("/api/connections")
        assert len(answer.json()["connections"]) == 1


OTHER_ORIGINS = (
    None,
    "null",
    "https://evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:1",
    "http://[",
    "",
)


async def test_the_cookie_changes_nothing_without_the_services_own_origin(service: Serving) -> None:
    ann = service.user()
    connection = (await ann.connect())["id"]
    before = await visible_state(ann)
    async with service.anonymous() as client:
        for origin in OTHER_ORIGINS:
            headers = {"Cookie": f"session={token()}"}
            headers |= {} if origin is None else {"Origin": origin}
            for route, method in api_routes():
                if method not in ("GET", "HEAD"):
                    path = path_of(route, connection)
                    answer = await client.request(method, path, headers=headers)
                    problem(answer, 403, "forbidden")
                    assert "set-cookie" not in answer.headers
    assert await visible_state(ann) == before


async def test_the_cookie_allows_changes_from_the_services_own_origin(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    headers = {"Cookie": f"session={token()}", "Origin": service.url}
    async with service.anonymous(headers=headers) as client:
        assert (await client.post("/api/sync/start")).status_code == 202


async def test_a_bearer_token_needs_no_origin(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    headers = {"Origin": "https://elsewhere.example", "Cookie": f"session={token('bob')}"}
    assert (await ann.post("/api/sync/start", headers=headers)).status_code == 202


# Origin, Host, whether a trusted proxy reports HTTPS, and whether the request is accepted.
ORIGINS = [
    ("http://sync.example", "sync.example", False, True),
    ("https://sync.example", "sync.example", True, True),
    ("https://sync.example", "sync.example", False, True),  # an untrusted proxy ends TLS
    ("http://sync.example", "sync.example", True, False),  # an attacker on the network can forge it
    ("https://sync.example", "sync.example:443", True, True),
    ("https://sync.example:443", "sync.example", True, True),
    ("http://sync.example", "sync.example:80", False, True),
    ("http://sync.example", "sync.example:443", False, False),
    ("https://sync.example", "sync.example:80", True, False),
    ("https://sync.example:8443", "sync.example:8443", True, True),
    ("https://sync.example:8443", "sync.example", True, False),
    ("https://sync.example", "sync.example:8443", True, False),
    ("https://SYNC.example", "sync.EXAMPLE", True, True),
    ("http://[::1]:8000", "[::1]:8000", False, True),
    ("http://[::1]", "[::2]", False, False),
    ("https://evil.example", "sync.example", True, False),
    ("https://sync.example.evil.example", "sync.example", True, False),
    ("https://evil.sync.example", "sync.example", True, False),
    ("https://sync.example@evil.example", "sync.example", True, False),
    ("https://me@sync.example", "sync.example", True, False),
    ("https://me@sync.example", "me@sync.example", True, False),
    ("https://sync.example/", "sync.example", True, False),
    ("https://sync.example/path", "sync.example/path", True, False),
    ("https://sync.example:x", "sync.example:x", True, False),
    ("https://sync.example:99999", "sync.example:99999", True, False),
    ("https://", "", True, False),
    ("https://:443", ":443", True, False),
    ("null", "null", True, False),
    ("null", "sync.example", True, False),
    ("", "sync.example", True, False),
    ("file://", "sync.example", True, False),
    ("ftp://sync.example", "sync.example", True, False),
    ("//sync.example", "sync.example", True, False),
    ("sync.example", "sync.example", True, False),
    ("HTTPS://sync.example", "sync.example", True, False),  # browsers send lower case
    ("https://[", "[", True, False),
]


async def test_an_origin_is_accepted_if_it_is_the_requested_host(tmp_path: Path) -> None:
    trusting = serve(tmp_path, TRUSTED_PROXIES="127.0.0.1")
    async with trusting as service, service.anonymous() as client:
        for origin, host, https, allowed in ORIGINS:
            headers = {"Cookie": f"session={token()}", "Origin": origin, "Host": host}
            headers |= {"X-Forwarded-Proto": "https"} if https else {}
            answer = await client.delete("/api/session", headers=headers)
            assert answer.status_code == (204 if allowed else 403), (origin, host, https)


async def test_sec_fetch_site_must_be_same_origin(service: Serving) -> None:
    own = {"Origin": service.url}
    other = {"Origin": "https://evil.example"}
    async with service.anonymous(headers={"Cookie": f"session={token()}"}) as client:
        for site, headers, status in [
            ("same-origin", {}, 204),
            ("same-origin", own, 204),
            ("same-origin", {"Origin": "null"}, 403),
            ("same-origin", other, 403),
            ("same-site", {}, 403),
            ("same-site", own, 403),
            ("cross-site", {}, 403),
            ("cross-site", own, 403),
            ("none", {}, 403),
            ("none", own, 403),
            ("", {}, 403),
            ("", own, 403),
            ("SAME-ORIGIN", {}, 403),
            ("same-origin, cross-site", {}, 403),
        ]:
            headers = {**headers, "Sec-Fetch-Site": site}
            answer = await client.delete("/api/session", headers=headers)
            assert answer.status_code == status, (site, headers)


async def test_a_cookie_without_a_host_changes_nothing(service: Serving) -> None:
    for origin in (b"", b"Origin: http://\r\n", b"Origin: http://x\r\n"):
        cookie = f"Cookie: session={token()}\r\n".encode()
        answer = await raw(service, b"DELETE /api/session HTTP/1.0\r\n" + origin + cookie + b"\r\n")
        assert b" 403 " in answer.partition(b"\r\n")[0]


async def test_a_cross_site_read_with_the_cookie_succeeds_but_is_not_shared(
    service: Serving,
) -> None:
    """With SameSite=Lax, a link of another site sends the cookie, but the site cannot read data."""
    headers = {"Cookie": f"session={token()}", "Sec-Fetch-Site": "cross-site"}
    async with service.anonymous(headers=headers) as client:
        answer = await client.get("/api/connections", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]


# Demo mode ----------------------------------------------------------------------------------------


async def test_demo_mode_accepts_requests_from_this_machine(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo") as service, service.anonymous() as client:
        own = {"Origin": service.url}
        assert (await client.get("/api/connections")).status_code == 200
        body = {"connector": "demo", "refreshToken": "good"}
        answer = await client.post("/api/connections", json=body, headers=own)
        assert answer.status_code == 201
        for host in ("localhost", "LOCALHOST:8000", "[::1]:8000", "127.0.0.1", "127.9.9.9:1"):
            answer = await client.get("/api/connections", headers={"Host": host})
            assert answer.status_code == 200, host


OTHER_NAMES = (
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "192.168.1.1",
    "0.0.0.0",
    "[::]",
    "[",
    "[::1",
    "",
)


async def test_demo_mode_refuses_other_host_names(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo") as service, service.anonymous() as client:
        for host in OTHER_NAMES:
            for path in ("/api/connections", "/healthz", "/", "/nowhere"):
                problem(await client.get(path, headers={"Host": host}), 403, "forbidden")


async def test_demo_mode_refuses_pages_of_other_origins(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo") as service, service.anonymous() as client:
        body = {"connector": "demo", "refreshToken": "good"}
        for origin in ("https://evil.example", "null", "http://localhost:1", "http://[", ""):
            answer = await client.post("/api/connections", json=body, headers={"Origin": origin})
            problem(answer, 403, "forbidden")
            answer = await client.get("/api/sse/syncs", headers={"Origin": origin})
            problem(answer, 403, "forbidden")
        assert (await client.get("/api/connections")).json() == {"connections": []}
