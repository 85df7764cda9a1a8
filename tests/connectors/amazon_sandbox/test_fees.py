"""Product Fees v0."""

from typing import Any
from urllib.parse import quote

import pytest

from .bench import FEES, US, Bench, refusal

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


async def test_estimates_are_those_of_the_preview(bench: Bench) -> None:
    rows = await bench.rows(FEES, None)
    asked = [
        {
            "IdType": "SellerSKU",
            "IdValue": row["sku"],
            "FeesEstimateRequest": request(float(row["your-price"])),
        }
        for row in rows
    ]
    for row, result in zip(rows, (await bench.post(BATCH, asked)).json(), strict=True):
        estimate = result["FeesEstimate"]
        fees = {each["FeeType"]: each["FinalFee"] for each in estimate["FeeDetailList"]}
        assert f"{estimate['TotalFeesEstimate']['Amount']:.2f}" == row["estimated-fee-total"]
        expected = row["expected-fulfillment-fee-per-unit"]
        assert f"{fees['FBAFees']['Amount']:.2f}" == expected


async def test_one_wrong_request_does_not_disturb_the_others(bench: Bench) -> None:
    row = (await bench.rows(FEES, None))[0]
    right = {"IdType": "ASIN", "IdValue": row["asin"], "FeesEstimateRequest": request(20)}
    wrong = {"IdType": "ASIN", "IdValue": "B000000000", "FeesEstimateRequest": request(20)}
    results = (await bench.post(BATCH, [wrong, right])).json()
    assert [each["Status"] for each in results] == ["ClientError", "Success"]
    assert results[0]["Error"]["Code"] == "InvalidParameterValue"


async def test_a_single_estimate_may_be_asked_for_by_a_sku_of_any_letters(bench: Bench) -> None:
    row = next(row for row in await bench.rows(FEES, None) if "/" in row["sku"])
    body = {"FeesEstimateRequest": request(20)}
    for path in (f"listings/{quote(row['sku'], safe='')}", f"items/{row['asin']}"):
        response = await bench.post(f"/products/fees/v0/{path}/feesEstimate", body)
        result = response.json()["payload"]["FeesEstimateResult"]
        assert result["Status"] == "Success"
        assert result["FeesEstimateIdentifier"]["SellerInputIdentifier"] == "mine"


@pytest.mark.parametrize("body", [[], {}, [{"IdType": "ISBN", "IdValue": "1"}], [{}] * 21])
async def test_a_batch_of_nothing_or_too_much_is_refused(bench: Bench, body: object) -> None:
    assert refusal(await bench.post(BATCH, body))[:2] == (400, "InvalidInput")
