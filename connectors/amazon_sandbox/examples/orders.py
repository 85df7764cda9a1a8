"""Cases of Sellers v1, Orders 2026-01-01 and v0, FBA Inventory v1 and Finances 2024-06-19."""

from connectors.amazon_sandbox.examples.case import (
    BRAZIL,
    GERMANY,
    INVALID,
    JAPAN,
    NO_START,
    TURKEY,
    UK,
    US,
    StaticCase,
)

_PARTICIPATIONS = {
    "payload": [
        {
            "marketplace": {
                "id": US,
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

_ACCOUNT = {
    "payload": {
        "marketplaceParticipationList": _PARTICIPATIONS["payload"],
        "businessType": "PRIVATE_LIMITED",
        "sellingPlan": "PROFESSIONAL",
        "business": {
            "name": "BestSeller Inc.",
            "registeredBusinessAddress": {
                "addressLine1": "1 Example Street",
                "city": "Seattle",
                "stateOrProvinceCode": "WA",
                "postalCode": "98101",
                "countryCode": "US",
            },
            "companyRegistrationNumber": "123456789",
        },
    }
}

_ORDER = {
    "AmazonOrderId": "902-1845936-5435065",
    "PurchaseDate": "1970-01-19T03:58:30Z",
    "LastUpdateDate": "1970-01-19T03:58:32Z",
    "OrderStatus": "Unshipped",
    "FulfillmentChannel": "MFN",
    "MarketplaceId": US,
}

_SECOND_ORDER = {**_ORDER, "AmazonOrderId": "902-8745147-1934268"}

_ORDERS_NEXT = "2YgYW55IGNhcm5hbCBwbGVhc3VyZS4"

_PENDING = {
    "AmazonOrderId": "902-3159896-1390916",
    "PurchaseDate": "2017-01-20T19:49:35Z",
    "LastUpdateDate": "2017-01-20T19:49:35Z",
    "OrderStatus": "Pending",
    "FulfillmentChannel": "SellerFulfilled",
    "MarketplaceId": US,
}

_INVOICED = {
    "AmazonOrderId": "921-3175655-0452641",
    "PurchaseDate": "2019-05-07T15:42:57.058Z",
    "LastUpdateDate": "2019-05-08T21:59:59Z",
    "OrderStatus": "Shipped",
    "FulfillmentChannel": "AFN",
    "SalesChannel": "Amazon.de",
    "MarketplaceId": GERMANY,
    "IsIBA": True,
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

# Amazon's example has no transaction id.
_TRANSACTION = {
    "sellingPartnerMetadata": {"accountType": "PAYABLE", "marketplaceId": "ATIV93840DER"},
    "relatedIdentifiers": [
        {"relatedIdentifierName": "ORDER_ID", "relatedIdentifierValue": "8129762527551"}
    ],
    "transactionType": "Shipment",
    "postedDate": "2020-07-14T03:35:13.214Z",
    "totalAmount": {"currencyAmount": 10, "currencyCode": "USD"},
}

# Inventory no longer has static cases; its dynamic sandbox starts empty.
_INVENTORY = {
    "payload": {
        "granularity": {"granularityType": "Marketplace", "granularityId": US},
        "inventorySummaries": [],
    }
}

_PERSONAL_DATA = "BUYER,RECIPIENT,PROCEEDS"
_WHOLE_ORDER = f"{_PERSONAL_DATA},EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES"


_CHRISTMAS = ("2024-12-24T20:30:00Z", "2024-12-25T08:15:00Z")
_MARCH_15 = ("2025-03-15T10:30:00Z", "2025-03-15T14:20:00Z")
_MARCH_10 = ("2025-03-10T14:00:00Z", "2025-03-10T14:30:00Z")


def _order(order_id: str, marketplace: str, created: str, updated: str) -> dict[str, object]:
    return {
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


def _page(
    order_id: str, marketplace: str, created: str, updated: str, token: str = ""
) -> dict[str, object]:
    """A response of searchOrders with one order, and optionally a token without a next page."""
    orders = [_order(order_id, marketplace, created, updated)]
    return {"orders": orders, **({"pagination": {"nextToken": token}} if token else {})}


ORDER_CASES = (
    # Cases exist for Japan, the United Kingdom and Brazil, but not for the United States.
    StaticCase(
        "searchOrders",
        {
            "createdAfter": "2024-12-25T00:00:00Z",
            "marketplaceIds": JAPAN,
            "includedData": _WHOLE_ORDER,
        },
        _page(
            "250-1234567-8901234",
            JAPAN,
            "2024-12-25T02:30:00Z",
            "2024-12-25T06:45:00Z",
            "2YgYW55IGNhcm5hbCBwbGVhc3VyZS4",
        ),
    ),
    StaticCase(
        "searchOrders",
        {
            "createdAfter": "2024-12-23T00:00:00Z",
            "marketplaceIds": UK,
            "includedData": _WHOLE_ORDER,
            "paginationToken": "9ZhB4RmVyc2lvbiAxLjAgb2YgdGhl",
        },
        _page("202-7654321-1098765", UK, "2024-12-24T14:20:00Z", "2024-12-24T18:45:00Z"),
    ),
    StaticCase(
        "searchOrders",
        {
            "createdAfter": "2024-12-20T00:00:00Z",
            "marketplaceIds": BRAZIL,
            "includedData": f"{_PERSONAL_DATA},FULFILLMENT,TAX,PAYMENT",
        },
        _page("171-2345678-9012345", BRAZIL, "2024-12-22T15:30:00Z", "2024-12-23T10:00:00Z"),
    ),
    StaticCase("searchOrders", {"createdAfter": "TEST_CASE_400"}, error=INVALID),
    *(
        StaticCase(
            "getOrder",
            {"orderId": order_id, "includedData": included},
            {"order": _order(order_id, marketplace, created, updated)},
        )
        for order_id, marketplace, created, updated, included in (
            ("171-9876543-2109876", BRAZIL, *_CHRISTMAS, _WHOLE_ORDER),
            ("028-1234567-8901234", TURKEY, *_MARCH_15, f"{_PERSONAL_DATA},FULFILLMENT,TAX"),
            ("114-9876543-1234567", US, *_MARCH_10, "RECIPIENT,PROCEEDS,FULFILLMENT"),
        )
    ),
    StaticCase(
        "getOrder", {"orderId": "TEST_CASE_400"}, error=("InvalidInput", "Invalid Input", "")
    ),
    StaticCase("getInventorySummaries", {"granularityType": "Marketplace"}, _INVENTORY),
    # The case requires a token although no page precedes it.
    StaticCase(
        "listTransactions",
        {"postedAfter": "2023-03-07", "nextToken": "jehgri34yo7jr9e8f984tr9i4o"},
        {"payload": {"transactions": [_TRANSACTION], "nextToken": "Next token value"}},
    ),
    StaticCase("listTransactions", {"postedBefore": "2022-03-07"}, error=NO_START),
    StaticCase("getMarketplaceParticipations", {}, _PARTICIPATIONS),
    # The error case of getAccount has no parameters either, so it is unreachable.
    StaticCase("getAccount", {}, _ACCOUNT),
    StaticCase(
        "getOrders",
        {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US},
        {"payload": {"CreatedBefore": "1.569521782042E9", "Orders": [_ORDER, _SECOND_ORDER]}},
    ),
    StaticCase(  # the second page, which has the same order
        "getOrders",
        {
            "CreatedAfter": "TEST_CASE_200_NEXT_TOKEN",
            "MarketplaceIds": US,
            "NextToken": _ORDERS_NEXT,
        },
        {"payload": {"Orders": [_PENDING]}},
    ),
    StaticCase(
        "getOrders",
        {"CreatedAfter": "TEST_CASE_200_NEXT_TOKEN", "MarketplaceIds": US},
        {"payload": {"NextToken": _ORDERS_NEXT, "Orders": [_PENDING]}},
    ),
    StaticCase("getOrders", {"CreatedAfter": "TEST_CASE_400"}, error=INVALID),
    StaticCase("getOrderV0", {"orderId": "TEST_CASE_200"}, {"payload": _ORDER}),
    StaticCase("getOrderV0", {"orderId": "TEST_CASE_IBA_200"}, {"payload": _INVOICED}),
    StaticCase("getOrderV0", {"orderId": "TEST_CASE_400"}, error=INVALID),
    StaticCase("getOrderItems", {"orderId": "TEST_CASE_200"}, {"payload": _ORDER_ITEMS}),
    StaticCase("getOrderItems", {"orderId": "TEST_CASE_400"}, error=INVALID),
)
