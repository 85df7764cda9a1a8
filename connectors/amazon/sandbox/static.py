"""Amazon's own static sandbox: an answer for a few literal requests, and a refusal for all others.

What it wants is written in the official models, under `x-amzn-api-sandbox`; here are the cases of
the operations that this sandbox has, with answers of the same shape. Parameters that a pattern does
not name do no harm.
"""

from collections.abc import Mapping

import msgspec

from connectors.amazon.sandbox.answers import Answered, Refused, invalid

_US, _UK, _JAPAN, _BRAZIL, _GERMANY = (
    "ATVPDKIKX0DER",
    "A1F83G8C2ARO7P",
    "A1VC38T7YXB528",
    "A2Q3Y263D00KWC",
    "A1PA6795UKMFR9",
)


class Pattern(msgspec.Struct, frozen=True):
    """A case: the parameters (of path and query) that must have these values, and the answer.

    `body` are fields that the request's body must have. `code` is that of a refusal.
    """

    operation: str
    parameters: Mapping[str, str]
    answer: object
    body: Mapping[str, object] = {}
    status: int = 200
    code: str = "InvalidInput"


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
                raise Refused(each.status, each.code, "Invalid Input", "Invalid Input")
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

# The number of the report that is got is not the one that was given.
_REPORT = {
    "reportId": "ReportId1",
    "reportType": "FEE_DISCOUNTS_REPORT",
    "dataStartTime": "2024-03-11T13:47:20.677Z",
    "dataEndTime": "2024-03-12T13:47:20.677Z",
    "createdTime": "2024-03-10T13:47:20.677Z",
    "processingStatus": "IN_PROGRESS",
    "processingStartTime": "2024-03-10T13:47:20.677Z",
    "processingEndTime": "2024-03-12T13:47:20.677Z",
}

_DOCUMENT_ID = "0356cf79-b8b0-4226-b4b9-0ee058ea5760"

_ORDERED = {
    "dataStartTime": "2024-03-10T20:11:24.000Z",
    "marketplaceIds": [_GERMANY, _US],
}

_TYPES = {"reportTypes": "FEE_DISCOUNTS_REPORT,GET_AFN_INVENTORY_DATA"}

# It has no id.
_TRANSACTION = {
    "sellingPartnerMetadata": {"accountType": "PAYABLE", "marketplaceId": "ATIV93840DER"},
    "relatedIdentifiers": [
        {"relatedIdentifierName": "ORDER_ID", "relatedIdentifierValue": "8129762527551"}
    ],
    "transactionType": "Shipment",
    "postedDate": "2020-07-14T03:35:13.214Z",
    "totalAmount": {"currencyAmount": 10, "currencyCode": "USD"},
}

_SHIPMENT = {
    "ShipmentId": "FBA15DJ9S3J5",
    "ShipmentName": "FBA (2/11/20, 11:18 AM) - 1",
    "ShipFromAddress": {
        "Name": "A seller",
        "AddressLine1": "1 Example Street",
        "City": "Seattle",
        "StateOrProvinceCode": "WA",
        "CountryCode": "US",
        "PostalCode": "98101",
    },
    "DestinationFulfillmentCenterId": "MKC6",
    "ShipmentStatus": "SHIPPED",
    "LabelPrepType": "SELLER_LABEL",
    "AreCasesRequired": False,
    "BoxContentsSource": "INTERACTIVE",
}

# Of another shipment than the one that was asked for.
_SHIPMENT_ITEM = {
    "ShipmentId": "FBA15DF2763D",
    "SellerSKU": "CR-47K6-H6QN",
    "FulfillmentNetworkSKU": "X0014BIZ8T",
    "QuantityShipped": 4,
    "QuantityReceived": 0,
    "QuantityInCase": 0,
}

# Inventory has no static cases any more: it starts empty.
_INVENTORY = {
    "payload": {
        "granularity": {"granularityType": "Marketplace", "granularityId": _US},
        "inventorySummaries": [],
    }
}

_PERSONS = "BUYER,RECIPIENT,PROCEEDS"
_WHOLE_ORDER = f"{_PERSONS},EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES"


def _found(
    order_id: str, marketplace: str, created: str, updated: str, token: str = ""
) -> dict[str, object]:
    """The answer of searchOrders: one order, and perhaps the token of a page that never comes."""
    order = {
        "orderId": order_id,
        "createdTime": created,
        "lastUpdatedTime": updated,
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": marketplace},
        "orderItems": [
            {
                "orderItemId": order_id.replace("-", ""),
                "quantityOrdered": 1,
                "product": {"asin": "B00551Q3CS", "sellerSku": "NABetaASINB00551Q3CS"},
            }
        ],
    }
    return {"orders": [order], **({"pagination": {"nextToken": token}} if token else {})}


PATTERNS = (
    # There are cases of Japan, the United Kingdom and Brazil, but none of the United States.
    Pattern(
        "searchOrders",
        {
            "createdAfter": "2024-12-25T00:00:00Z",
            "marketplaceIds": _JAPAN,
            "includedData": _WHOLE_ORDER,
        },
        _found(
            "250-1234567-8901234",
            _JAPAN,
            "2024-12-25T02:30:00Z",
            "2024-12-25T06:45:00Z",
            "2YgYW55IGNhcm5hbCBwbGVhc3VyZS4",
        ),
    ),
    Pattern(
        "searchOrders",
        {
            "createdAfter": "2024-12-23T00:00:00Z",
            "marketplaceIds": _UK,
            "includedData": _WHOLE_ORDER,
            "paginationToken": "9ZhB4RmVyc2lvbiAxLjAgb2YgdGhl",
        },
        _found("202-7654321-1098765", _UK, "2024-12-24T14:20:00Z", "2024-12-24T18:45:00Z"),
    ),
    Pattern(
        "searchOrders",
        {
            "createdAfter": "2024-12-20T00:00:00Z",
            "marketplaceIds": _BRAZIL,
            "includedData": f"{_PERSONS},FULFILLMENT,TAX,PAYMENT",
        },
        _found("171-2345678-9012345", _BRAZIL, "2024-12-22T15:30:00Z", "2024-12-23T10:00:00Z"),
    ),
    Pattern("searchOrders", {"createdAfter": "TEST_CASE_400"}, None, status=400),
    Pattern("getInventorySummaries", {"granularityType": "Marketplace"}, _INVENTORY),
    # It answers only to a token, though there was no page before.
    Pattern(
        "listTransactions",
        {"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"},
        {"payload": {"transactions": [_TRANSACTION], "nextToken": "Next token value"}},
    ),
    Pattern("listTransactions", {"postedBefore": "2022-03-07"}, None, status=400),
    Pattern(
        "getShipments",
        {"QueryType": "SHIPMENT", "MarketplaceId": _US},
        {"payload": {"ShipmentData": [_SHIPMENT], "NextToken": "AAAAAAAAAADwtRhfSFJX="}},
    ),
    Pattern(
        "getShipmentItemsByShipmentId",
        {"shipmentId": "FBA15DJ9SVVD", "MarketplaceId": _US},
        {"payload": {"ItemData": [_SHIPMENT_ITEM], "NextToken": "AAAAAAAAAABtqoY6CcWi="}},
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
        body={"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", **_ORDERED},
        status=202,
    ),
    Pattern(
        "createReport",
        {},
        None,
        body={"reportType": "BAD_FEE_DISCOUNTS_REPORT", **_ORDERED},
        status=400,
        code="400",
    ),
    Pattern(
        "getReports",
        {**_TYPES, "processingStatuses": "IN_QUEUE,IN_PROGRESS"},
        {"reports": [_REPORT], "nextToken": "VGhpcyB0b2tlbiBpcyBvcGFx"},
    ),
    Pattern(
        "getReports",
        {**_TYPES, "processingStatuses": "BAD_VALUE,IN_PROGRESS"},
        None,
        status=400,
        code="400",
    ),
    Pattern("getReport", {"reportId": "ID323"}, _REPORT),
    Pattern("getReport", {"reportId": "badReportId1"}, None, status=400, code="400"),
    Pattern("cancelReport", {"reportId": "ID"}, {}),
    Pattern(
        "getReportDocument",
        {"reportDocumentId": _DOCUMENT_ID},
        {"reportDocumentId": _DOCUMENT_ID, "url": "https://documents.example/Report.txt"},
    ),
    Pattern(
        "getReportDocument",
        {"reportDocumentId": "badDocumentId1"},
        None,
        status=400,
        code="400",
    ),
)
