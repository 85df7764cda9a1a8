"""Cases of Product Fees v0 and Tokens 2021-03-01."""

from connectors.amazon_sandbox.examples.case import BAD_MARKETPLACE, MEXICO, NO_RESOURCE, US, Case

# Fees -------------------------------------------------------------------------------------------


def _wanted(marketplace: str, currency: str, by_amazon: bool, identifier: str) -> dict[str, object]:
    """A request for an estimate: ten of everything, no points."""
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
    """Three, of whatever is asked; none is said to be fulfilled by Amazon."""
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


_US_FEES = _wanted(US, "USD", False, "UmaS1")
_MEXICAN_FEES = _wanted(MEXICO, "MXN", True, "UmaS2")
_NOWHERE_FEES = _wanted("INVALIDMARKETPLACEID", "USD", False, "UmaS1")

# The answer names an ASIN whichever product was asked for.
_ONE_ESTIMATE = {"payload": {"FeesEstimateResult": _estimate(_US_FEES, "ASIN", "B00V5DG6IQ")}}

FEE_CASES = (
    *(
        case
        for operation in ("getMyFeesEstimateForSKU", "getMyFeesEstimateForASIN")
        for case in (
            Case(operation, {}, _ONE_ESTIMATE, body={"FeesEstimateRequest": _US_FEES}),
            Case(
                operation,
                body={"FeesEstimateRequest": {"MarketplaceId": "WRNGMRKTPLCE"}},
                refusal=BAD_MARKETPLACE,
            ),
        )
    ),
    Case(
        "getMyFeesEstimates",
        {},
        [_estimate(_US_FEES, "ASIN", "asin123"), _estimate(_MEXICAN_FEES, "SellerSKU", "sku123")],
        body=[
            {"FeesEstimateRequest": _US_FEES, "IdType": "ASIN", "IdValue": "asin123"},
            {"FeesEstimateRequest": _MEXICAN_FEES, "IdType": "SellerSKU", "IdValue": "sku123"},
        ],
    ),
    Case(
        "getMyFeesEstimates",
        body=[{"FeesEstimateRequest": _NOWHERE_FEES, "IdType": "ASIN", "IdValue": "asin123"}],
        refusal=BAD_MARKETPLACE,
    ),
)

# Tokens -----------------------------------------------------------------------------------------

_TARGET = "amzn1.sellerapps.app.target-application"


def _token(method: str, path: str, **more: str) -> dict[str, object]:
    """What a restricted token is asked for."""
    return {**more, "restrictedResources": [{"method": method, "path": path}]}


TOKEN_CASES = (
    Case(
        "createRestrictedDataToken",
        {},
        {
            "restrictedDataToken": "Atz.sprdt|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
            "expiresIn": 3600,
        },
        body=_token("GET", "/orders/v0/orders/{orderId}/address", targetApplication=_TARGET),
    ),
    Case(
        "createRestrictedDataToken",
        {},
        {
            "restrictedDataToken": "Atz.sprdt|AODFNESLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSR",
            "expiresIn": 3600,
        },
        body=_token("GET", "/orders/v0/orders/943-12-123434/address"),
    ),
    Case(
        "createRestrictedDataToken",
        body=_token("", "/orders/v1/orders/902-1845936-5435065/address", targetApplication=_TARGET),
        refusal=NO_RESOURCE,
    ),
)
