"""The published cases of Amazon's static sandbox, for each operation of this sandbox: the request,
and values that identify the response.

Source: `x-amzn-api-sandbox` in github.com/amzn/selling-partner-api-models.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.examples import CASES
from connectors.amazon_sandbox.operations import NAMES, OPERATIONS

from .bench import Bench

pytestmark = pytest.mark.anyio

US, UK, JAPAN, BRAZIL = "ATVPDKIKX0DER", "A1F83G8C2ARO7P", "A1VC38T7YXB528", "A2Q3Y263D00KWC"
GERMANY, MEXICO = "A1PA6795UKMFR9", "A1AM78C64UM0Y8"
PERSONAL_DATA = "BUYER,RECIPIENT,PROCEEDS"
WHOLE_ORDER = f"{PERSONAL_DATA},EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES"
TARGET = "amzn1.sellerapps.app.target-application"
DOCUMENT = "0356cf79-b8b0-4226-b4b9-0ee058ea5760"


class Published(msgspec.Struct, frozen=True):
    operation: str
    #: Of path and query.
    parameters: Mapping[str, str]
    #: By path in the JSON of the response.
    values: Mapping[str, object]
    status: int = 200
    body: object = None


def ok(operation: str, parameters: Mapping[str, str], **more: Any) -> Published:
    """A request that succeeds. `more` are further fields of `Published`."""
    return Published(operation, parameters, **more)


def rejected(
    operation: str, parameters: Mapping[str, str], code: str, message: str, body: object = None
) -> Published:
    values = {"errors.0.code": code, "errors.0.message": message}
    return Published(operation, parameters, values, 400, body)


def price(marketplace: str, currency: str, by_amazon: bool, identifier: str) -> dict[str, object]:
    ten, none = ({"CurrencyCode": currency, "Amount": amount} for amount in (10, 0))
    points = {"PointsNumber": 0, "PointsMonetaryValue": none}
    return {
        "MarketplaceId": marketplace,
        "IsAmazonFulfilled": by_amazon,
        "PriceToEstimateFees": {"ListingPrice": ten, "Shipping": ten, "Points": points},
        "Identifier": identifier,
    }


def token_request(*parts: str) -> dict[str, object]:
    method, path, *target = parts
    body: dict[str, object] = {"restrictedResources": [{"method": method, "path": path}]}
    return {**body, "targetApplication": target[0]} if target else body


UNKNOWN_MARKETPLACE = ("InvalidInput", "Incorrect Marketplace identifier.")
BAD_REPORT = ("400", "Invalid input")
BAD_SHIPMENT = ("Invalid Input", "Data is invalid. Please check.")
INVALID = ("InvalidInput", "Invalid Input")
REPORT_REQUEST = {"dataStartTime": "2024-03-10T20:11:24.000Z", "marketplaceIds": [GERMANY, US]}
TYPES = {"reportTypes": "FEE_DISCOUNTS_REPORT,GET_AFN_INVENTORY_DATA"}
ITEM = {"payload.ItemData.0.SellerSKU": "CR-47K6-H6QN"}
US_FEES, MEXICAN_FEES = price(US, "USD", False, "UmaS1"), price(MEXICO, "MXN", True, "UmaS2")
NEXT_V0 = "2YgYW55IGNhcm5hbCBwbGVhc3VyZS4"
NEXT_ITEMS = next(
    case.parameters["NextToken"]
    for case in CASES
    if case.operation == "getShipmentItems" and len(case.parameters["NextToken"]) > 100
)
"""An opaque token of 542 characters."""

# fmt: off
PUBLISHED = (
    ok("getMarketplaceParticipations", {}, values={"payload.0.marketplace.id": US}),
    ok("getAccount", {}, values={"payload.business.name": "BestSeller Inc.",
                                "payload.sellingPlan": "PROFESSIONAL"}),
    ok("searchOrders", {"createdAfter": "2024-12-25T00:00:00Z", "marketplaceIds": JAPAN,
                        "includedData": WHOLE_ORDER},
       values={"orders.0.orderId": "250-1234567-8901234", "pagination.nextToken": NEXT_V0}),
    ok("searchOrders", {"createdAfter": "2024-12-23T00:00:00Z", "marketplaceIds": UK,
                        "includedData": WHOLE_ORDER,
                        "paginationToken": "9ZhB4RmVyc2lvbiAxLjAgb2YgdGhl"},
       values={"orders.0.orderId": "202-7654321-1098765"}),
    ok("searchOrders", {"createdAfter": "2024-12-20T00:00:00Z", "marketplaceIds": BRAZIL,
                        "includedData": f"{PERSONAL_DATA},FULFILLMENT,TAX,PAYMENT"},
       values={"orders.0.orderId": "171-2345678-9012345"}),
    rejected("searchOrders", {"createdAfter": "TEST_CASE_400"}, *INVALID),
    ok("getOrder", {"orderId": "171-9876543-2109876", "includedData": WHOLE_ORDER},
       values={"order.orderId": "171-9876543-2109876", "order.salesChannel.marketplaceId": BRAZIL}),
    ok("getOrder", {"orderId": "028-1234567-8901234",
                    "includedData": f"{PERSONAL_DATA},FULFILLMENT,TAX"},
       values={"order.orderId": "028-1234567-8901234",
               "order.createdTime": "2025-03-15T10:30:00Z"}),
    ok("getOrder", {"orderId": "114-9876543-1234567",
                    "includedData": "RECIPIENT,PROCEEDS,FULFILLMENT"},
       values={"order.orderId": "114-9876543-1234567", "order.salesChannel.marketplaceId": US}),
    rejected("getOrder", {"orderId": "TEST_CASE_400"}, *INVALID),
    ok("listTransactions", {"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"},
       values={"payload.nextToken": "Next token value",
               "payload.transactions.0.transactionType": "Shipment"}),
    rejected("listTransactions", {"postedBefore": "2022-03-07"},
             "InvalidInput", "Start date cannot be null"),
    ok("createReport", {}, values={"reportId": "ID323"}, status=202,
       body={"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", **REPORT_REQUEST}),
    rejected("createReport", {}, *BAD_REPORT,
             {"reportType": "BAD_FEE_DISCOUNTS_REPORT", **REPORT_REQUEST}),
    ok("getReports", {**TYPES, "processingStatuses": "IN_QUEUE,IN_PROGRESS"},
       values={"reports.0.reportId": "ReportId1", "nextToken": "VGhpcyB0b2tlbiBpcyBvcGFx"}),
    rejected("getReports", {**TYPES, "processingStatuses": "BAD_VALUE,IN_PROGRESS"}, *BAD_REPORT),
    ok("getReport", {"reportId": "ID323"}, values={"processingStatus": "IN_PROGRESS"}),
    rejected("getReport", {"reportId": "badReportId1"}, *BAD_REPORT),
    ok("cancelReport", {"reportId": "ID"}, values={}),
    rejected("cancelReport", {"reportId": "anything"}, *BAD_REPORT),
    ok("getReportDocument", {"reportDocumentId": DOCUMENT}, values={"reportDocumentId": DOCUMENT}),
    rejected("getReportDocument", {"reportDocumentId": "badDocumentId1"}, *BAD_REPORT),
    ok("getShipments", {"MarketplaceId": US, "QueryType": "SHIPMENT"},
       values={"payload.ShipmentData.0.ShipmentId": "FBA15DJ9S3J5"}),
    rejected("getShipments", {"MarketplaceId": f"BAD{US}", "QueryType": "BADSHIPMENT"},
             *BAD_SHIPMENT),
    ok("getShipmentItemsByShipmentId", {"MarketplaceId": US, "shipmentId": "FBA15DJ9SVVD"},
       values=ITEM),
    rejected("getShipmentItemsByShipmentId",
             {"MarketplaceId": f"BAD{US}", "shipmentId": "BADFBA15DJ9SVVD"}, *BAD_SHIPMENT),
    ok("getShipmentItems", {"MarketplaceId": US, "QueryType": "SHIPMENT", "NextToken": "NextToken"},
       values={**ITEM, "payload.NextToken": NEXT_ITEMS}),
    ok("getShipmentItems", {"MarketplaceId": US, "QueryType": "SHIPMENT", "NextToken": NEXT_ITEMS},
       values={**ITEM, "payload.NextToken": None}),
    rejected("getShipmentItems", {"MarketplaceId": f"BAD{US}", "QueryType": "BADSHIPMENT",
                                 "NextToken": "BADNextToken"}, *BAD_SHIPMENT),
    *(
        case
        for operation, product in (("getMyFeesEstimateForSKU", {"SellerSKU": "a/b"}),
                                   ("getMyFeesEstimateForASIN", {"Asin": "B00V5DG6IQ"}))
        for case in (
            ok(operation, product, body={"FeesEstimateRequest": US_FEES},
               values={"payload.FeesEstimateResult.FeesEstimateIdentifier.IdValue": "B00V5DG6IQ",
                       "payload.FeesEstimateResult.FeesEstimate.TotalFeesEstimate.Amount": 3.0}),
            rejected(operation, product, *UNKNOWN_MARKETPLACE,
                     {"FeesEstimateRequest": {"MarketplaceId": "WRNGMRKTPLCE"}}),
        )
    ),
    ok("getMyFeesEstimates", {},
       values={"0.FeesEstimateIdentifier.IdValue": "asin123",
               "1.FeesEstimate.TotalFeesEstimate.CurrencyCode": "MXN"},
       body=[{"FeesEstimateRequest": US_FEES, "IdType": "ASIN", "IdValue": "asin123"},
             {"FeesEstimateRequest": MEXICAN_FEES, "IdType": "SellerSKU", "IdValue": "sku123"}]),
    rejected("getMyFeesEstimates", {}, *UNKNOWN_MARKETPLACE,
             [{"FeesEstimateRequest": price("INVALIDMARKETPLACEID", "USD", False, "UmaS1"),
              "IdType": "ASIN", "IdValue": "asin123"}]),
    ok("createRestrictedDataToken", {}, values={"expiresIn": 3600},
       body=token_request("GET", "/orders/v0/orders/{orderId}/address", TARGET)),
    ok("createRestrictedDataToken", {}, values={"expiresIn": 3600},
       body=token_request("GET", "/orders/v0/orders/943-12-123434/address")),
    rejected("createRestrictedDataToken", {}, "InvalidRequest",
             "Request is missing or has invalid parameters",
            token_request("", "/orders/v1/orders/902-1845936-5435065/address", TARGET)),
    ok("getOrders", {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US},
       values={"payload.Orders.0.AmazonOrderId": "902-1845936-5435065",
               "payload.Orders.1.AmazonOrderId": "902-8745147-1934268"}),
    ok("getOrders", {"CreatedAfter": "TEST_CASE_200_NEXT_TOKEN", "MarketplaceIds": US},
       values={"payload.NextToken": NEXT_V0}),
    ok("getOrders", {"CreatedAfter": "TEST_CASE_200_NEXT_TOKEN", "MarketplaceIds": US,
                     "NextToken": NEXT_V0},
       values={"payload.NextToken": None, "payload.Orders.0.AmazonOrderId": "902-3159896-1390916"}),
    rejected("getOrders", {"CreatedAfter": "TEST_CASE_400"}, *INVALID),
    ok("getOrderV0", {"orderId": "TEST_CASE_200"},
       values={"payload.AmazonOrderId": "902-1845936-5435065"}),
    ok("getOrderV0", {"orderId": "TEST_CASE_IBA_200"},
       values={"payload.AmazonOrderId": "921-3175655-0452641"}),
    rejected("getOrderV0", {"orderId": "TEST_CASE_400"}, *INVALID),
    ok("getOrderItems", {"orderId": "TEST_CASE_200"},
       values={"payload.OrderItems.0.OrderItemId": "05015851154158"}),
    rejected("getOrderItems", {"orderId": "TEST_CASE_400"}, *INVALID),
)
# fmt: on

WITHOUT_CASES = frozenset({"getInventorySummaries"})
"""Its sandbox has been dynamic since June 2024."""
UNREACHABLE_CASES = 1
"""The error case of getAccount has the same parameters as its success: none."""
NOTIFICATIONS = frozenset(
    operation.name for operation in OPERATIONS if operation.path.startswith("/notifications/")
)
"""Their static cases are not implemented: the connector never calls them."""


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: f"{case.operation}-{case.status}")
async def test_a_published_case_returns_the_published_response(case: Published) -> None:
    bench = Bench(Settings(orders=0, static=True))
    operation = next(operation for operation in OPERATIONS if operation.name == case.operation)
    path, query = operation.path.replace(":path", ""), {}
    for name, value in case.parameters.items():
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", value)
        else:
            query[name] = value
    if operation.method == "GET":
        response = await bench.get(path, query)
    else:
        response = await bench.send(operation.method, path, case.body)
    assert response.status_code == case.status, response.text
    body = response.json() if response.content else {}
    assert {path: at(body, path) for path in case.values} == case.values


def test_every_operation_has_its_published_cases() -> None:
    counts = Counter(case.operation for case in PUBLISHED)
    assert counts.keys() == NAMES - WITHOUT_CASES - NOTIFICATIONS
    assert counts.total() == 48 - UNREACHABLE_CASES


def at(value: Any, path: str) -> object:
    """The value at that path, or None."""
    for step in path.split("."):
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
