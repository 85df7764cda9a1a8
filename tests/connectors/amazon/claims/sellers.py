"""Small sellers written by hand: one row for each event. Days are numbers, counted from DAY."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.amazon.claims import Windows, find_claims, rule_windows
from connectors.base import Record
from connectors.claims import Claim, Dimensions, Findings, Money, RemovalArrival

DAY = date(2026, 6, 1)
DATASETS = (
    *("ledger", "reimbursements", "returns", "removals", "fees", "stock"),
    *("transactions", "orders", "shipments", "removal_shipments"),
    *("replacements", "storage_fees", "inventory"),
)
ORDER = "111-0000001-0000001"
SHIPMENT = "FBA15ABCDE01"
US, JP = "ATVPDKIKX0DER", "A1VC38T7YXB528"
DE, FR, GB = "A1PA6795UKMFR9", "A13V1IB3VIYZZH", "A1F83G8C2ARO7P"

Row = dict[str, Any]
Rows = Mapping[str, Iterable[Row]]


class Seller:
    """The records of a seller as the service stores them; `missing` datasets are incomplete,
    `learned` is what the connection remembers, and `received` what the seller says of removals."""

    def __init__(
        self,
        rows: Rows,
        costs: Mapping[str, Money] | None = None,
        missing: Iterable[str] = (),
        learned: Mapping[str, str] | None = None,
        dimensions: Mapping[str, Dimensions] | None = None,
        received: Sequence[RemovalArrival] = (),
    ) -> None:
        self.records: dict[str, list[Record]] = {
            dataset: [
                _record(row.get("_id", f"{dataset}-{number:04}"), row)
                for number, row in enumerate(dataset_rows)
            ]
            for dataset, dataset_rows in rows.items()
        }
        self.costs = costs or {}
        self.measured = dimensions or {}
        self.missing = set(missing)
        self.learned = learned or {}
        self.received = received
        self.reads: list[str] = []

    def read(self, dataset: str) -> Iterable[Record]:
        self.reads.append(dataset)
        return iter(self.records.get(dataset, ()))

    def complete(self, dataset: str) -> bool:
        return dataset not in self.missing

    def cost(self, sku: str) -> Money | None:
        return self.costs.get(sku)

    def dimensions(self, sku: str) -> Dimensions | None:
        return self.measured.get(sku)

    def arrivals(self) -> Sequence[RemovalArrival]:
        return self.received


def _record(record_id: str, row: Row) -> Record:
    """The record of a row, whose names with an underscore are not part of its data."""
    data = {name: value for name, value in row.items() if not name.startswith("_")}
    times = (row.get("_seen"), row.get("_changed"))
    seen, changed = (None if number is None else noon(number) for number in times)
    return Record(record_id, json.dumps(data).encode(), first_seen=seen, changed=changed)


def on(number: int) -> date:
    return DAY + timedelta(days=number)


def noon(number: int) -> datetime:
    return datetime.combine(on(number), datetime.min.time(), UTC) + timedelta(hours=12)


def find(rows: Rows, at: int = 30, windows: Windows | None = None, **more: Any) -> Findings:
    """The findings on day `at`."""
    return find_claims(Seller(rows, **more), noon(at), windows or rule_windows())


def claims_of(rows: Rows, rule: str, at: int = 30, **more: Any) -> list[Claim]:
    return [claim for claim in find(rows, at, **more).claims if claim.rule == rule]


def only_claim(rows: Rows, rule: str, at: int = 30, **more: Any) -> Claim:
    (found,) = claims_of(rows, rule, at, **more)
    return found


def units(rows: Rows, rule: str, at: int = 30, **more: Any) -> int:
    return sum(claim.units for claim in claims_of(rows, rule, at, **more))


# Rows --------------------------------------------------------------------------------------------


def adjusted(day: int, reason: str, quantity: int, **more: Any) -> Row:
    """A row of the ledger; an adjustment unless `eventtype` is given."""
    return {
        "date": on(day).strftime("%m/%d/%Y"),
        "fnsku": "X1",
        "asin": "B1",
        "msku": "SKU-1",
        "title": "Thing",
        "eventtype": "Adjustments",
        "referenceid": f"ref-{day}",
        "quantity": str(quantity),
        "fulfillmentcenter": "PHL7",
        "disposition": "SELLABLE",
        "reason": reason,
        "country": "US",
        **more,
    }


def receipt(day: int, quantity: int, shipment: str = SHIPMENT, **more: Any) -> Row:
    more = {"eventtype": "Receipts", "referenceid": shipment, **more}
    return adjusted(day, "", quantity, **more)


def restocked(day: int, quantity: int, **more: Any) -> Row:
    return adjusted(day, "", quantity, **{"eventtype": "CustomerReturns", **more})


def paid(day: int, reason: str, quantity: int, per_unit: str = "10.00", **more: Any) -> Row:
    return {
        "approvaldate": f"{on(day)}T09:00:00+00:00",
        "reimbursementid": more.get("_id", f"pay-{day}"),
        "caseid": "",
        "amazonorderid": "",
        "reason": reason,
        "sku": "SKU-1",
        "fnsku": "X1",
        "currencyunit": "USD",
        "amountperunit": per_unit,
        "amounttotal": str(float(per_unit) * quantity),
        "quantityreimbursedcash": str(quantity),
        "quantityreimbursedinventory": "0",
        "quantityreimbursedtotal": str(quantity),
        "originalreimbursementid": "",
        "originalreimbursementtype": "",
        **more,
    }


def reversed_(day: int, original: str, quantity: int, kind: str, **more: Any) -> Row:
    return paid(
        day,
        "Reimbursement_Reversal",
        -quantity,
        originalreimbursementid=original,
        originalreimbursementtype=kind,
        **more,
    )


def returned(day: int, disposition: str = "SELLABLE", quantity: int = 1, **more: Any) -> Row:
    return {
        "returndate": on(day).isoformat(),
        "orderid": ORDER,
        "sku": "SKU-1",
        "asin": "B1",
        "fnsku": "X1",
        "quantity": str(quantity),
        "detaileddisposition": disposition,
        "status": "Unit returned to inventory",
        "licenseplatenumber": "",
        **more,
    }


def replaced(day: int, quantity: int = 1, **more: Any) -> Row:
    return {
        "shipmentdate": f"{on(day)}T10:00:00+00:00",
        "sku": "SKU-1",
        "asin": "B1",
        "fulfillmentcenterid": "PHL7",
        "originalfulfillmentcenterid": "ONT8",
        "quantity": str(quantity),
        "replacementreasoncode": "1",
        "replacementamazonorderid": "111-0000009-0000009",
        "originalamazonorderid": ORDER,
        **more,
    }


def removal(day: int, quantity: int, **more: Any) -> Row:
    return {
        "requestdate": f"{on(day)}T00:00:00+00:00",
        "orderid": f"rem-{day}",
        "ordertype": "Disposal",
        "orderstatus": "Completed",
        "lastupdateddate": f"{on(day)}T10:00:00+00:00",
        "sku": "SKU-1",
        "fnsku": "X1",
        "disposition": "Sellable",
        "requestedquantity": str(quantity),
        "disposedquantity": str(quantity),
        **more,
    }


def sent(day: int, quantity: int, **more: Any) -> Row:
    """A shipment to the seller by the removal order rem-0."""
    return {
        "requestdate": f"{on(day - 3)}T00:00:00+00:00",
        "orderid": "rem-0",
        "shipmentdate": f"{on(day)}T00:00:00+00:00",
        "sku": "SKU-1",
        "fnsku": "X1",
        "disposition": "Sellable",
        "shippedquantity": str(quantity),
        "carrier": "UPS_GR_PL",
        "trackingnumber": "1Z-A",
        "removalordertype": "Return",
        **more,
    }


def stored(charged: str, fee: str = "60.00", month: str = "2026-05", **more: Any) -> Row:
    return {
        "fnsku": "X1",
        "productname": "Thing",
        "fulfillmentcenter": "PHL7",
        "countrycode": "US",
        "averagequantityonhand": charged,
        "monthofcharge": month,
        "currency": "USD",
        "estimatedmonthlystoragefee": fee,
        **more,
    }


def preview(day: int, expected: str = "3.00", **more: Any) -> Row:
    return {
        "snapshotat": f"{on(day)}T00:00:00Z",
        "marketplaceid": US,
        "sku": "SKU-1",
        "fnsku": "X1",
        "yourprice": "25.00",
        "currency": "USD",
        "estimatedfeetotal": "8.00",
        "expectedfulfillmentfeeperunit": expected,
        **more,
    }


def amount(value: float, currency: str = "USD") -> Row:
    return {"currencyAmount": value, "currencyCode": currency}


def transaction(kind: str, day: int, total: float, quantity: int | None = 1, **more: Any) -> Row:
    """A transaction of one item; `more` may give its SKU, network, currency, order, price, fees."""
    currency = more.pop("currency", "USD")
    product = {
        "contextType": "ProductContext",
        "asin": "B1",
        "sku": more.pop("sku", "SKU-1"),
        "quantityShipped": quantity,
        "fulfillmentNetwork": more.pop("network", "AFN"),
    }
    item: Row = {"totalAmount": amount(total, currency), "contexts": [product], "breakdowns": []}
    if (fee := more.pop("fee", None)) is not None:
        base = {"breakdownType": "Base", "breakdownAmount": amount(-fee, currency)}
        fulfilment = {
            "breakdownType": "FBAPerUnitFulfillmentFee",
            "breakdownAmount": amount(-fee, currency),
            "breakdowns": [base],
        }
        fees = {"breakdownType": "AmazonFees", "breakdowns": [fulfilment]}
        item["breakdowns"] = [{"breakdownType": "Expenses", "breakdowns": [fees]}]
    if (principal := more.pop("principal", None)) is not None:
        price = {"breakdownType": "Principal", "breakdownAmount": amount(principal, currency)}
        charges = {"breakdownType": "ProductCharges", "breakdowns": [price]}
        item["breakdowns"].append({"breakdownType": "Sales", "breakdowns": [charges]})
    for name, fee_type in (("commission", "Commission"), ("kept", "RefundCommission")):
        if (taken := more.pop(name, None)) is not None:
            node = {"breakdownType": fee_type, "breakdownAmount": amount(-taken, currency)}
            item["breakdowns"].append({"breakdownType": "AmazonFees", "breakdowns": [node]})
    order = more.pop("order", ORDER)
    return {
        "transactionId": more.get("_id", f"{kind}-{day}"),
        "transactionType": kind,
        "transactionStatus": "RELEASED",
        "postedDate": f"{on(day)}T08:00:00Z",
        "totalAmount": amount(total, currency),
        "marketplaceDetails": {"marketplaceId": US, "marketplaceName": "Amazon.com"},
        "relatedIdentifiers": [
            {"relatedIdentifierName": "ORDER_ID", "relatedIdentifierValue": order}
        ],
        "items": [item],
        **more,
    }


def refund(day: int, total: float = -20.0, quantity: int | None = 1, **more: Any) -> Row:
    return transaction("Refund", day, total, quantity, **more)


def sale(day: int, fee: float, quantity: int | None = 1, **more: Any) -> Row:
    return transaction("Shipment", day, 20.0, quantity, fee=fee, **more)


def shipment(shipped: int, received: int, status: str = "CLOSED", **more: Any) -> Row:
    item = {
        "SellerSKU": "SKU-1",
        "FulfillmentNetworkSKU": "X1",
        "QuantityShipped": shipped,
        "QuantityReceived": received,
    }
    return {
        "ShipmentId": SHIPMENT,
        "ShipmentStatus": status,
        "DestinationFulfillmentCenterId": "PHL7",
        "ShipmentName": "FBA STA",
        "items": [item],
        "_seen": 30,
        "_changed": 30,
        **more,
    }
