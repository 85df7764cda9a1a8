"""From records to books: every dataset is read once, and of a row only what a rule needs stays."""

from datetime import date, timedelta

import msgspec

from connectors.amazon.claims.books import Books
from connectors.amazon.claims.reading.goods import read_removals, read_returns, read_shipments
from connectors.amazon.claims.reading.ledger import Ledger
from connectors.amazon.claims.reading.payments import read_payments
from connectors.amazon.claims.reading.products import Products
from connectors.amazon.claims.reading.rows import Rows
from connectors.amazon.claims.reading.sales import Sales
from connectors.amazon.claims.warehouse import grouped
from connectors.amazon.claims.windows import Windows
from connectors.base import Records

REMEMBERED = timedelta(days=41)
"""How long a loss is looked at after its claim has closed: as far back as a first sync sees. Of an
older one that is open still, what turns up now would make up before it did for those of today."""


def read_books(records: Records, wanted: frozenset[str], today: date, windows: Windows) -> Books:
    """The books of today. The small datasets come first: they tell what to keep of the large."""
    rows = Rows(records, wanted)
    products = Products().read(rows)
    payments, reversals = read_payments(rows)
    returns = read_returns(rows)
    shipments = read_shipments(rows)
    for payment in payments:
        products.name(payment.fnsku, payment.sku)
    for each in returns:
        products.name(each.fnsku, each.sku)
    payments = products.completed(payments)
    ledger = Ledger(
        {each.shipment for each in shipments},
        {each.fnsku for each in reversals if each.fnsku},
    ).read(rows)
    sales = Sales(
        products.previews,
        resold={each.sku for each in returns if each.disposition == "sellable"},
        returned={each.order for each in returns},
        ours={each.order for each in returns} | {each.order for each in payments},
    ).read(rows)
    return Books(
        today=today,
        oldest=today - timedelta(days=windows.longest("R1", "R2", "R3")) - REMEMBERED,
        windows=windows if windows.home else msgspec.structs.replace(windows, home=sales.home),
        cost=records.cost,
        known=frozenset(name for name in wanted if records.complete(name)),
        adjustments=ledger.adjustments,
        receipts=ledger.receipts,
        finds=ledger.finds,
        restocked=ledger.restocked,
        ledger_since=ledger.since,
        payments=payments,
        paid=grouped((each for each in payments if each.fnsku), lambda each: each.fnsku),
        reversals=reversals,
        returns=returns,
        removals=read_removals(rows),
        refunds=sales.refunds,
        charges=sales.charges,
        proceeds=sales.proceeds,
        previews=products.previews,
        prices=products.prices,
        skus=products.skus,
        twins=products.twins,
        shipments=shipments,
        sold=sales.sold,
        sold_in=sales.sold_in,
        unusable=rows.unusable,
    )
