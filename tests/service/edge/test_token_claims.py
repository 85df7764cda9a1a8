"""The claims of a token: user, tenant, and period of validity."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from service.edge.authenticator import Authenticator, Identity
from service.edge.tokens import Tokens
from service.errors import StartupError, Unauthenticated
from service.settings import read_settings
from service.users import Actor
from tests.cases import each
from tests.service.api.answers import TINY, problem
from tests.service.api.issuer import ec, jwks, signed
from tests.service.edge.test_authenticator import GOOD, make_token
from tests.serving import KEY, SECRET, YEAR_2100, Json, Serving, User, read, serve, settings, token

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000


class FixedClock:
    """A clock that stands still until a test sets it."""

    def __init__(self, now: float = NOW) -> None:
        self.seconds = now

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def refusal_of(tokens: Tokens, text: str) -> str | None:
    """Why a token is refused; None if it is accepted."""
    try:
        anyio.run(tokens.read, text)
    except Unauthenticated as error:
        return error.detail
    return None


# Names --------------------------------------------------------------------------------------------


NAMES: dict[str, tuple[str, Json]] = {
    "no sub": ("sub", {"sub": ...}),
    "an empty sub": ("sub", {"sub": ""}),
    "a sub that is a number": ("sub", {"sub": 7}),
    "a sub that is null": ("sub", {"sub": None}),
    "a sub that is too long": ("sub", {"sub": "a" * 201}),
    "a sub with U+0000": ("sub", {"sub": "ann\0"}),
    "a sub with a line end": ("sub", {"sub": "ann\nbob"}),
    "a sub with a line separator": ("sub", {"sub": "ann\u2028bob"}),
    "an empty tenant": ("tenant", {"tenant": ""}),
    "a tenant that is a number": ("tenant", {"tenant": 7}),
    "a tenant that is null": ("tenant", {"tenant": None}),
    "a tenant that is a list": ("tenant", {"tenant": ["acme"]}),
    "a tenant that is an object": ("tenant", {"tenant": {"id": "acme"}}),
    "a tenant that is too long": ("tenant", {"tenant": "a" * 201}),
    "a tenant with a tab": ("tenant", {"tenant": "ac\tme"}),
    "a tenant with DEL": ("tenant", {"tenant": "acme\x7f"}),
    "a tenant with a C1 control": ("tenant", {"tenant": "acme\x85"}),
    "a tenant with the prefix of AUTH_JWKS": ("tenant", {"tenant": "jwks:acme"}),
    "a sub with that prefix as its own tenant": ("tenant", {"sub": "jwks:acme"}),
    "a plan that is a number": ("plan", {"plan": 1}),
    "a plan with a control character": ("plan", {"plan": "go\x1bld"}),
}


@each("case", NAMES)
async def test_an_invalid_name_gets_401_and_is_named(service: Serving, case: str) -> None:
    name, changes = NAMES[case]
    claims = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    async with service.anonymous(
        headers={"Authorization": f"Bearer {make_token(claims)}"}
    ) as client:
        answer = await client.get("/api/connections")
    assert f"`{name}`" in problem(answer, 401, "unauthenticated")["detail"]
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_names_may_use_every_script_and_200_characters(service: Serving) -> None:
    for sub, tenant in (
        ("a" * 200, "t" * 200),
        ("änn & co / ?#%", "ac me/ü"),
        ("田中👩‍👩‍👧", "Ω" * 200),
        ("auth0|5f7c8ec7", "org_1"),
        ("../..", "."),
    ):
        user = service.user(sub, tenant=tenant)
        connection = (await user.connect())["id"]
        assert await connections(user) == [connection]
        (entry,) = read(await user.get("/api/audit"))["entries"]
        assert entry["actor"] == sub


# The tenant's claim -------------------------------------------------------------------------------


async def actor_of(folder: Path, claims: Json, **environ: str) -> Actor:
    auth = Authenticator(settings(folder, **environ), FixedClock())
    async with auth.open():
        return (await identify(auth, make_token({**GOOD, **claims}))).actor


async def identify(auth: Authenticator, bearer: str) -> Identity:
    headers = [(b"authorization", f"Bearer {bearer}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/api/connections", "headers": headers}
    return await auth.identify(HTTPConnection({**scope, "query_string": b""}))


URL = "https://app.example/tenant"


@pytest.mark.parametrize(
    ("setting", "claims", "tenant"),
    [
        ("", {"tenant": "acme"}, "acme"),
        ("", {}, "ann"),
        ("", {"org_id": "acme"}, "ann"),
        ("org_id", {"org_id": "acme", "tenant": "other"}, "acme"),
        ("org_id", {"tenant": "other"}, "ann"),
        ("org.id", {"org": {"id": "acme"}}, "acme"),
        ("org.id", {"org": {}}, "ann"),
        ("org.id", {"org": "acme"}, "ann"),
        ("org.id", {"org.id": "acme", "org": {"id": "other"}}, "acme"),
        (URL, {URL: "acme"}, "acme"),
    ],
)
async def test_a_setting_selects_the_claim_with_the_tenant(
    tmp_path: Path, setting: str, claims: Json, tenant: str
) -> None:
    actor = await actor_of(tmp_path, claims, AUTH_TENANT_CLAIM=setting)
    assert (actor.sub, actor.tenant) == ("ann", tenant)


async def test_a_refusal_names_the_configured_claim(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match=r"`org\.id`"):
        await actor_of(tmp_path, {"org": {"id": 7}}, AUTH_TENANT_CLAIM="org.id")


def test_a_tenant_claim_with_an_empty_part_is_a_startup_error() -> None:
    for name in (".", "org.", ".id", "a..b"):
        environ = {"AUTH_SECRET": SECRET, "SECRETS_KEYS": KEY, "AUTH_TENANT_CLAIM": name}
        with pytest.raises(StartupError, match="AUTH_TENANT_CLAIM"):
            read_settings(environ)


# Two issuers --------------------------------------------------------------------------------------


@asynccontextmanager
async def two_issuers(folder: Path) -> AsyncIterator[Serving]:
    (folder / "jwks.json").write_bytes(jwks(ec()))
    environ: Any = {"AUTH_JWKS": str(folder / "jwks.json"), **TINY}
    async with serve(folder, **environ) as service:
        yield service


def user_with(service: Serving, bearer: str) -> User:
    return User(service.anonymous(headers={"Authorization": f"Bearer {bearer}"}))


async def connections(user: User) -> list[str]:
    answer: httpx.Response = await user.get("/api/connections")
    assert answer.status_code == 200, answer.text
    return [connection["id"] for connection in read(answer)["connections"]]


async def test_users_of_two_issuers_are_always_different(tmp_path: Path) -> None:
    async with two_issuers(tmp_path) as service:
        users = [
            user_with(service, token("ann", tenant="acme")),
            user_with(service, signed(ec(), "ann", tenant="acme")),
            user_with(service, token("ann")),
            user_with(service, signed(ec(), "ann")),
        ]
        async with AsyncExitStack() as stack:
            for user in users:
                await stack.enter_async_context(user.http)
            ids = [(await user.connect())["id"] for user in users]
            assert [await connections(user) for user in users] == [[own] for own in ids]


async def test_tenants_of_two_issuers_have_separate_limits(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks(ec()))
    environ: Any = {"AUTH_JWKS": str(tmp_path / "jwks.json"), "DEMO_PAUSE": "0.9"}
    async with serve(tmp_path, MAX_SYNCS_PER_TENANT="1", **environ) as service:
        for ann, bob in (
            (token("ann", tenant="acme"), token("bob", tenant="acme")),
            (signed(ec(), "ann", tenant="acme"), signed(ec(), "bob", tenant="acme")),
        ):
            first, second = user_with(service, ann), user_with(service, bob)
            async with first.http, second.http:
                await first.connect()
                await second.connect()
                await first.start()
                problem(await second.post("/api/sync/start"), 429, "too_many_syncs")


def test_no_name_of_one_issuer_is_a_user_of_the_other(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks(ec()))
    chosen = settings(tmp_path, AUTH_JWKS=str(tmp_path / "jwks.json"))
    texts = st.text(st.sampled_from("jwks:/%a"), min_size=1, max_size=9) | st.just("jwks:a")
    claims = st.fixed_dictionaries({"sub": texts}, optional={"tenant": texts})

    @examples(max_examples=60, deadline=None)
    @given(claims, claims)
    def check(ours: Json, theirs: Json) -> None:
        async def ids() -> list[str]:
            auth, names = Authenticator(chosen, FixedClock()), []
            async with auth.open():
                for bearer in (
                    make_token({**GOOD, **ours}),
                    signed(ec(), **{"user": "", **theirs}),
                ):
                    try:
                        actor = (await identify(auth, bearer)).actor
                        names += [actor.tenant, actor.user]
                    except Unauthenticated:
                        names += ["", ""]
            return names

        tenant, user, their_tenant, their_user = anyio.run(ids)
        assert not tenant or (tenant != their_tenant and user != their_user)

    check()


@pytest.mark.parametrize("only", ["AUTH_SECRET", "AUTH_JWKS"])
async def test_with_one_issuer_tenants_have_no_prefix(tmp_path: Path, only: str) -> None:
    (tmp_path / "jwks.json").write_bytes(jwks(ec()))
    environ = {"AUTH_SECRET": "", "AUTH_JWKS": str(tmp_path / "jwks.json")}
    auth = Authenticator(
        settings(tmp_path, **(environ if only == "AUTH_JWKS" else {})), FixedClock()
    )
    bearers = {"AUTH_SECRET": token("ann", tenant="acme"), "AUTH_JWKS": signed(ec(), tenant="acme")}
    async with auth.open():
        actor = (await identify(auth, bearers[only])).actor
    assert (actor.sub, actor.tenant, actor.user) == ("ann", "acme", "acme/ann")


# Times --------------------------------------------------------------------------------------------


offsets = st.integers(-200, 200) | st.sampled_from([-61, -60, -59, 59, 60, 61])


def test_exp_nbf_and_iat_have_a_leeway_of_60_seconds_each(tmp_path: Path) -> None:
    tokens = Tokens(settings(tmp_path), FixedClock())

    @given(exp=offsets, nbf=st.none() | offsets, iat=st.none() | offsets)
    def check(exp: int, nbf: int | None, iat: int | None) -> None:
        times = {"exp": exp, "nbf": nbf, "iat": iat}
        claims = {name: NOW + offset for name, offset in times.items() if offset is not None}
        valid = exp > -60 and (nbf is None or nbf <= 60) and (iat is None or iat <= 60)
        assert (refusal_of(tokens, make_token({"sub": "ann", **claims})) is None) == valid

    check()


def test_a_refusal_names_the_invalid_time(tmp_path: Path) -> None:
    tokens = Tokens(settings(tmp_path), FixedClock())
    cases: dict[str, Json] = {
        "has expired": {"exp": NOW - 60},
        "not valid yet": {"exp": YEAR_2100, "nbf": NOW + 61},
        "issued in the future": {"exp": YEAR_2100, "iat": NOW + 61},
        "`exp`": {},
        "`iat`": {"exp": YEAR_2100, "iat": "today"},
        "`nbf`": {"exp": YEAR_2100, "nbf": None},
    }
    for name, claims in cases.items():
        assert name in str(refusal_of(tokens, make_token({"sub": "ann", **claims}))), name


def test_a_time_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    tokens = Tokens(settings(tmp_path), FixedClock())
    for name in ("exp", "nbf", "iat"):
        for value in (b"NaN", b"Infinity" if name != "exp" else b"-Infinity", b'"1"', b"true"):
            text = b'{"sub":"ann","exp":%d,"%s":%s}' % (YEAR_2100, name.encode(), value)
            assert refusal_of(tokens, make_token(text)), (name, value)


async def test_a_cached_token_is_refused_when_its_leeway_ends(tmp_path: Path) -> None:
    clock = FixedClock()
    tokens = Tokens(settings(tmp_path), clock)
    bearer = make_token({**GOOD, "exp": NOW + 10})
    for ahead in (0, 10, 69.9):
        clock.seconds = NOW + ahead
        assert (await tokens.read(bearer)).sub == "ann"
    clock.seconds = NOW + 70
    with pytest.raises(Unauthenticated):
        await tokens.read(bearer)


async def test_a_stream_ends_at_exp_or_after_the_leeway(
    tmp_path: Path,
) -> None:
    """A stream opened before `exp` ends at `exp`; one opened in the leeway ends 60 s later."""
    clock = FixedClock()
    auth = Authenticator(settings(tmp_path), clock)
    bearer = make_token({**GOOD, "exp": NOW + 10})
    for ahead, life in ((0, 10), (9, 10), (10, 70), (69, 70)):
        clock.seconds = NOW + ahead
        identity = await identify(auth, bearer)
        assert identity.until == datetime.fromtimestamp(NOW + life, UTC)
        assert auth.ticket(identity, "sync_1")[1] == life - ahead


async def test_a_token_in_its_leeway_opens_a_stream_and_a_session(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        await service.user().connect()
        done = await service.user().whole_sync()
        late = user_with(service, token(exp=time.time() - 30))
        path = f"/api/sse/sync-progress/{done['syncId']}"
        async with late.http as client:
            assert "event: complete" in (await client.get(path)).text
            answer = await client.post("/api/session")
            life = SimpleCookie(answer.headers["set-cookie"])["session"]["max-age"]
            assert 0 < int(life) <= 30
