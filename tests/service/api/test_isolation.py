"""Every route refuses requests without credentials, and requests for resources of other users."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.claims import RemovalArrival
from service.api.routes import routes
from tests.service.api.answers import TINY
from tests.service.api.calls import (
    DIMENSIONS,
    LOCAL,
    OPERATORS,
    PATH_PARAMETERS,
    PUBLIC,
    SOCKET,
    STREAM,
    Call,
    Resources,
    calls,
    check_refused,
    create_resources,
    make_call,
    responses_of,
    serve_with_jwks,
    serve_with_secret,
)
from tests.service.api.issuer import jwks, rsa, signed
from tests.service.edge.test_authenticator import make_token
from tests.serving import Json, Serving, User, read, serve, token

pytestmark = pytest.mark.anyio

# Missing and invalid credentials ------------------------------------------------------------------


def header(bearer: str) -> Json:
    return {"headers": {"Authorization": f"Bearer {bearer}"}}


def cookie(bearer: str) -> Json:
    return {"headers": {"Cookie": f"session={bearer}", "Sec-Fetch-Site": "same-origin"}}


def query(ticket: str) -> Json:
    return {"params": {"ticket": ticket}}


def expired_token() -> str:
    return token("ann", exp=time.time() - 61)


UNSIGNED = make_token(header={"alg": "none", "typ": "JWT"}).rpartition(".")[0] + "."
BY_PUBLIC_KEY = make_token(
    header={"alg": "HS256", "kid": "rsa-1"}, secret=rsa().as_pem(private=False)
)
INVALID_CREDENTIALS: dict[str, tuple[Any, dict[str, Callable[[str], Json]]]] = {
    "a secret": (
        serve_with_secret,
        {
            "no credentials": lambda _: {},
            "an expired token": lambda _: header(expired_token()),
            "an expired token as cookie": lambda _: cookie(expired_token()),
            "a ticket as token": header,
            "a ticket as cookie": cookie,
            "a token as ticket": lambda _: query(token("ann")),
            "an expired token with an invalid ticket": (
                lambda _: header(expired_token()) | query("x")
            ),
            "no signature": lambda _: header(UNSIGNED),
            "no signature, as cookie": lambda _: cookie(UNSIGNED),
            "a token of an unknown issuer": lambda _: header(signed(rsa(), "ann")),
        },
    ),
    "only a JWKS": (
        serve_with_jwks,
        {
            "HS256": lambda _: header(token("ann")),
            "HS256 with the public key": lambda _: header(BY_PUBLIC_KEY),
            "HS256 with the public key, as cookie": lambda _: cookie(BY_PUBLIC_KEY),
            "no signature": lambda _: header(UNSIGNED),
            "an unknown key": lambda _: header(signed(rsa("eve"), "ann")),
        },
    ),
}
"""Credentials by what the service verifies tokens with. Each is made from a valid ticket."""


@pytest.mark.parametrize("configured", INVALID_CREDENTIALS)
async def test_private_routes_refuse_missing_and_invalid_credentials(
    tmp_path: Path, configured: str
) -> None:
    serving, credentials = INVALID_CREDENTIALS[configured]
    async with serving(tmp_path) as (service, ann):
        resources = await create_resources(service, ann)
        answer = await ann.post("/api/sse/ticket", {"syncId": resources["sync_id"]})
        ticket = read(answer)["ticket"]
        private = list(calls(resources))
        assert len(private) > 25
        before = await responses_of(ann, resources)
        async with service.anonymous() as client:
            for name, make in credentials.items():
                options = make(ticket)
                for call in private:
                    answer = await make_call(client, call, **options)
                    check_refused(answer, call, 401, "unauthenticated", name)
        assert await responses_of(ann, resources) == before


async def test_a_ticket_is_valid_for_its_stream_only(tmp_path: Path) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        resources = await create_resources(service, ann)
        answer = await ann.post("/api/sse/ticket", {"syncId": resources["sync_id"]})
        options = query(read(answer)["ticket"])
        async with service.anonymous() as client:
            for call in calls(resources):
                answer = await make_call(client, call, **options)
                if call.route == STREAM:
                    assert answer.status_code == 200
                elif call.route == SOCKET:
                    check_refused(answer, call, 426, "upgrade_required")
                else:
                    check_refused(answer, call, 401, "unauthenticated")


async def test_unknown_paths_are_401_without_credentials(service: Serving) -> None:
    async with service.anonymous() as client:
        for path in ("/api/", "/api/nowhere", "/api/sync", "/api/sse/sync-progress/"):
            answer = await client.get(path)
            assert answer.status_code == 401, path
            assert (await service.user().get(path)).status_code == 404, path
        assert (await client.put("/api/sync/start")).status_code == 401


async def test_every_public_route_is_listed_and_needs_no_credentials(service: Serving) -> None:
    async with service.anonymous() as client:
        for route in routes:
            path = getattr(route, "path", "")
            if path in PUBLIC | LOCAL:
                answer = await client.get("/web/app.js" if path == "/web" else path)
                assert answer.status_code == 200, path
            else:
                assert path.startswith(("/api/", "/ws/")), f"{path} is neither public nor private"


# Other users --------------------------------------------------------------------------------


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


async def test_resources_of_another_user_are_404_and_stay_unchanged(tmp_path: Path) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        resources = await create_resources(service, ann)
        of_paused = list(calls(resources))
        of_ended = calls({**resources, "sync_id": resources["ended"]})
        every = [*of_paused, *(call for call in of_ended if call not in of_paused)]
        before = await responses_of(ann, resources)
        for other in OTHERS:
            await check_foreign(service.user(**OTHERS[other]), resources, every, other)
        assert await responses_of(ann, resources) == before


async def check_foreign(bob: User, resources: Resources, every: Sequence[Call], other: str) -> None:
    """Check that no call of `bob` shows the resources of another user."""
    own_ids = [resources[name] for name in ("sync_id", "ended", "connection_id", "claim_id")]
    for call in every:
        answer = await make_call(bob.http, call)
        if call.owned:
            check_refused(answer, call, 404, "not_found", other)
            continue
        if call.route in OPERATORS:
            expected = 200 if OTHERS[other].get("role") == "operator" else 403
            assert answer.status_code == expected, other
            continue
        assert answer.status_code < 500 and answer.status_code != 403, (other, str(call))
        assert not [id for id in own_ids if id in answer.text], (other, str(call))


async def test_responses_do_not_reveal_whether_an_id_exists(
    tmp_path: Path,
) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        resources = await create_resources(service, ann)
        unknown = {name: re.sub("[0-9a-f]{8}$", "0" * 8, text) for name, text in resources.items()}
        bob = service.user("bob")
        for theirs, absent in zip(calls(resources), calls(unknown), strict=True):
            if theirs.owned:
                first, second = await make_call(bob.http, theirs), await make_call(bob.http, absent)
                assert first.status_code == second.status_code == 404
                blank = [
                    re.sub("|".join(map(re.escape, {*ids.values()})), "…", answer.text)
                    for answer, ids in ((first, resources), (second, unknown))
                ]
                assert blank[0] == blank[1], str(theirs)
                same = [
                    {
                        k: v
                        for k, v in answer.headers.items()
                        if k not in ("date", "content-length", "x-request-id")
                    }
                    for answer in (first, second)
                ]
                assert same[0] == same[1], str(theirs)


async def test_filtering_by_a_connection_of_another_user_returns_nothing(tmp_path: Path) -> None:
    async with serve_with_secret(tmp_path) as (service, ann):
        resources = await create_resources(service, ann)
        bob = service.user("bob", tenant="acme")
        await bob.connect()
        before = await responses_of(ann, resources)
        body = {"connectionId": resources["connection_id"]}
        for path in ("/api/sync/start", "/api/sync/force"):
            assert (await bob.post(path, body)).status_code == 409
        for call in calls(resources):
            if call.method == "GET" and not call.owned and "connect" not in call.route:
                answer = await make_call(bob.http, call, params=body)
                for name in ("sync_id", "ended", "claim_id"):
                    assert resources[name] not in answer.text, str(call)
                assert "orders-000" not in answer.text, str(call)
        assert await responses_of(ann, resources) == before


# Users with the same name -----------------------------------------------------------------------


SAME_NAMES: dict[str, tuple[Json, Json]] = {
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
    "/api/changes": "connection_id",
    "/api/events": "sync_id",
    "/api/data/{dataset}": "connection_id",
    "/api/connections": "connection_id",
    "/api/webhooks": "webhook_id",
    "/api/recoveries": "claim_id",
    "/api/costs": "sku",
    "/api/dimensions": "sku",
    "/api/removals/received": "sku",
}
"""Routes that list resources of a user, and the id that each list must contain."""
ACTIONS = {
    *("/api/sync/start", "/api/sync/force", "/api/session", "/api/me", "/api/connectors"),
    *("/api/connections/{connector}/authorize", "/api/connections/{connector}/callback"),
    SOCKET,
    "/api/recoveries/series",  # sums without ids
    "/api/data",  # counts without ids
    "/api/schedules/preview",
    *OPERATORS,
}
"""Routes that neither name nor list resources of a user."""


def test_every_route_is_classified_by_what_it_shows() -> None:
    every = {call.route for call in calls(dict.fromkeys(PATH_PARAMETERS, "x")) if not call.owned}
    assert every == OWN.keys() | ACTIONS, "add new routes to OWN or ACTIONS"


async def create_own_resources(service: Serving, user: User, sku: str) -> Resources:
    """Like `create_resources`, with a cost, dimensions and a removal of a SKU that no other user
    has."""
    resources = await create_resources(service, user)
    await user.http.put("/api/costs", json=[{"sku": sku, "cost": "1", "currency": "EUR"}])
    await user.http.put("/api/dimensions", json=[DIMENSIONS | {"sku": sku}])
    connection = await service.parts.connections.find(resources["connection_id"])
    assert connection is not None
    arrival = RemovalArrival("removal-1", 2, sku=sku)
    assert await service.parts.removals.store(connection.user, [(arrival, connection.id)])
    return {**resources, "sku": sku}


def markers(resources: Resources) -> list[str]:
    names = ("sync_id", "ended", "connection_id", "claim_id", "sku", "webhook_id", "delivery_id")
    return [resources[name] for name in names]


@pytest.mark.parametrize("pair", SAME_NAMES)
async def test_two_users_with_the_same_name_see_and_change_only_their_own_data(
    tmp_path: Path, pair: str
) -> None:
    async with serve(tmp_path, **TINY) as service:
        one, two = (service.user(**claims) for claims in SAME_NAMES[pair])
        await check_separate(service, one, two)


async def test_users_of_two_issuers_see_and_change_only_their_own_data(tmp_path: Path) -> None:
    """Their tenants and their `sub` are equal; only the issuers differ."""
    (tmp_path / "jwks.json").write_bytes(jwks(rsa()))
    environ: Any = {"AUTH_JWKS": str(tmp_path / "jwks.json"), **TINY}
    async with serve(tmp_path, **environ) as service:
        bearer = {"Authorization": f"Bearer {signed(rsa(), 'ann', tenant='acme')}"}
        async with service.anonymous(headers=bearer) as client:
            await check_separate(service, service.user("ann", tenant="acme"), User(client))


async def check_separate(service: Serving, one: User, two: User) -> None:
    mine = await create_own_resources(service, one, "FIRST-1")
    theirs = await create_own_resources(service, two, "SECOND-2")
    assert not {*markers(mine)} & {*markers(theirs)}
    for user, resources, others in ((one, mine, theirs), (two, theirs, mine)):
        await check_only_own(user, resources, others)
    for user, resources, other, others in ((one, mine, two, theirs), (two, theirs, one, mine)):
        before = await responses_of(other, others)
        await destroy(user, resources)
        assert await responses_of(other, others) == before


async def check_only_own(user: User, resources: Resources, others: Resources) -> None:
    """Check that lists have the user's own resources, and no response those of the other user."""
    for call in calls(resources):
        if call.method == "GET":
            answer = await make_call(user.http, call)
            assert not [mark for mark in markers(others) if mark in answer.text], str(call)
            if call.route in OWN:
                assert resources[OWN[call.route]] in answer.text, (str(call), answer.text)
    for call in calls(others):
        if call.owned:
            check_refused(await make_call(user.http, call), call, 404, "not_found")


async def destroy(user: User, resources: Resources) -> None:
    """Make every call of a user, then erase every connection. Check that nothing is left."""
    for call in calls(resources):
        if (call.method, call.route) == ("DELETE", "/api/connections/{connection_id}"):
            continue  # done below, with its data
        assert (await make_call(user.http, call)).status_code < 500, str(call)
    await user.post(f"/api/sync/cancel/{resources['sync_id']}")
    for connection in read(await user.get("/api/connections"))["connections"]:
        answer = await user.http.delete(f"/api/connections/{connection['id']}?data=erase")
        assert answer.status_code == 204, answer.text
    assert read(await user.get("/api/recoveries"))["recoveries"] == []
    assert read(await user.get("/api/removals/received"))["received"] == []
