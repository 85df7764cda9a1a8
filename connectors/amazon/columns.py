"""The columns of the datasets in a table: the headers of Amazon's reports, as its developer docs
list them ("Report type values"), and fields of its models."""

import re
from collections.abc import Sequence
from typing import Literal

from connectors.base import Column

Kind = Literal["text", "number", "money", "date"]


def _field(
    path: str, label: str, kind: Kind = "text", currency: str = "", name: str = ""
) -> Column:
    """A column of a JSON record, named like the last field of its path."""
    last = path.rpartition(".")[2]
    return Column(name or last[:1].lower() + last[1:], label, path, kind, currency)


def _report(*headers: str, currency: str = "currency") -> Sequence[Column]:
    """Columns of a report by their headers, each with its kind unless it is text: `amount:money`.
    The records of reports have the headers in lower case, without separators."""
    return tuple(_of_header(header, currency) for header in headers)


def _of_header(header: str, currency: str) -> Column:
    title, _, kind = header.partition(":")
    words = re.split(r"[-_ ]", title.lower())
    name = words[0] + "".join(word.capitalize() for word in words[1:])
    label = " ".join(words).capitalize()
    is_money = kind == "money"
    return Column(name, label, "".join(words), kind or "text", currency if is_money else "")  # type: ignore[arg-type]


ORDERS = (
    _field("orderId", "Order"),
    _field("createdTime", "Created", "date"),
    _field("lastUpdatedTime", "Last updated", "date"),
    _field("salesChannel.marketplaceName", "Marketplace"),
    _field("salesChannel.marketplaceId", "Marketplace id"),
    _field("fulfillment.fulfillmentStatus", "Status"),
    _field("fulfillment.fulfilledBy", "Fulfilled by"),
    _field(
        "proceeds.grandTotal.amount", "Total", "money", "proceeds.grandTotal.currencyCode", "total"
    ),
    _field("proceeds.grandTotal.currencyCode", "Currency", name="currency"),
    _field("orderItems", "Items"),
)
INVENTORY = (
    _field("sellerSku", "SKU"),
    _field("asin", "ASIN"),
    _field("fnSku", "FNSKU"),
    _field("productName", "Product"),
    _field("condition", "Condition"),
    _field("totalQuantity", "Total", "number"),
    _field("inventoryDetails.fulfillableQuantity", "Fulfillable", "number"),
    _field("inventoryDetails.inboundWorkingQuantity", "Inbound, working", "number"),
    _field("inventoryDetails.inboundShippedQuantity", "Inbound, shipped", "number"),
    _field("inventoryDetails.inboundReceivingQuantity", "Inbound, receiving", "number"),
    _field("inventoryDetails.reservedQuantity.totalReservedQuantity", "Reserved", "number"),
    _field(
        "inventoryDetails.researchingQuantity.totalResearchingQuantity", "Researching", "number"
    ),
    _field(
        "inventoryDetails.unfulfillableQuantity.totalUnfulfillableQuantity",
        "Unfulfillable",
        "number",
    ),
    _field("lastUpdatedTime", "Last updated", "date"),
)
TRANSACTIONS = (
    _field("transactionId", "Transaction"),
    _field("postedDate", "Posted", "date"),
    _field("transactionType", "Type"),
    _field("transactionStatus", "Status"),
    _field("description", "Description"),
    _field("totalAmount.currencyAmount", "Total", "money", "totalAmount.currencyCode", "total"),
    _field("totalAmount.currencyCode", "Currency", name="currency"),
    _field("marketplaceDetails.marketplaceName", "Marketplace"),
    _field("marketplaceDetails.marketplaceId", "Marketplace id"),
    _field("relatedIdentifiers", "Related identifiers"),
)
SHIPMENTS = (
    _field("ShipmentId", "Shipment"),
    _field("ShipmentName", "Name"),
    _field("ShipmentStatus", "Status"),
    _field("DestinationFulfillmentCenterId", "Destination"),
    _field("items", "Items"),
)
REIMBURSEMENTS = _report(
    *("approval-date:date", "reimbursement-id", "case-id", "amazon-order-id", "reason", "sku"),
    *("fnsku", "asin", "product-name", "condition", "currency-unit", "amount-per-unit:money"),
    *("amount-total:money", "quantity-reimbursed-cash:number"),
    *("quantity-reimbursed-inventory:number", "quantity-reimbursed-total:number"),
    *("original-reimbursement-id", "original-reimbursement-type"),
    currency="currencyunit",
)
LEDGER = _report(
    *("Date:date", "FNSKU", "ASIN", "MSKU", "Title", "Event Type", "Reference ID"),
    *("Quantity:number", "Fulfillment Center", "Disposition", "Reason", "Country"),
    *("Reconciled Quantity:number", "Unreconciled Quantity:number", "Date and Time:date", "Store"),
)
RETURNS = _report(
    *("return-date:date", "order-id", "sku", "asin", "fnsku", "product-name", "quantity:number"),
    *("fulfillment-center-id", "detailed-disposition", "reason", "status"),
    *("license-plate-number", "customer-comments"),
)
REMOVALS = _report(
    *("request-date:date", "order-id", "order-type", "service-speed", "order-status"),
    *("last-updated-date:date", "sku", "fnsku", "disposition", "requested-quantity:number"),
    *("cancelled-quantity:number", "disposed-quantity:number", "shipped-quantity:number"),
    *("in-process-quantity:number", "removal-fee:money", "currency"),
)
REMOVAL_SHIPMENTS = _report(
    *("request-date:date", "order-id", "shipment-date:date", "sku", "fnsku", "disposition"),
    *("shipped-quantity:number", "carrier", "tracking-number", "removal-order-type"),
)
REPLACEMENTS = _report(
    *("shipment-date:date", "sku", "asin", "fulfillment-center-id"),
    *("original-fulfillment-center-id", "quantity:number", "replacement-reason-code"),
    *("replacement-amazon-order-id", "original-amazon-order-id"),
)
STOCK = _report(
    *("sku", "fnsku", "asin", "product-name", "condition", "your-price:money"),
    *("mfn-listing-exists", "mfn-fulfillable-quantity:number", "afn-listing-exists"),
    *("afn-warehouse-quantity:number", "afn-fulfillable-quantity:number"),
    *("afn-unsellable-quantity:number", "afn-reserved-quantity:number"),
    *("afn-total-quantity:number", "per-unit-volume:number"),
    *("afn-inbound-working-quantity:number", "afn-inbound-shipped-quantity:number"),
    *("afn-inbound-receiving-quantity:number", "afn-researching-quantity:number"),
    *("afn-reserved-future-supply:number", "afn-future-supply-buyable:number"),
    currency="",
)
STORAGE_FEES = _report(
    *("month-of-charge", "asin", "fnsku", "product-name", "fulfillment-center", "country-code"),
    *("longest-side:number", "median-side:number", "shortest-side:number", "measurement-units"),
    *("weight:number", "weight-units", "item-volume:number", "volume-units", "product-size-tier"),
    *("average-quantity-on-hand:number", "average-quantity-pending-removal:number"),
    *("estimated-total-item-volume:number", "storage-rate:money", "currency"),
    "estimated-monthly-storage-fee:money",
)
# The columns of all marketplaces: a preview has those of its own. The first two are not Amazon's.
FEES = (
    Column("snapshotAt", "Held at", "snapshotat", "date"),
    Column("marketplaceId", "Marketplace id", "marketplaceid"),
    *_report(
        *("sku", "fnsku", "asin", "amazon-store", "product-name", "product-group", "brand"),
        *("fulfilled-by", "has-local-inventory", "your-price:money", "sales-price:money"),
        *("longest-side:number", "median-side:number", "shortest-side:number"),
        *("length-and-girth:number", "unit-of-dimension", "item-package-weight:number"),
        *("unit-of-weight", "product-size-tier", "product-size-weight-band", "currency"),
        *("estimated-fee-total:money", "estimated-referral-fee-per-unit:money"),
        *("estimated-variable-closing-fee:money", "estimated-order-handling-fee-per-order:money"),
        *("estimated-pick-pack-fee-per-unit:money", "estimated-weight-handling-fee-per-unit:money"),
        "expected-fulfillment-fee-per-unit:money",
        "expected-domestic-fulfilment-fee-per-unit:money",
        *(
            f"expected-efn-fulfilment-fee-per-unit-{country}:money"
            for country in ("uk", "de", "fr", "it", "es", "se")
        ),
        "estimated-future-order-handling-fee-per-order:money",
        "estimated-future-pick-pack-fee-per-unit:money",
        "estimated-future-weight-handling-fee-per-unit:money",
        "expected-future-fulfillment-fee-per-unit:money",
    ),
)
