"""Amazon's own static sandbox: an answer for a few literal requests, and a refusal for all others.

What it wants is written on the pages of the official models; here are the cases of the operations
that this sandbox has. Parameters that a pattern does not name do no harm.
"""

from collections.abc import Mapping

import msgspec

from connectors.amazon.sandbox.answers import Answered, Refused, invalid

_US = "ATVPDKIKX0DER"


class Pattern(msgspec.Struct, frozen=True):
    """A case: the parameters (of path and query) that must have these values, and the answer.

    `body` are fields that the request's body must have.
    """

    operation: str
    parameters: Mapping[str, str]
    answer: object
    body: Mapping[str, object] = {}
    status: int = 200


def answer(operation: str, parameters: Mapping[str, str], body: bytes) -> object:
    """The answer to the first case that fits."""
    fields = _fields(body)
    for each in PATTERNS:
        if (
            each.operation == operation
            and each.parameters.items() <= parameters.items()
            and all(fields.get(name) == value for name, value in each.body.items())
        ):
            if each.status >= 400:
                raise Refused(each.status, "InvalidInput", "Invalid Input")
            return Answered(each.status, each.answer)
    raise invalid("Could not match input arguments")


def _fields(body: bytes) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


_PARTICIPATIONS = {
    "payload": [
        {
            "marketplace": {
                "id": _US,
                "countryCode": "US",
                "name": "Amazon.com",
                "defaultCurrencyCode": "USD",
                "defaultLanguageCode": "en_US",
                "domainName": "www.amazon.com",
            },
            "storeName": "BestSellerStore",
            "participation": {"isParticipating": True, "hasSuspendedListings": False},
        }
    ]
}

_ORDER = {
    "AmazonOrderId": "902-1845936-5435065",
    "PurchaseDate": "1970-01-19T03:58:30Z",
    "LastUpdateDate": "1970-01-19T03:58:32Z",
    "OrderStatus": "Unshipped",
    "FulfillmentChannel": "MFN",
    "MarketplaceId": _US,
}

_ORDER_ITEMS = {
    "AmazonOrderId": "902-1845936-5435065",
    "OrderItems": [
        {
            "ASIN": "B00551Q3CS",
            "OrderItemId": "05015851154158",
            "SellerSKU": "NABetaASINB00551Q3CS",
            "QuantityOrdered": 1,
            "QuantityShipped": 0,
            "ProductInfo": {"NumberOfItems": "1"},
            "ItemPrice": {"CurrencyCode": "USD", "Amount": "10.00"},
            "IsGift": "false",
        }
    ],
}

_REPORT = {
    "reportId": "ID323",
    "reportType": "FEE_DISCOUNTS_REPORT",
    "dataStartTime": "2024-03-11T13:47:20.677Z",
    "dataEndTime": "2024-03-12T13:47:20.677Z",
    "createdTime": "2024-03-10T13:47:20.677Z",
    "processingStatus": "IN_PROGRESS",
    "processingStartTime": "2024-03-10T13:47:20.677Z",
    "processingEndTime": "2024-03-12T13:47:20.677Z",
}

_DOCUMENT_ID = "0356cf79-b8b0-4226-b4b9-0ee058ea5760"

_TYPE = {"reportTypes": "FEE_DISCOUNTS_REPORT,GET_AFN_INVENTORY_DATA"}

_TRANSACTION = {
    "transactionType": "Shipment",
    "transactionId": "b1qD0oAliFkLiqRyGbmeT0DoS2Z2kHzi7TZ92z-vARI",
    "transactionStatus": "Released",
    "postedDate": "2020-07-14T03:35:13.214Z",
    "totalAmount": {"currencyCode": "USD", "currencyAmount": 10},
}

# Inventory has no static cases any more: it starts empty.
_INVENTORY = {
    "payload": {
        "granularity": {"granularityType": "Marketplace", "granularityId": _US},
        "inventorySummaries": [],
    }
}


def _searched(marketplace: str) -> Pattern:
    order = {
        "orderId": "902-1845936-5435065",
        "createdTime": "2024-12-25T08:00:00Z",
        "lastUpdatedTime": "2024-12-25T09:00:00Z",
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": marketplace},
        "orderItems": [
            {
                "orderItemId": "05015851154158",
                "quantityOrdered": 1,
                "product": {"asin": "B00551Q3CS", "sellerSku": "NABetaASINB00551Q3CS"},
            }
        ],
    }
    return Pattern("searchOrders", {"marketplaceIds": marketplace}, {"orders": [order]})


PATTERNS = (
    # There are cases of Japan, the United Kingdom and Brazil, but none of the United States.
    *map(_searched, ("A1VC38T7YXB528", "A1F83G8C2ARO7P", "A2Q3Y263D00KWC")),
    Pattern("getInventorySummaries", {"granularityType": "Marketplace"}, _INVENTORY),
    # It answers only to a token, though there was no page before.
    Pattern(
        "listTransactions",
        {"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"},
        {"payload": {"transactions": [_TRANSACTION]}},
    ),
    Pattern(
        "getShipments",
        {"QueryType": "SHIPMENT", "MarketplaceId": _US},
        {"payload": {"ShipmentData": []}},
    ),
    Pattern("getMarketplaceParticipations", {}, _PARTICIPATIONS),
    Pattern(
        "getOrders",
        {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": _US},
        {"payload": {"CreatedBefore": "1.569521782042E9", "Orders": [_ORDER]}},
    ),
    Pattern(
        "getOrders",
        {"CreatedAfter": "TEST_CASE_400", "MarketplaceIds": _US},
        None,
        status=400,
    ),
    Pattern("getOrderV0", {"orderId": "TEST_CASE_200"}, {"payload": _ORDER}),
    Pattern("getOrderV0", {"orderId": "TEST_CASE_400"}, None, status=400),
    Pattern("getOrderItems", {"orderId": "TEST_CASE_200"}, {"payload": _ORDER_ITEMS}),
    Pattern("getOrderItems", {"orderId": "TEST_CASE_400"}, None, status=400),
    Pattern(
        "createReport",
        {},
        {"reportId": "ID323"},
        body={"reportType": "FEE_DISCOUNTS_REPORT"},
        status=202,
    ),
    Pattern("getReports", _TYPE, {"reports": [_REPORT], "nextToken": "VGhpcyB0b2tlbiBpcyBvcGFx"}),
    Pattern("getReport", {"reportId": "ID323"}, _REPORT),
    Pattern("cancelReport", {"reportId": "ID"}, {}),
    Pattern(
        "getReportDocument",
        {"reportDocumentId": _DOCUMENT_ID},
        {"reportDocumentId": _DOCUMENT_ID, "url": "https://documents.example/Report.xml"},
    ),
)
