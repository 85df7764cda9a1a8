"""An honest seller's answers: three records of each dataset, on one page each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import msgspec

US = "ATVPDKIKX0DER"
#: How many records each dataset has.
RECORDS = 3

RETURNS = "GET_FBA_FULFILLMENT_CUSTOMER_RETURNS_DATA"
"""The report type whose calls are hostile: one type is one dataset."""

OPERATIONS = {
    "token": None,
    "getMarketplaceParticipations": None,
    "searchOrders": "orders",
    "getInventorySummaries": "inventory",
    "listTransactions": "transactions",
    "getShipments": "shipments",
    "getShipmentItems": "shipments",
    "getReports": "returns",
    "createReport": "returns",
    "getReport": "returns",
    "getReportDocument": "returns",
    "download": "returns",
}
"""Each operation with its dataset; None: it belongs to the connection."""


class Call(msgspec.Struct, frozen=True):
    """One request to the API."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def case(self) -> str:
        """The seller, from the access token, the refresh token or the path of a document."""
        if self.path == "/auth/o2/token":
            form = parse_qs(self.body.decode())
            return form.get("refresh_token", [""])[0].removeprefix("Atzr|")
        if self.path.startswith("/documents/"):
            return self.path.split("/")[2]
        return self.headers.get("x-amz-access-token", "")

    @property
    def operation(self) -> str:
        return next((name for prefix, name in _PATHS if self.path.startswith(prefix)), "")

    @property
    def hostile(self) -> bool:
        """Whether a hostile answer applies: of the calls for reports, only to those for RETURNS."""
        match self.operation:
            case "getReports":
                return self.query.get("reportTypes") == [RETURNS]
            case "createReport":
                return RETURNS.encode() in self.body
            case "getReport" | "getReportDocument" | "download":
                return RETURNS in self.path
        return True


def named(call: Call) -> str:
    """The operation of a call, with names of their own for shipment items and single reports."""
    name = call.operation
    if name == "getShipments" and call.path.endswith("/items"):
        return "getShipmentItems"
    if name == "getReports" and call.method == "POST":
        return "createReport"
    if name == "getReports" and call.path != _REPORTS:
        return "getReport"
    return name


_REPORTS = "/reports/2021-06-30/reports"
_PATHS = (
    ("/auth/o2/token", "token"),
    ("/sellers/v1/", "getMarketplaceParticipations"),
    ("/orders/", "searchOrders"),
    ("/fba/inventory/", "getInventorySummaries"),
    ("/finances/", "listTransactions"),
    ("/fba/inbound/v0/shipmentItems", "getShipmentItems"),
    ("/fba/inbound/", "getShipments"),
    (_REPORTS, "getReports"),
    ("/reports/2021-06-30/documents", "getReportDocument"),
    ("/documents/", "download"),
)


def moment(**ago: float) -> str:
    """A time in the past in Amazon's format."""
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def answer(call: Call, address: str) -> bytes:
    """The body of the honest answer (200 or 202). Documents are downloaded from `address`."""
    body = _MAKERS[named(call)](call, address)
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def _token(call: Call, _: str) -> Any:
    return {"access_token": call.case, "token_type": "bearer", "expires_in": 3600}


def _participations(_: Call, __: str) -> Any:
    marketplace = {"id": US, "countryCode": "US", "name": "Amazon.com", "domainName": "amazon.com"}
    participation = {"isParticipating": True, "hasSuspendedListings": False}
    return {
        "payload": [
            {"marketplace": marketplace, "participation": participation, "storeName": "A store"}
        ]
    }


def _orders(_: Call, __: str) -> Any:
    return {"orders": [_order(number) for number in range(RECORDS)], "pagination": {}}


def _order(number: int) -> Any:
    return {
        "orderId": f"111-0000000-000000{number}",
        "createdTime": moment(days=3, hours=number),
        "lastUpdatedTime": moment(days=2, hours=number),
        "salesChannel": {"channelName": "AMAZON", "marketplaceId": US},
        "fulfillment": {"fulfillmentStatus": "SHIPPED", "fulfilledBy": "AMAZON"},
        "orderItems": [
            {
                "orderItemId": f"item-{number}",
                "quantityOrdered": 1,
                "product": {"asin": "B000000001", "sellerSku": "SKU-1", "title": "A thing"},
            }
        ],
    }


def _inventory(_: Call, __: str) -> Any:
    summaries = [
        {
            "sellerSku": f"SKU-{number}",
            "fnSku": f"X00{number}",
            "asin": "B000000001",
            "productName": f"Thing {number}",
            "totalQuantity": 5,
        }
        for number in range(RECORDS)
    ]
    granularity = {"granularityType": "Marketplace", "granularityId": US}
    return {
        "payload": {"granularity": granularity, "inventorySummaries": summaries},
        "pagination": {},
    }


def _transactions(call: Call, _: str) -> Any:
    transactions = [
        {
            "sellingPartnerMetadata": {"sellingPartnerId": f"A{call.case}", "marketplaceId": US},
            "transactionId": f"transaction-{number}",
            "transactionType": "Shipment",
            "transactionStatus": "RELEASED",
            "postedDate": moment(days=3, hours=number),
            "totalAmount": {"currencyCode": "USD", "currencyAmount": 10.5},
            "relatedIdentifiers": [
                {
                    "relatedIdentifierName": "ORDER_ID",
                    "relatedIdentifierValue": f"111-0000000-000000{number}",
                }
            ],
        }
        for number in range(RECORDS)
    ]
    return {"payload": {"transactions": transactions}}


def _shipments(_: Call, __: str) -> Any:
    shipments = [
        {
            "ShipmentId": f"FBA0000{number}",
            "ShipmentName": f"Shipment {number}",
            "ShipmentStatus": "CLOSED",
            "DestinationFulfillmentCenterId": "PHX7",
        }
        for number in range(RECORDS)
    ]
    return {"payload": {"ShipmentData": shipments}}


def _items(call: Call, _: str) -> Any:
    shipment = call.path.split("/")[-2]
    item = {
        "ShipmentId": shipment,
        "SellerSKU": "SKU-1",
        "FulfillmentNetworkSKU": "X001",
        "QuantityShipped": 4,
        "QuantityReceived": 4,
    }
    return {"payload": {"ItemData": [item]}}


def _listed(_: Call, __: str) -> Any:
    return {"reports": []}


def _created(call: Call, _: str) -> Any:
    return {"reportId": msgspec.json.decode(call.body)["reportType"]}


def _report(call: Call, _: str) -> Any:
    kind = call.path.rsplit("/", 1)[-1]
    return {
        "reportId": kind,
        "reportType": kind,
        "processingStatus": "DONE",
        "reportDocumentId": kind,
        "createdTime": moment(minutes=1),
        "processingStartTime": moment(minutes=1),
        "processingEndTime": moment(seconds=1),
        "dataStartTime": moment(days=400),
        "dataEndTime": moment(seconds=0),
        "marketplaceIds": [US],
    }


def _document(call: Call, address: str) -> Any:
    kind = call.path.rsplit("/", 1)[-1]
    return {"reportDocumentId": kind, "url": f"{address}/documents/{call.case}/{kind}"}


def _download(call: Call, _: str) -> bytes:
    kind = call.path.rsplit("/", 1)[-1]
    rows = [
        {
            column: cell.format(number=number, day=moment(days=5, hours=number))
            for column, cell in _COLUMNS[kind].items()
        }
        for number in range(RECORDS)
    ]
    lines = ["\t".join(_COLUMNS[kind]), *("\t".join(row.values()) for row in rows)]
    return "\n".join([*lines, ""]).encode()


_MAKERS = {
    "token": _token,
    "getMarketplaceParticipations": _participations,
    "searchOrders": _orders,
    "getInventorySummaries": _inventory,
    "listTransactions": _transactions,
    "getShipments": _shipments,
    "getShipmentItems": _items,
    "getReports": _listed,
    "createReport": _created,
    "getReport": _report,
    "getReportDocument": _document,
    "download": _download,
}

_COLUMNS: dict[str, dict[str, str]] = {
    RETURNS: {
        "return-date": "{day}",
        "order-id": "111-0000000-000000{number}",
        "sku": "SKU-1",
        "asin": "B000000001",
        "fnsku": "X001",
        "quantity": "1",
        "detailed-disposition": "SELLABLE",
        "license-plate-number": "LPN{number}",
    },
    "GET_FBA_REIMBURSEMENTS_DATA": {
        "approval-date": "{day}",
        "reimbursement-id": "80{number}",
        "reason": "Lost_Warehouse",
        "sku": "SKU-1",
        "fnsku": "X001",
        "currency-unit": "USD",
        "amount-total": "5.00",
        "quantity-reimbursed-total": "1",
    },
    "GET_LEDGER_DETAIL_VIEW_DATA": {
        "Date": "01/0{number}/2026",
        "FNSKU": "X001",
        "ASIN": "B000000001",
        "MSKU": "SKU-1",
        "Event Type": "Receipts",
        "Reference ID": "FBA0000{number}",
        "Quantity": "1",
        "Disposition": "SELLABLE",
        "Reason": "",
    },
    "GET_FBA_FULFILLMENT_REMOVAL_ORDER_DETAIL_DATA": {
        "request-date": "{day}",
        "order-id": "removal-{number}",
        "order-type": "Return",
        "sku": "SKU-1",
        "fnsku": "X001",
        "disposition": "Unsellable",
        "disposed-quantity": "0",
    },
    "GET_FBA_FULFILLMENT_REMOVAL_SHIPMENT_DETAIL_DATA": {
        "request-date": "{day}",
        "order-id": "removal-{number}",
        "shipment-date": "{day}",
        "sku": "SKU-1",
        "fnsku": "X001",
        "disposition": "Unsellable",
        "shipped-quantity": "1",
        "removal-order-type": "Return",
    },
    "GET_FBA_FULFILLMENT_CUSTOMER_SHIPMENT_REPLACEMENT_DATA": {
        "shipment-date": "{day}",
        "sku": "SKU-1",
        "asin": "B000000001",
        "quantity": "1",
        "replacement-amazon-order-id": "115-0000000-000000{number}",
        "original-amazon-order-id": "111-0000000-000000{number}",
    },
    "GET_FBA_STORAGE_FEE_CHARGES_DATA": {
        "fnsku": "X00{number}",
        "fulfillment_center": "PHL7",
        "country_code": "US",
        "average_quantity_on_hand": "1.00",
        "month_of_charge": "2026-01",
        "currency": "USD",
        "estimated_monthly_storage_fee": "0.20",
    },
    "GET_FBA_ESTIMATED_FBA_FEES_TXT_DATA": {
        "sku": "SKU-{number}",
        "fnsku": "X00{number}",
        "amazon-store": "US",
        "currency": "USD",
        "estimated-fee-total": "3.00",
    },
    "GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA": {
        "sku": "SKU-{number}",
        "fnsku": "X00{number}",
        "asin": "B000000001",
        "condition": "New",
        "afn-total-quantity": "5",
    },
    "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL": {
        "amazon-order-id": "111-0000000-000000{number}",
        "purchase-date": "{day}",
        "last-updated-date": "{day}",
        "order-status": "Shipped",
        "fulfillment-channel": "Amazon",
        "sales-channel": "Amazon.com",
        "sku": "SKU-1",
        "quantity": "1",
    },
}
