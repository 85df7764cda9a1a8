"""Cases of Product Fees v0 and Tokens 2021-03-01."""

from connectors.amazon_sandbox.examples.case import (
    BAD_MARKETPLACE,
    MEXICO,
    NO_RESOURCE,
    US,
    StaticCase,
)

# Fees -------------------------------------------------------------------------------------------


def _request(
    marketplace: str, currency: str, by_amazon: bool, identifier: str
) -> dict[str, object]:
    """A request for an estimate: every price is 10, without points."""
    ten = {"CurrencyCode": currency, "Amount": 10}
    points = {
        "PointsNumber": 0,
        "PointsMonetaryValue": {"CurrencyCode": currency, "Amount": 0},
    }
    return {
        "MarketplaceId": marketplace,
        "IsAmazonFulfilled": by_amazon,
        "PriceToEstimateFees": {"ListingPrice": ten, "Shipping": ten, "Points": points},
        "Identifier": identifier,
    }


def _estimate(request: dict[str, object], kind: str, value: str) -> dict[str, object]:
    """An estimate of 3 for any product, never fulfilled by Amazon."""
    currency = "MXN" if request["MarketplaceId"] == MEXICO else "USD"
    return {
        "Status": "Success",
        "FeesEstimateIdentifier": {
            "MarketplaceId": request["MarketplaceId"],
            "IdType": kind,
            "SellerId": "AXXXXXXXXXXXXX",
            "SellerInputIdentifier": request["Identifier"],
            "IsAmazonFulfilled": False,
            "IdValue": value,
            "PriceToEstimateFees": request["PriceToEstimateFees"],
        },
        "FeesEstimate": {
            "TimeOfFeesEstimation": "Mon Oct 28 18:49:32 UTC 2019",
            "TotalFeesEstimate": {"CurrencyCode": currency, "Amount": 3.0},
            "FeeDetailList": [],
        },
        "Error": {"Type": "", "Code": "", "Message": "", "Detail": []},
    }


_US_FEES = _request(US, "USD", False, "UmaS1")
_MEXICAN_FEES = _request(MEXICO, "MXN", True, "UmaS2")
_UNKNOWN_MARKETPLACE_FEES = _request("INVALIDMARKETPLACEID", "USD", False, "UmaS1")

# The response names this ASIN whatever the requested product is.
_ONE_ESTIMATE = {"payload": {"FeesEstimateResult": _estimate(_US_FEES, "ASIN", "B00V5DG6IQ")}}

FEE_CASES = (
    *(
        case
        for operation in ("getMyFeesEstimateForSKU", "getMyFeesEstimateForASIN")
        for case in (
            StaticCase(operation, {}, _ONE_ESTIMATE, body={"FeesEstimateRequest": _US_FEES}),
            StaticCase(
                operation,
                body={"FeesEstimateRequest": {"MarketplaceId": "WRNGMRKTPLCE"}},
                error=BAD_MARKETPLACE,
            ),
        )
    ),
    StaticCase(
        "getMyFeesEstimates",
        {},
        [_estimate(_US_FEES, "ASIN", "asin123"), _estimate(_MEXICAN_FEES, "SellerSKU", "sku123")],
        body=[
            {"FeesEstimateRequest": _US_FEES, "IdType": "ASIN", "IdValue": "asin123"},
            {"FeesEstimateRequest": _MEXICAN_FEES, "IdType": "SellerSKU", "IdValue": "sku123"},
        ],
    ),
    StaticCase(
        "getMyFeesEstimates",
        body=[
            {
                "FeesEstimateRequest": _UNKNOWN_MARKETPLACE_FEES,
                "IdType": "ASIN",
                "IdValue": "asin123",
            }
        ],
        error=BAD_MARKETPLACE,
    ),
)

# Tokens -----------------------------------------------------------------------------------------

_TARGET = "amzn1.sellerapps.app.target-application"


def _token(method: str, path: str, **more: str) -> dict[str, object]:
    """The request body of a restricted data token."""
    return {**more, "restrictedResources": [{"method": method, "path": path}]}


TOKEN_CASES = (
    StaticCase(
        "createRestrictedDataToken",
        {},
        {
            "restrictedDataToken": "Atz.sprdt|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
            "expiresIn": 3600,
        },
        body=_token("GET", "/orders/v0/orders/{orderId}/address", targetApplication=_TARGET),
    ),
    StaticCase(
        "createRestrictedDataToken",
        {},
        {
            "restrictedDataToken": "Atz.sprdt|AODFNESLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
            "expiresIn": 3600,
        },
        body=_token("GET", "/orders/v0/orders/943-12-123434/address"),
    ),
    StaticCase(
        "createRestrictedDataToken",
        body=_token("", "/orders/v1/orders/902-1845936-5435065/address", targetApplication=_TARGET),
        error=NO_RESOURCE,
    ),
)
