"""One call: paced, authorised, repeated, and refused with clear errors."""

from contextlib import suppress
from datetime import timedelta

import anyio
import httpx
import msgspec
import pytest

from connectors.amazon.account import PARTICIPATIONS
from connectors.amazon.client import Denied, Operation, Refused, Unknown
from connectors.amazon.connector import open_connector
from connectors.amazon.inventory import INVENTORY, INVENTORY_SUMMARIES
from connectors.amazon.orders.search import ORDERS, SEARCH_ORDERS
from connectors.amazon.reports.desk import CREATE_REPORT, GET_REPORTS
from connectors.amazon.transactions import LIST_TRANSACTIONS, TRANSACTIONS
from connectors.amazon_sandbox import Settings, create_app, environ
from connectors.base import Connection, ConnectionLost, Retryable, SourceError
from connectors.quota import REFUSED_FOR, Quota
from tests.connectors.clocks import NOW, JumpingClock, Timeline
from tests.connectors.serving import serving
from tests.serving import PATIENCE

from .bench import SMALL, UNLIMITED, US, Bench, connect, ids, is_data

pytestmark = pytest.mark.anyio

STOCK = {"granularityType": "Marketplace", "granularityId": US, "marketplaceIds": US}


async def ask(bench: Bench, connection: Connection | None = None) -> bytes:
    return await bench.client.call(connection or connect(), PARTICIPATIONS, {}, bench.waiting)


def always(bench: Bench, response: httpx.Response) -> None:
    """Every request except for a token gets this response."""
    bench.wire.spoil = lambda request, _: None if "auth" in request.url.path else response


def refusal(status: int, details: str = "", code: str = "Unauthorized") -> httpx.Response:
    error = {"code": code, "message": "Access to requested resource is denied.", "details": details}
    return httpx.Response(
        status, json={"errors": [error]}, headers={"x-amzn-RequestId": "request-7"}
    )


# The access token ---------------------------------------------------------------------------------


async def test_a_token_that_expires_midway_is_renewed_and_the_call_repeated_once() -> None:
    bench = Bench(Settings(orders=350, quotas=UNLIMITED))
    read = []
    async for page in bench.read_pages(
        connect(), ORDERS, bench.window(ORDERS), None, bench.waiting
    ):
        read += ids([page])
        if len(read) == 200:
            await bench.control("expire")
    assert len(read) == len(set(read)) == 350
    assert await bench.statuses("searchOrders") == [200, 200, 403, 200, 200]
    assert await bench.statuses("token") == [200, 200]


async def test_tokens_that_expire_repeatedly_are_retryable_and_not_a_missing_role() -> None:
    """Some are renewed; then the call is given up with the reason."""
    bench = Bench(SMALL)
    await bench.control("faults", {"expireTokens": 1})
    with pytest.raises(Retryable, match="expire before they can be used"):
        await ask(bench)
    assert await bench.statuses(PARTICIPATIONS.name) == [403] * 4
    await bench.control("faults", {"expireTokens": 0.4})
    for _ in range(20):
        with suppress(Retryable):
            await ask(bench)


async def test_a_token_that_expired_while_waiting_for_the_quota_is_not_used() -> None:
    """Calls are three minutes apart, and the token is valid for one more."""
    bench = Bench(Settings(orders=120))
    stored = Quota(SEARCH_ORDERS.rate, SEARCH_ORDERS.burst, 0.0, NOW)
    connection = connect(**{"quota:searchOrders": msgspec.json.encode(stored).decode()})
    await bench.tokens.get(connection.settings.refresh_token)
    bench.jumping.time += timedelta(seconds=3_500)
    bench.client.bucket(connection, SEARCH_ORDERS)._at = bench.clock.now()
    await bench.read(ORDERS, connection)
    assert await bench.statuses("searchOrders") == [200, 200]
    assert await bench.statuses("token") == [200, 200]


async def test_a_permanent_403_is_a_missing_role(bench: Bench) -> None:
    always(bench, refusal(403))
    with pytest.raises(SourceError, match="lacks the role Selling Partner Insights") as caught:
        await ask(bench)
    assert type(caught.value) is Denied
    assert "request-7" in str(caught.value)
    assert len(bench.wire.requests) == 2  # a token and one call; a new token would not help


async def test_the_repeated_call_uses_another_token(bench: Bench) -> None:
    always(bench, refusal(401))
    with pytest.raises(SourceError):
        await ask(bench)
    used = [request.headers.get("x-amz-access-token") for request in bench.wire.requests]
    assert len(set(used) - {None}) == 2


async def test_a_revoked_account_raises_connection_lost(bench: Bench) -> None:
    await ask(bench)
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    with pytest.raises(ConnectionLost, match="Connect the account again"):
        await ask(bench)


async def test_a_revoked_access_token_raises_connection_lost(bench: Bench) -> None:
    always(bench, refusal(403, "The access token you provided is revoked, malformed or invalid."))
    with pytest.raises(ConnectionLost):
        await ask(bench)


async def test_a_revoked_account_does_not_wait_for_the_quota(bench: Bench) -> None:
    stored = Quota(PARTICIPATIONS.rate, 15, 0.0, NOW)
    learned = {f"quota:{PARTICIPATIONS.name}": msgspec.json.encode(stored).decode()}
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    with pytest.raises(ConnectionLost):
        await ask(bench, connect(**learned))
    assert bench.jumping.slept == []


# The quota ----------------------------------------------------------------------------------------


async def test_a_429_is_waited_out_and_announced() -> None:
    bench = Bench(Settings(orders=350, quotas={**UNLIMITED, "searchOrders": (0.1, 1)}))
    pages = await bench.read(ORDERS)
    assert len(set(ids(pages))) == 350
    statuses = await bench.statuses("searchOrders")
    assert statuses.count(200) == 4
    assert statuses[:2] == [200, 429]
    assert statuses.count(429) == 1  # afterwards the bucket follows the source's
    until, why = bench.waits[0]
    assert 10 <= (until - NOW).total_seconds() <= 11
    assert why == "Amazon's quota for searchOrders (one call in 10 s)"


async def test_many_429s_are_waited_out(bench: Bench) -> None:
    await bench.control("faults", {"throttle": 0.7})
    for _ in range(10):
        await ask(bench)
    assert (await bench.statuses("getMarketplaceParticipations")).count(200) == 10


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_endless_429s_are_retryable(bench: Bench, method: str) -> None:
    """The operation responds 429 to every call, whatever the pause."""
    begun = bench.clock.now()
    bench.wire.spoil = lambda request, response: (
        httpx.Response(429, json={}) if request.url.path.startswith("/reports/") else None
    )
    operation, body = (GET_REPORTS, None) if method == "GET" else (CREATE_REPORT, {"a": "b"})
    with pytest.raises(Retryable, match=f"429.*{operation.name} "):
        with anyio.fail_after(PATIENCE):
            await bench.client.call(connect(), operation, {}, bench.waiting, body=body)
    waited = (bench.clock.now() - begun).total_seconds()
    assert REFUSED_FOR.total_seconds() <= waited <= REFUSED_FOR.total_seconds() + 400
    assert len(bench.waits) <= 10


@pytest.mark.parametrize("rate", [0.5, 0.001])
async def test_the_rate_is_learned_within_two_responses(rate: float) -> None:
    bench = Bench(Settings(orders=350, quotas={**UNLIMITED, "searchOrders": (rate, 20)}))
    reading = bench.read_pages(connect(), ORDERS, bench.window(ORDERS), None, bench.waiting)
    await anext(reading)
    await anext(reading)
    assert bench.client.bucket(connect(), SEARCH_ORDERS).rate == rate


@pytest.mark.parametrize("header", ["string", "", "nan", "inf", "-1", "0", "1e-300", "1e300"])
async def test_an_invalid_announced_rate_is_ignored(bench: Bench, header: str) -> None:
    def spoil(request: httpx.Request, response: httpx.Response) -> None:
        response.headers["x-amzn-RateLimit-Limit"] = header

    bench.wire.spoil = spoil
    for _ in range(20):
        await ask(bench)
    assert bench.client.bucket(connect(), PARTICIPATIONS).rate == PARTICIPATIONS.rate
    assert max(bench.jumping.slept) < 63


async def use_up(bench: Bench) -> dict[str, str]:
    """Use twelve tokens of ten at an unpublished rate. Returns the state to store."""
    params = {"postedAfter": "2026-02-01T00:00:00Z"}
    for _ in range(12):
        await bench.client.call(connect(), LIST_TRANSACTIONS, params, bench.waiting)
    return dict(bench.client.learned(connect(), [LIST_TRANSACTIONS]))


async def test_the_learned_quota_survives_a_restart() -> None:
    bench = Bench(Settings(orders=120, quotas={"listTransactions": (0.2, 10)}))
    learned = await use_up(bench)
    bench.restart()
    await bench.read(TRANSACTIONS, connect(**learned))
    await bench.read(TRANSACTIONS, connect(**learned))
    assert set(await bench.statuses("listTransactions")) == {200}
    assert bench.client.bucket(connect(), LIST_TRANSACTIONS).rate == 0.2


async def test_without_the_learned_quota_a_restart_is_refused() -> None:
    bench = Bench(Settings(orders=120, quotas={"listTransactions": (0.2, 10)}))
    await use_up(bench)
    bench.restart()
    await bench.read(TRANSACTIONS)
    assert 429 in await bench.statuses("listTransactions")


async def test_every_page_carries_the_state_of_its_quota(bench: Bench) -> None:
    for dataset, operation in ((ORDERS, SEARCH_ORDERS), (INVENTORY, INVENTORY_SUMMARIES)):
        [*_, page] = await bench.read(dataset)
        stored = msgspec.json.decode(page.learned[f"quota:{operation.name}"], type=Quota)
        assert stored == bench.client.bucket(connect(), operation).state()
    account = await bench.connector.check(connect(), bench.waiting)
    assert account.learned.keys() == {"quota:getMarketplaceParticipations"}


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "null",
        '{"rate":1}',
        '{"rate":0,"burst":1,"level":1,"at":"2026-01-01T00:00:00Z"}',
        '{"rate":1,"burst":1,"level":1,"at":"2026-01-01T00:00:00"}',
    ],
)
async def test_a_stored_quota_of_another_version_is_ignored(bench: Bench, stored: str) -> None:
    connection = connect(**{"quota:getMarketplaceParticipations": stored})
    await ask(bench, connection)
    assert bench.client.bucket(connection, PARTICIPATIONS).burst == 15


@pytest.mark.parametrize(("count", "factor"), [(20, 1), (6, 0.5), (6, 3)])
async def test_many_sellers_side_by_side_are_never_refused(count: int, factor: float) -> None:
    """At the published quotas and at others, with calls that take time to arrive."""
    sellers = [f"{number}-20" for number in range(1, count + 1)]
    async with Timeline().running() as clock:
        quotas = {
            operation.name: (operation.rate * factor, operation.burst)
            for operation in (PARTICIPATIONS, INVENTORY_SUMMARIES)
        }
        bench = Bench(Settings(orders=20, quotas=quotas), clock)
        for seller in sellers:
            await bench.count(
                "orders", seller
            )  # now, since work in a thread does not count as waiting
        bench.wire.delay = 0.3

        async def work(seller: str, operation: Operation, params: dict[str, str]) -> None:
            connection = connect(seller)
            for _ in range(operation.burst.__ceil__() + 4):
                await bench.client.call(connection, operation, params, bench.waiting)

        async with anyio.create_task_group() as group:
            for seller in sellers:
                group.start_soon(work, seller, PARTICIPATIONS, {})
                group.start_soon(work, seller, INVENTORY_SUMMARIES, STOCK)
        assert set(await bench.statuses("getMarketplaceParticipations")) == {200}
        assert set(await bench.statuses("getInventorySummaries")) == {200}
        took = (clock.now() - NOW).total_seconds()
    least = 4 / (PARTICIPATIONS.rate * factor)
    assert least <= took <= least * 1.05


async def test_one_seller_does_not_wait_for_another(bench: Bench) -> None:
    await use_up(bench)
    assert bench.client.bucket(connect("2"), LIST_TRANSACTIONS).level == LIST_TRANSACTIONS.burst


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (404, Unknown),
        (413, SourceError),
        (302, SourceError),
        (204, SourceError),
        (500, Retryable),
        (503, Retryable),
        (504, Retryable),
    ],
)
async def test_a_refusal_raises_the_right_error_with_its_details(
    bench: Bench, status: int, kind: type[Exception]
) -> None:
    always(bench, refusal(status, "the details", "InvalidInput"))
    with pytest.raises(kind) as caught:
        await ask(bench)
    assert type(caught.value) is kind
    for part in ("getMarketplaceParticipations", f"HTTP {status}", "InvalidInput", "the details"):
        assert part in str(caught.value)
    assert "request-7" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"errors":[{"code":"InvalidInput","message":null,"details":""}]}', "InvalidInput"),
        (b'{"errors":[{"code":null,"message":"No."}]}', "No."),
        (b'[{"code":"InvalidInput","message":"A bare list."}]', "A bare list."),
        (b'{"errors":[]}', "HTTP 400"),
        (b'{"errors":null}', "HTTP 400"),
        (b'{"errors":[{"code":"\xff"}]}', "HTTP 400"),
        (b"<html>Bad Request</html>", "HTTP 400"),
        (b"\xff\xfe", "HTTP 400"),
        (b"", "HTTP 400"),
    ],
)
async def test_a_refusal_of_any_shape_is_read(bench: Bench, body: bytes, text: str) -> None:
    always(bench, httpx.Response(400, content=body))
    with pytest.raises(Refused) as caught:
        await ask(bench)
    assert text in str(caught.value)


async def test_a_long_refusal_is_truncated(bench: Bench) -> None:
    always(bench, refusal(400, "x" * 100_000))
    with pytest.raises(Refused) as caught:
        await ask(bench)
    assert len(str(caught.value)) < 1_000


async def test_a_temporary_failure_is_retried(bench: Bench) -> None:
    await bench.control("faults", {"error500": 0.3})
    for _ in range(10):
        await ask(bench)
    statuses = await bench.statuses("getMarketplaceParticipations")
    assert statuses.count(200) == 10
    assert 500 in statuses


async def test_every_attempt_counts_against_the_quota(bench: Bench) -> None:
    always(bench, httpx.Response(503))
    with pytest.raises(Retryable):
        await ask(bench)
    calls = sum("auth" not in request.url.path for request in bench.wire.requests)
    level = bench.client.bucket(connect(), PARTICIPATIONS).level
    assert level == pytest.approx(PARTICIPATIONS.burst - calls, abs=1)


async def test_a_cancelled_call_is_no_longer_in_flight() -> None:
    async with Timeline().running() as clock:
        bench = Bench(SMALL, clock)
        await bench.count("orders")
        await bench.tokens.get(connect().settings.refresh_token)
        bench.wire.delay = 1_000
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(ask, bench)
                while len(bench.wire.requests) < 2:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert bench.client.bucket(connect(), PARTICIPATIONS)._out == 0


# Who we say we are --------------------------------------------------------------------------------


async def test_the_user_agent_names_the_application_within_amazons_limit() -> None:
    agents = []
    clock = JumpingClock()
    app = create_app(SMALL, clock)

    async def listening(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        agents.append(dict(scope["headers"])[b"user-agent"].decode())
        await app(scope, receive, send)

    async def waiting(until: object, why: str) -> None: ...

    async with (
        serving(listening) as url,
        open_connector(environ(url), clock) as connector,
    ):
        account = await connector.check(connect(), waiting)
    assert account.name == "Sandbox Store 1"
    assert len(agents) == 3  # the login, the participations, the transactions
    for agent in agents:
        assert agent.startswith("amzn1.sp.solution.sandbox/0.1 (Language=Python/3.")
        assert len(agent) <= 500


async def test_only_pages_and_tokens_are_requested(bench: Bench) -> None:
    await bench.read(ORDERS)
    paths = {request.url.path for request in bench.wire.requests if not is_data(request)}
    assert paths == {"/auth/o2/token"}
