"""The columns of the datasets in a table: the headers of Amazon's reports, as its developer docs
list them ("Report type values"), and fields of its models."""

import re
from collections.abc import Sequence
from typing import Literal

from connectors.base import Column

Kind = Literal["text", "number", "money", "date"]


def field(path: str, label: str, kind: Kind = "text", currency: str = "", name: str = "") -> Column:
    """A column of a JSON record, named like the last field of its path."""
    last = path.rpartition(".")[2]
    return Column(name or last[:1].lower() + last[1:], label, path, kind, currency)


def report(*headers: str, currency: str = "currency") -> Sequence[Column]:
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


REIMBURSEMENTS = report(
    *("approval-date:date", "reimbursement-id", "case-id", "amazon-order-id", "reason", "sku"),
    *("fnsku", "asin", "product-name", "condition", "currency-unit", "amount-per-unit:money"),
    *("amount-total:money", "quantity-reimbursed-cash:number"),
    *("quantity-reimbursed-inventory:number", "quantity-reimbursed-total:number"),
    *("original-reimbursement-id", "original-reimbursement-type"),
    currency="currencyunit",
)
LEDGER = report(
    *("Date:date", "FNSKU", "ASIN", "MSKU", "Title", "Event Type", "Reference ID"),
    *("Quantity:number", "Fulfillment Center", "Disposition", "Reason", "Country"),
    *("Reconciled Quantity:number", "Unreconciled Quantity:number", "Date and Time:date", "Store"),
)
RETURNS = report(
    *("return-date:date", "order-id", "sku", "asin", "fnsku", "product-name", "quantity:number"),
    *("fulfillment-center-id", "detailed-disposition", "reason", "status"),
    *("license-plate-number", "customer-comments"),
)
REMOVALS = report(
    *("request-date:date", "order-id", "order-type", "service-speed", "order-status"),
    *("last-updated-date:date", "sku", "fnsku", "disposition", "requested-quantity:number"),
    *("cancelled-quantity:number", "disposed-quantity:number", "shipped-quantity:number"),
    *("in-process-quantity:number", "removal-fee:money", "currency"),
)
REMOVAL_SHIPMENTS = report(
    *("request-date:date", "order-id", "shipment-date:date", "sku", "fnsku", "disposition"),
    *("shipped-quantity:number", "carrier", "tracking-number", "removal-order-type"),
)
REPLACEMENTS = report(
    *("shipment-date:date", "sku", "asin", "fulfillment-center-id"),
    *("original-fulfillment-center-id", "quantity:number", "replacement-reason-code"),
    *("replacement-amazon-order-id", "original-amazon-order-id"),
)
STOCK = report(
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
STORAGE_FEES = report(
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
    *report(
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
