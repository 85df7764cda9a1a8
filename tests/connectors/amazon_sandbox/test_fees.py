"""Product Fees v0."""

from typing import Any
from urllib.parse import quote

import pytest

from .bench import FEES, US, Bench, error_of

pytestmark = pytest.mark.anyio

BATCH = "/products/fees/v0/feesEstimate"


def request(price: float, marketplace: str = US) -> dict[str, Any]:
    money = {"CurrencyCode": "USD", "Amount": price}
    return {
        "MarketplaceId": marketplace,
        "IsAmazonFulfilled": True,
        "PriceToEstimateFees": {"ListingPrice": money},
        "Identifier": "mine",
    }


async def test_estimates_equal_those_of_the_preview(bench: Bench) -> None:
    rows = await bench.rows(FEES, None)
    requests = [
        {
            "IdType": "SellerSKU",
            "IdValue": row["sku"],
            "FeesEstimateRequest": request(float(row["your-price"])),
        }
        for row in rows
    ]
    for row, result in zip(rows, (await bench.post(BATCH, requests)).json(), strict=True):
        estimate = result["FeesEstimate"]
        fees = {fee["FeeType"]: fee["FinalFee"] for fee in estimate["FeeDetailList"]}
        assert f"{estimate['TotalFeesEstimate']['Amount']:.2f}" == row["estimated-fee-total"]
        expected = row["expected-fulfillment-fee-per-unit"]
        assert f"{fees['FBAFees']['Amount']:.2f}" == expected


async def test_an_invalid_request_does_not_affect_the_others(bench: Bench) -> None:
    row = (await bench.rows(FEES, None))[0]
    right = {"IdType": "ASIN", "IdValue": row["asin"], "FeesEstimateRequest": request(20)}
    bad = {"IdType": "ASIN", "IdValue": "B000000000", "FeesEstimateRequest": request(20)}
    results = (await bench.post(BATCH, [bad, right])).json()
    assert [result["Status"] for result in results] == ["ClientError", "Success"]
    assert results[0]["Error"]["Code"] == "InvalidParameterValue"


async def test_a_sku_with_a_slash_has_an_estimate(bench: Bench) -> None:
    row = next(row for row in await bench.rows(FEES, None) if "/" in row["sku"])
    body = {"FeesEstimateRequest": request(20)}
    for path in (f"listings/{quote(row['sku'], safe='')}", f"items/{row['asin']}"):
        response = await bench.post(f"/products/fees/v0/{path}/feesEstimate", body)
        result = response.json()["payload"]["FeesEstimateResult"]
        assert result["Status"] == "Success"
        assert result["FeesEstimateIdentifier"]["SellerInputIdentifier"] == "mine"


@pytest.mark.parametrize("body", [[], {}, [{"IdType": "ISBN", "IdValue": "1"}], [{}] * 21])
async def test_an_empty_invalid_or_too_large_batch_is_rejected(bench: Bench, body: object) -> None:
    assert error_of(await bench.post(BATCH, body))[:2] == (400, "InvalidInput")
