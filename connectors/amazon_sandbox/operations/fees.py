"""Product Fees v0: estimates of the fees of a sale, equal to those of the fee previews."""

from typing import Literal

import msgspec

from connectors.amazon_sandbox.generator.amounts import amount_number, units_of
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.generator.times import timestamp
from connectors.amazon_sandbox.operations.call import Call
from connectors.amazon_sandbox.operations.operation import ApiOperation
from connectors.amazon_sandbox.responses import invalid

_MAX_REQUESTS = 20


class _Money(msgspec.Struct, rename="pascal"):
    amount: float
    currency_code: str = ""


class _Price(msgspec.Struct, rename="pascal"):
    listing_price: _Money
    shipping: _Money | None = None


class _EstimateRequest(msgspec.Struct, rename="pascal"):
    marketplace_id: str
    price_to_estimate_fees: _Price
    identifier: str
    is_amazon_fulfilled: bool = False


class _SingleRequest(msgspec.Struct, rename="pascal"):
    fees_estimate_request: _EstimateRequest


class _BatchEntry(msgspec.Struct, rename="pascal"):
    id_type: Literal["ASIN", "SellerSKU"]
    id_value: str
    fees_estimate_request: _EstimateRequest | None = None


def get_my_fees_estimates(call: Call) -> object:
    """The estimates, as a list without a payload. An invalid request does not affect the others."""
    entries = call.decode(list[_BatchEntry])
    if not 1 <= len(entries) <= _MAX_REQUESTS:
        raise invalid(f"From 1 to {_MAX_REQUESTS} requests are expected")
    results = []
    for entry in entries:
        if entry.fees_estimate_request is None:
            raise invalid("Missing required field [FeesEstimateRequest]")
        results.append(_result(call, entry.id_type, entry.id_value, entry.fees_estimate_request))
    return results


def get_my_fees_estimate_for_sku(call: Call) -> object:
    return _single(call, "SellerSKU", call.path["SellerSKU"])


def get_my_fees_estimate_for_asin(call: Call) -> object:
    return _single(call, "ASIN", call.path["Asin"])


def _single(call: Call, kind: str, value: str) -> object:
    request = call.decode(_SingleRequest).fees_estimate_request
    return {"payload": {"FeesEstimateResult": _result(call, kind, value, request)}}


def _result(call: Call, kind: str, value: str, request: _EstimateRequest) -> object:
    identifier = {
        "MarketplaceId": request.marketplace_id,
        "SellerId": call.seller.identity.partner_id,
        "IdType": kind,
        "IdValue": value,
        "IsAmazonFulfilled": request.is_amazon_fulfilled,
        "PriceToEstimateFees": _price(call, request),
        "SellerInputIdentifier": request.identifier,
    }
    product = _find(call, kind, value)
    if product is None or request.marketplace_id not in call.seller.marketplaces:
        return {"Status": "ClientError", "FeesEstimateIdentifier": identifier, "Error": _error()}
    estimate = _estimate(call, product, request)
    return {"Status": "Success", "FeesEstimateIdentifier": identifier, "FeesEstimate": estimate}


def _find(call: Call, kind: str, value: str) -> Product | None:
    for product in call.seller.products:
        if value == (product.asin if kind == "ASIN" else product.sku):
            return product
    return None


def _price(call: Call, request: _EstimateRequest) -> object:
    return {"ListingPrice": _money(call, request.price_to_estimate_fees.listing_price.amount)}


def _estimate(call: Call, product: Product, request: _EstimateRequest) -> object:
    shipping = request.price_to_estimate_fees.shipping
    price = request.price_to_estimate_fees.listing_price.amount
    price += shipping.amount if shipping else 0
    marketplace = MARKETPLACES[request.marketplace_id]
    scale, known = units_of(marketplace.currency), call.seller.fees
    # In whole cents, rounded down as in the fee previews.
    referral = known.referral(product, call.now, round(price * scale))
    fees = {"ReferralFee": amount_number(referral, marketplace.currency)}
    if request.is_amazon_fulfilled:
        expected = known.expected(product, call.now, marketplace.country)
        fees["FBAFees"] = amount_number(expected, marketplace.currency)
    return {
        "TimeOfFeesEstimation": timestamp(call.now),
        "TotalFeesEstimate": _money(call, round(sum(fees.values()), 2)),
        "FeeDetailList": [_detail(call, name, amount) for name, amount in fees.items()],
    }


def _detail(call: Call, name: str, amount: float) -> dict[str, object]:
    money = _money(call, amount)
    detail: dict[str, object] = {"FeeType": name, "FeeAmount": money, "FinalFee": money}
    if name == "FBAFees":
        included = {"FeeType": "FBAPickAndPack", "FeeAmount": money, "FinalFee": money}
        detail["IncludedFeeDetailList"] = [included]
    return detail


def _money(call: Call, amount: float) -> dict[str, object]:
    return {"CurrencyCode": call.seller.home.currency, "Amount": amount}


def _error() -> dict[str, object]:
    return {
        "Type": "Sender",
        "Code": "InvalidParameterValue",
        "Message": "There is an client-side error. Please verify your inputs.",
        "Detail": [],
    }


OPERATIONS = (
    ApiOperation(
        "getMyFeesEstimates",
        "POST",
        "/products/fees/v0/feesEstimate",
        0.5,
        1,
        get_my_fees_estimates,
    ),
    ApiOperation(
        "getMyFeesEstimateForSKU",
        "POST",
        "/products/fees/v0/listings/{SellerSKU:path}/feesEstimate",
        1,
        2,
        get_my_fees_estimate_for_sku,
    ),
    ApiOperation(
        "getMyFeesEstimateForASIN",
        "POST",
        "/products/fees/v0/items/{Asin}/feesEstimate",
        1,
        2,
        get_my_fees_estimate_for_asin,
    ),
)
