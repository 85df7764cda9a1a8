"""Every route there is, asked for by everybody who must not get in: nobody, and somebody else.

It walks the table of routes itself: a new route is in it without a line here, unless it is public,
has a parameter of a new name, or needs a body to come as far as its own check."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.routing import Mount, Route

from connectors.base import Findings
from service.api.routes import routes
from service.store.claims import findings
from service.store.syncs import save
from tests.service.api.answers import TINY, spoil
from tests.service.api.issuer import jwks, rsa, signed
from tests.service.api.test_recoveries import claim, found
from tests.service.edge.test_authenticator import made
from tests.serving import Json, Serving, User, read, serve, token

pytestmark = pytest.mark.anyio

PUBLIC = {"/healthz", "/readyz", "/", "/web", "/metrics", "/openapi.json", "/docs"}
"""What answers everybody. Not all of it is there yet."""
STREAM = "/api/sse/sync-progress/{sync_id}"

WORDS = ("sync_id", "connection_id", "claim_id", "dataset", "connector")
"""Every parameter that a path may have."""

Things = dict[str, str]


class Call(NamedTuple):
    """A method of a route, with the path and the body to ask it with."""

    route: str
    method: str
    path: str
    body: Any

    @property
    def owned(self) -> bool:
        """Whether it is about one thing of one user."""
        return "_id}" in self.route or self.route == "/api/sse/ticket"

    def __str__(self) -> str:
        return f"{self.method} {self.route}"


def calls(things: Things) -> Iterator[Call]:
    for route in routes:
        assert isinstance(route, Route | Mount), f"say here how {route} is asked without identity"
        if isinstance(route, Mount) or route.path in PUBLIC:
            assert route.path in PUBLIC, f"everybody can read {route.path}"
            continue
        for method in sorted(route.methods or ()):
            yield Call(route.path, method, route.path.format_map(things), body(route.path, things))


def body(path: str, things: Things) -> Any:
    """What a call needs to get as far as asking whose a thing is, by the last word of its path."""
    bodies = {
        "connections": {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True},
        "ticket": {"syncId": things["sync_id"]},
        "reconnect": {"refreshToken": "good"},
        "schedule": {"cron": "0 2 * * *", "timezone": "UTC"},
        "costs": [{"sku": "MUG-01", "cost": "4.20", "currency": "USD"}],
    }
    return bodies.get(re.sub(r"/\{\w+\}", "", path).rpartition("/")[2], {})


async def things_of(service: Serving, user: User) -> Things:
    """One of each thing that a user can have; nothing in it changes by itself."""
    await found(service, user, claim(1))
    connection = read(await user.get("/api/connections"))["connections"][0]["id"]
    recoveries = read(await user.get("/api/recoveries"))["recoveries"]
    ended = read(await user.get("/api/sync/status"))["syncId"]
    await user.http.put("/api/costs", json=[{"sku": "ANN", "cost": "1", "currency": "EUR"}])
    await spoil(service, connection)
    paused = await user.start()
    await user.until(paused, "paused")
    return {
        "sync_id": paused,
        "ended": ended,
        "connection_id": connection,
        "claim_id": recoveries[0]["id"],
        "dataset": "orders",
        "connector": "demo",
    }


async def ask(client: httpx.AsyncClient, call: Call, **options: Any) -> httpx.Response:
    """The answer, or of a stream that goes on its beginning."""
    given = {} if call.method in ("GET", "HEAD", "DELETE") else {"json": call.body}
    async with client.stream(call.method, call.path, **given, **options) as answer:
        endless = answer.headers.get("content-type", "").startswith("text/event-stream")
        if call.method == "HEAD" or not endless:
            await answer.aread()
        else:
            answer._content = await anext(answer.aiter_raw())
    return answer


async def seen(user: User, things: Things) -> dict[str, tuple[int, str]]:
    """All that a user can see of what is his."""
    found = {}
    for call in calls(things):
        if call.method == "GET":
            answer = await ask(user.http, call)
            found[call.path] = (answer.status_code, re.sub(r"retry: \d+", "", answer.text))
    return found


# Nobody, and who says so wrongly ------------------------------------------------------------------


@asynccontextmanager
async def by_secret(folder: Path) -> AsyncIterator[tuple[Serving, User]]:
    async with serve(folder, **TINY) as service:
        yield service, service.user("ann", tenant="acme")


@asynccontextmanager
async def by_jwks(folder: Path) -> AsyncIterator[tuple[Serving, User]]:
    (folder / "jwks.json").write_bytes(jwks(rsa()))
    environ: Any = {"AUTH_JWKS": str(folder / "jwks.json"), "AUTH_SECRET": "", **TINY}
    async with serve(folder, **environ) as service:
        bearer = {"Authorization": f"Bearer {signed(rsa(), 'ann', tenant='acme')}"}
        async with service.anonymous(headers=bearer) as client:
            yield service, User(client)


def header(bearer: str) -> Json:
    return {"headers": {"Authorization": f"Bearer {bearer}"}}


def cookie(bearer: str) -> Json:
    return {"headers": {"Cookie": f"session={bearer}", "Sec-Fetch-Site": "same-origin"}}


def query(ticket: str) -> Json:
    return {"params": {"ticket": ticket}}


def old() -> str:
    return token("ann", exp=time.time() - 61)


UNSIGNED = made(header={"alg": "none", "typ": "JWT"}).rpartition(".")[0] + "."
BY_PUBLIC_KEY = made(header={"alg": "HS256", "kid": "rsa-1"}, secret=rsa().as_pem(private=False))
STRANGERS: dict[str, tuple[Any, Callable[[str], Json]]] = {
    "nobody": (by_secret, lambda _: {}),
    "an expired token": (by_secret, lambda _: header(old())),
    "an expired token as cookie": (by_secret, lambda _: cookie(old())),
    "a ticket as token": (by_secret, header),
    "a ticket as cookie": (by_secret, cookie),
    "a token as ticket": (by_secret, lambda _: query(token("ann"))),
    "an expired token with a ticket that is none": (
        by_secret,
        lambda _: header(old()) | query("x"),
    ),
    "no signature": (by_secret, lambda _: header(UNSIGNED)),
    "no signature, as cookie": (by_secret, lambda _: cookie(UNSIGNED)),
    "a token of an issuer that is not ours": (by_secret, lambda _: header(signed(rsa(), "ann"))),
    "HS256 where there is only a JWKS": (by_jwks, lambda _: header(token("ann"))),
    "HS256 by the public key": (by_jwks, lambda _: header(BY_PUBLIC_KEY)),
    "HS256 by the public key, as cookie": (by_jwks, lambda _: cookie(BY_PUBLIC_KEY)),
    "no signature where there is only a JWKS": (by_jwks, lambda _: header(UNSIGNED)),
    "a key that nobody knows": (by_jwks, lambda _: header(signed(rsa("eve"), "ann"))),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_who_does_not_say_rightly_who_he_is_gets_nowhere(
    tmp_path: Path, stranger: str
) -> None:
    serving, make = STRANGERS[stranger]
    async with serving(tmp_path) as (service, ann):
        things = await things_of(service, ann)
        answer = await ann.post("/api/sse/ticket", {"syncId": things["sync_id"]})
        options = make(read(answer)["ticket"])
        before, asked = await seen(ann, things), 0
        async with service.anonymous() as client:
            for call in calls(things):
                refused(await ask(client, call, **options), call, 401, "unauthenticated")
                asked += 1
        assert asked > 25
        assert await seen(ann, things) == before


async def test_a_ticket_opens_its_stream_and_no_other_route(tmp_path: Path) -> None:
    async with by_secret(tmp_path) as (service, ann):
        things = await things_of(service, ann)
        answer = await ann.post("/api/sse/ticket", {"syncId": things["sync_id"]})
        options = query(read(answer)["ticket"])
        async with service.anonymous() as client:
            for call in calls(things):
                answer = await ask(client, call, **options)
                if call.route == STREAM:
                    assert answer.status_code == 200
                else:
                    refused(answer, call, 401, "unauthenticated")


def refused(answer: httpx.Response, call: Call, status: int, code: str) -> None:
    assert answer.status_code == status, (str(call), answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("www-authenticate" in answer.headers) == (status == 401)
    if call.method != "HEAD":
        assert read(answer)["code"] == code, str(call)


async def test_what_is_not_there_is_no_news_for_nobody(service: Serving) -> None:
    async with service.anonymous() as client:
        for path in ("/api/", "/api/nowhere", "/api/sync", "/ws/x", "/api/sse/sync-progress/"):
            answer = await client.get(path)
            assert answer.status_code == 401, path
            assert (await service.user().get(path)).status_code == 404, path
        assert (await client.put("/api/sync/start")).status_code == 401


async def test_what_is_public_is_named_here_and_answers_everybody(service: Serving) -> None:
    async with service.anonymous() as client:
        for route in routes:
            path = getattr(route, "path", "")
            if path in PUBLIC:
                answer = await client.get("/web/app.js" if path == "/web" else path)
                assert answer.status_code == 200, path
            else:
                assert path.startswith(("/api/", "/ws/")), f"what kind of path is {path}?"


# Somebody else --------------------------------------------------------------------------------


OTHERS: dict[str, Json] = {
    "of the same name in another tenant": {"name": "ann", "tenant": "other"},
    "of the same name without a tenant": {"name": "ann"},
    "of another tenant": {"name": "bob", "tenant": "other"},
    "an operator of another tenant": {"name": "ann", "tenant": "other", "role": "operator"},
    "of the same tenant": {"name": "bob", "tenant": "acme"},
    "without a tenant": {"name": "bob"},
    "named like the tenant": {"name": "acme"},
    "named almost alike": {"name": "Ann", "tenant": "acme"},
}


@pytest.mark.parametrize("other", OTHERS)
async def test_what_is_somebody_elses_is_not_there_and_stays_as_it_is(
    tmp_path: Path, other: str
) -> None:
    async with by_secret(tmp_path) as (service, ann):
        things = await things_of(service, ann)
        his = [things[name] for name in ("sync_id", "ended", "connection_id", "claim_id")]
        bob = service.user(**OTHERS[other])
        before = await seen(ann, things)
        for sync in ("sync_id", "ended"):
            for call in calls({**things, "sync_id": things[sync]}):
                answer = await ask(bob.http, call)
                if call.owned:
                    refused(answer, call, 404, "not_found")
                    continue
                assert answer.status_code < 500 and answer.status_code != 403, str(call)
                assert not [each for each in his if each in answer.text], str(call)
        assert await seen(ann, things) == before


async def test_asking_for_what_is_not_there_and_for_somebody_elses_is_the_same(
    tmp_path: Path,
) -> None:
    """Else one could try which ids there are."""
    async with by_secret(tmp_path) as (service, ann):
        things = await things_of(service, ann)
        nothing = {name: re.sub("[0-9a-f]{8}$", "0" * 8, each) for name, each in things.items()}
        bob = service.user("bob")
        for theirs, none in zip(calls(things), calls(nothing), strict=True):
            if theirs.owned:
                first, second = await ask(bob.http, theirs), await ask(bob.http, none)
                assert first.status_code == second.status_code == 404
                blank = [
                    re.sub("|".join(map(re.escape, {*ids.values()})), "…", answer.text)
                    for answer, ids in ((first, things), (second, nothing))
                ]
                assert blank[0] == blank[1], str(theirs)
                same = [
                    {k: v for k, v in answer.headers.items() if k not in ("date", "content-length")}
                    for answer in (first, second)
                ]
                assert same[0] == same[1], str(theirs)


async def test_naming_somebody_elses_connection_brings_nothing(tmp_path: Path) -> None:
    async with by_secret(tmp_path) as (service, ann):
        things = await things_of(service, ann)
        bob = service.user("bob", tenant="acme")
        await bob.connect()
        before = await seen(ann, things)
        wanted = {"connectionId": things["connection_id"]}
        for path in ("/api/sync/start", "/api/sync/force"):
            assert (await bob.post(path, wanted)).status_code == 409
        for call in calls(things):
            if call.method == "GET" and not call.owned and "connect" not in call.route:
                answer = await ask(bob.http, call, params=wanted)
                for name in ("sync_id", "ended", "claim_id"):
                    assert things[name] not in answer.text, str(call)
                assert "orders-000" not in answer.text, str(call)
        assert await seen(ann, things) == before


# Two users who share a name -----------------------------------------------------------------------


TWINS: dict[str, tuple[Json, Json]] = {
    "one sub in two tenants": (
        {"name": "ann", "tenant": "acme"},
        {"name": "ann", "tenant": "other"},
    ),
    "one sub, in a tenant and in its own": ({"name": "ann", "tenant": "acme"}, {"name": "ann"}),
    "tenant and sub read alike when joined": (
        {"name": "b/ann", "tenant": "a"},
        {"name": "ann", "tenant": "a/b"},
    ),
    "a tenant that looks escaped": (
        {"name": "ann", "tenant": "a/b"},
        {"name": "ann", "tenant": "a%2Fb"},
    ),
    "tenant and sub exchanged": (
        {"name": "ann", "tenant": "acme"},
        {"name": "acme", "tenant": "ann"},
    ),
    "two users of one tenant": (
        {"name": "ann", "tenant": "acme"},
        {"name": "bob", "tenant": "acme"},
    ),
}
OWN: dict[str, str] = {
    "/api/sync/status": "sync_id",
    "/api/sync/history": "sync_id",
    "/api/sse/syncs": "sync_id",
    "/api/audit": "sync_id",
    "/api/data/{dataset}": "connection_id",
    "/api/connections": "connection_id",
    "/api/recoveries": "claim_id",
    "/api/costs": "sku",
}
"""Routes that list what a user has, and which of the user's things each must contain."""
ACTIONS = {
    *("/api/sync/start", "/api/sync/force", "/api/session", "/api/me", "/api/connectors"),
    *("/api/connections/{connector}/authorize", "/api/connections/{connector}/callback"),
}
"""Routes that name no thing of a user and list none."""


def test_every_route_is_about_one_thing_or_lists_things_or_is_a_named_action() -> None:
    every = {call.route for call in calls(dict.fromkeys(WORDS, "x")) if not call.owned}
    assert every == OWN.keys() | ACTIONS, "say in OWN or ACTIONS what a new route shows"


async def own_things(service: Serving, user: User, sku: str) -> Things:
    """As `things_of`, with a cost of a name that no other user has."""
    things = await things_of(service, user)
    await user.http.put("/api/costs", json=[{"sku": sku, "cost": "1", "currency": "EUR"}])
    return {**things, "sku": sku}


def marks(things: Things) -> list[str]:
    return [things[name] for name in ("sync_id", "ended", "connection_id", "claim_id", "sku")]


@pytest.mark.parametrize("twins", TWINS)
async def test_two_users_who_share_a_name_see_and_change_only_their_own(
    tmp_path: Path, twins: str
) -> None:
    async with serve(tmp_path, **TINY) as service:
        one, two = (service.user(**claims) for claims in TWINS[twins])
        await kept_apart(service, one, two)


async def test_users_of_two_issuers_see_and_change_only_their_own(tmp_path: Path) -> None:
    """The tenant and the `sub` are the same: the issuer alone tells them apart."""
    (tmp_path / "jwks.json").write_bytes(jwks(rsa()))
    environ: Any = {"AUTH_JWKS": str(tmp_path / "jwks.json"), **TINY}
    async with serve(tmp_path, **environ) as service:
        bearer = {"Authorization": f"Bearer {signed(rsa(), 'ann', tenant='acme')}"}
        async with service.anonymous(headers=bearer) as client:
            await kept_apart(service, service.user("ann", tenant="acme"), User(client))


async def kept_apart(service: Serving, one: User, two: User) -> None:
    mine = await own_things(service, one, "FIRST-1")
    theirs = await own_things(service, two, "SECOND-2")
    assert not {*marks(mine)} & {*marks(theirs)}
    for user, things, others in ((one, mine, theirs), (two, theirs, mine)):
        await only_own(user, things, others)
    for user, things, other, others in ((one, mine, two, theirs), (two, theirs, one, mine)):
        before = await seen(other, others)
        await destroy(user, things)
        assert await seen(other, others) == before


async def only_own(user: User, things: Things, others: Things) -> None:
    """Every list holds the user's own things; no answer names anybody else's, even where asked."""
    for call in calls(things):
        if call.method == "GET":
            answer = await ask(user.http, call)
            assert not [each for each in marks(others) if each in answer.text], str(call)
            if call.route in OWN:
                assert things[OWN[call.route]] in answer.text, (str(call), answer.text)
    for call in calls(others):
        if call.owned:
            refused(await ask(user.http, call), call, 404, "not_found")


async def destroy(user: User, things: Things) -> None:
    """Every call that a user can make; then every connection is erased, and nothing is left."""
    for call in calls(things):
        if (call.method, call.route) == ("DELETE", "/api/connections/{connection_id}"):
            continue  # below, with its data
        assert (await ask(user.http, call)).status_code < 500, str(call)
    await user.post(f"/api/sync/cancel/{things['sync_id']}")
    for each in read(await user.get("/api/connections"))["connections"]:
        answer = await user.http.delete(f"/api/connections/{each['id']}?data=erase")
        assert answer.status_code == 204, answer.text
    assert read(await user.get("/api/recoveries"))["recoveries"] == []


# Two accounts of one user -----------------------------------------------------------------------


async def account_of(service: Serving, user: User, shop: str) -> Things:
    """A connection of the user to one shop, with a sync, its records and a claim. The source gives
    the records and the cases of every shop the same ids."""
    connection = (await user.connect(refreshToken=f"token@{shop}"))["id"]
    done = await user.whole_sync(connectionId=connection)
    assert done["status"] == "complete"
    sync = await service.parts.registry.find(done["syncId"])
    assert sync is not None
    late = sync.staged(sync.stage, "later", sync.updated_at)
    statements = findings(late, Findings((claim(1),), ran=("R1",)), sync.updated_at)
    assert await service.parts.store.write(save(late), *statements)
    path = {"params": {"connectionId": connection}}
    (recovery,) = read(await user.get("/api/recoveries", **path))["recoveries"]
    return {
        "sync_id": done["syncId"],
        "connection_id": connection,
        "claim_id": recovery["id"],
        "dataset": "orders",
        "connector": "demo",
    }


def of_one_account(things: Things) -> Iterator[tuple[Call, Json]]:
    """What can be asked about one of several accounts: by its ids, or by a filter."""
    for call in calls(things):
        if call.method == "GET" and "_id}" in call.route:
            yield call, {}
        elif call.method == "GET" and call.route in FILTERED:
            yield call, {"params": {"connectionId": things["connection_id"]}}


FILTERED = ("/api/sync/history", "/api/data/{dataset}", "/api/recoveries")


async def shown(user: User, things: Things) -> dict[str, str]:
    found = {}
    for call, options in of_one_account(things):
        answer = await ask(user.http, call, **options)
        assert answer.status_code in (200, 204), (str(call), answer.text)
        found[call.path] = re.sub(r"retry: \d+", "", answer.text)
    return found


async def test_of_two_accounts_of_a_user_each_is_shown_alone(tmp_path: Path) -> None:
    async with by_secret(tmp_path) as (service, ann):
        shops = [await account_of(service, ann, shop) for shop in ("shop-a", "shop-b")]
        for own, other in (shops, shops[::-1]):
            told = await shown(ann, own)
            assert len(told) > 8
            for path, text in told.items():
                for name in ("sync_id", "connection_id", "claim_id"):
                    assert own[name] == other[name] or other[name] not in text, (path, name)
            for path, name in (
                ("/api/data/orders", "connection_id"),
                ("/api/recoveries", "claim_id"),
                ("/api/sync/history", "sync_id"),
            ):
                assert own[name] in told[path], path
        totals = read(await ann.get("/api/recoveries"))["totals"]
        assert [each["claims"] for each in totals] == [2], "the same case of two accounts"


async def test_what_is_done_to_one_account_of_a_user_leaves_the_other_as_it_is(
    tmp_path: Path,
) -> None:
    async with by_secret(tmp_path) as (service, ann):
        own = await account_of(service, ann, "shop-a")
        other = await account_of(service, ann, "shop-b")
        before, path = await shown(ann, own), f"/api/connections/{other['connection_id']}"
        await ann.whole_sync(connectionId=other["connection_id"], overwrite=True)
        for token, status in (("new@shop-a", 409), ("new@shop-b", 200)):
            answer = await ann.post(f"{path}/reconnect", {"refreshToken": token})
            assert answer.status_code == status
            assert await shown(ann, own) == before
        await ann.http.put(f"{path}/schedule", json={"cron": "0 2 * * *", "timezone": "UTC"})
        await spoil(service, other["connection_id"])
        paused = await ann.start(connectionId=other["connection_id"])
        await ann.until(paused, "paused")
        await ann.post(f"/api/sync/cancel/{paused}")
        assert await shown(ann, own) == before
        erased = await ann.http.delete(path, params={"data": "erase"})
        assert erased.status_code == 204
        assert await shown(ann, own) == before
        assert (await ann.whole_sync(connectionId=own["connection_id"]))["status"] == "complete"
        assert {each["connectionId"] for each in await ann.records("orders")} == {
            own["connection_id"]
        }
