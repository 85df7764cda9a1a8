"""The amount of a transaction."""

from typing import Any

import msgspec
import pytest

from connectors.amazon.transactions import total_of
from connectors.claims import Money

from .bench import Bench

pytestmark = pytest.mark.anyio


def transaction(**total: Any) -> bytes:
    return msgspec.json.encode({"transactionId": "t", "totalAmount": total})


@pytest.mark.parametrize(
    ("total", "amount"),
    [
        ({"currencyAmount": -12.34, "currencyCode": "USD"}, Money("-12.34", "USD")),
        ({"currencyAmount": 5, "currencyCode": "jpy"}, Money("5", "JPY")),
        ({"currencyAmount": 1e-05, "currencyCode": "EUR"}, Money("0.00001", "EUR")),
        ({"currencyAmount": "3.50", "currencyCode": "GBP"}, Money("3.50", "GBP")),
        ({"currencyAmount": 0, "currencyCode": "USD"}, Money("0", "USD")),
        ({"currencyAmount": 1, "currencyCode": None}, None),
        ({"currencyAmount": None, "currencyCode": "USD"}, None),
        ({"currencyAmount": [1], "currencyCode": {}}, None),
        ({}, None),
    ],
)
def test_the_total_of_a_transaction(total: dict[str, Any], amount: Money | None) -> None:
    assert total_of(transaction(**total)) == amount


@pytest.mark.parametrize("data", [b"{}", b"[]", b"1", b'{"totalAmount":[1]}', b'{"totalAmount":7}'])
def test_a_transaction_without_a_total_has_no_amount(data: bytes) -> None:
    assert total_of(data) is None


async def test_only_transactions_have_amounts(bench: Bench) -> None:
    data = transaction(currencyAmount=1, currencyCode="USD")
    amounts = {
        dataset.name: bench.connector.amount(dataset.name, data)
        for dataset in bench.connector.datasets
    }
    assert {name for name, amount in amounts.items() if amount} == {"transactions"}
