"""The seller's id: where it comes from, and that nothing fails without it."""

from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.account import seller_in
from connectors.amazon.transactions import LIST_TRANSACTIONS, TRANSACTIONS
from connectors.amazon_sandbox.generator.identity import Identity

from .bench import Bench, connect, edited, rows, with_settings

pytestmark = pytest.mark.anyio

SELLER = Identity.of_token(connect().settings.refresh_token, 120)
assert SELLER
ID = SELLER.partner_id


async def test_a_check_finds_the_sellers_id_by_one_call(bench: Bench) -> None:
    account = await bench.connector.check(connect(), bench.waiting)
    assert (account.id, account.name) == (ID, "Sandbox Store 1")
    assert await bench.statuses(LIST_TRANSACTIONS.name) == [200]


async def test_tokens_of_one_seller_yield_one_id_and_of_two_sellers_two(
    bench: Bench,
) -> None:
    sellers = [
        (await bench.connector.check(connect(seller), bench.waiting)).id
        for seller in ("1", "1-120", "2", "2-300")
    ]
    assert sellers[0] == sellers[1] and len(set(sellers)) == 3


async def test_a_known_seller_is_not_looked_up(bench: Bench) -> None:
    connection = msgspec.structs.replace(connect(), account_id=ID)
    assert (await bench.connector.check(connection, bench.waiting)).id == ID
    assert await bench.calls(LIST_TRANSACTIONS.name) == []


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
async def test_a_refused_seller_lookup_neither_fails_nor_delays_the_check(
    bench: Bench, status: int
) -> None:
    def refuse(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path == LIST_TRANSACTIONS.path:
            return httpx.Response(status, json={"errors": [{"code": "x", "message": "y"}]})
        return response

    bench.wire.spoil = refuse
    before = bench.clock.now()
    account = await bench.connector.check(connect(), bench.waiting)
    assert (account.id, account.name) == (None, "Sandbox Store 1")
    assert (bench.clock.now() - before).total_seconds() < 5 and bench.waits == []


HOSTILE: list[Any] = [None, "", 5, [], {}, "x" * 65, "a b", "\u0000", "é", {"sellingPartnerId": ID}]


@pytest.mark.parametrize("odd", HOSTILE)
async def test_an_invalid_seller_id_is_ignored(bench: Bench, odd: Any) -> None:
    def edit(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path != LIST_TRANSACTIONS.path:
            return response

        def other(body: Any) -> None:
            for row in rows(body):
                row["sellingPartnerMetadata"] = {"sellingPartnerId": odd}

        return edited(response, other)

    bench.wire.spoil = edit
    assert (await bench.connector.check(connect(), bench.waiting)).id is None
    pages = await bench.sync(TRANSACTIONS)
    assert {page.account for page in pages} == {None}
    assert sum(len(page.records) for page in pages) == await bench.count("transactions")


async def test_only_pages_of_transactions_name_the_seller(
    bench: Bench,
) -> None:
    for dataset in bench.connector.datasets:
        assert dataset.names_account == (dataset is TRANSACTIONS)
    for page in await bench.sync(TRANSACTIONS):
        assert page.account == (ID if page.records else None)


async def test_amazons_static_sandbox_names_no_seller(bench: Bench) -> None:
    example = with_settings(connect(), environment="sandbox")
    assert (await bench.connector.check(example, bench.waiting)).id is None
    assert await bench.calls(LIST_TRANSACTIONS.name) == []


async def test_a_consent_returns_the_sellers_id(bench: Bench) -> None:
    answer = {"spapi_oauth_code": "sandbox-1-120", "selling_partner_id": ID}
    granted = await bench.connector.exchange(answer, "http://sandbox/back")
    assert (granted.account_id, granted.settings["refreshToken"] in repr(granted)) == (ID, False)
    granted = await bench.connector.exchange(answer | {"selling_partner_id": "a b"}, "http://x/y")
    assert granted.account_id is None


def test_of_several_sellers_the_expected_one_is_named() -> None:
    transactions = [
        msgspec.json.encode({"sellingPartnerMetadata": {"sellingPartnerId": seller}})
        for seller in ("A", "B")
    ]
    assert (
        seller_in(transactions),
        seller_in(transactions, "B"),
        seller_in(transactions, "C"),
    ) == (
        "A",
        "B",
        "A",
    )
    assert seller_in([b"{", b"[]", b"\xff", b"{}", b'{"sellingPartnerMetadata": 5}']) is None
