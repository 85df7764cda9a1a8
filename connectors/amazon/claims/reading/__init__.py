"""Reads records into facts. Each dataset is read once, and only what a rule needs is kept."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from connectors.amazon.claims.facts import Facts, Payment, Return
from connectors.amazon.claims.grouping import grouped
from connectors.amazon.claims.measures import Measures, entered_measures, is_above
from connectors.amazon.claims.reading.goods import read_inbound, read_removals, read_returns
from connectors.amazon.claims.reading.ledger import read_ledger
from connectors.amazon.claims.reading.payments import read_payments
from connectors.amazon.claims.reading.products import Products
from connectors.amazon.claims.reading.reader import DatasetReader
from connectors.amazon.claims.reading.removal_shipments import read_removal_shipments
from connectors.amazon.claims.reading.replacements import read_replacements
from connectors.amazon.claims.reading.sales import read_sales
from connectors.amazon.claims.reading.storage import read_on_hand, read_storage
from connectors.amazon.claims.windows import Windows
from connectors.amazon.settings import FeeLimit
from connectors.base import Records


def read_facts(
    records: Records,
    datasets: frozenset[str],
    today: date,
    oldest_loss: date,
    windows: Windows,
    fee_limits: Mapping[str, FeeLimit],
) -> Facts:
    """The facts of `datasets`. Small datasets are read first: they decide which rows of large ones
    are kept."""
    reader = DatasetReader(records, datasets)
    products = Products(reader)

    def own_measures(sku: str) -> Measures | None:
        return entered_measures(records.dimensions(sku))

    payments, reversals = read_payments(reader)
    returns, inbound = read_returns(reader), read_inbound(reader)
    replacements = read_replacements(reader)
    payments = _name_products(products, payments, returns)
    storage = read_storage(reader)
    stored = {charge.fnsku for charge in storage}
    ledger = read_ledger(reader, inbound, reversals, stored)
    disputed = {
        sku
        for sku, previews in products.previews.items()
        if (own := own_measures(sku)) and any(is_above(row.measures, own) for row in previews)
    }
    sales = read_sales(reader, products.previews, disputed, returns, replacements, payments)
    return Facts(
        today=today,
        oldest_loss=oldest_loss,
        windows=msgspec.structs.replace(windows, home=windows.home or sales.home),
        fee_limits=fee_limits,
        cost=records.cost,
        measures=own_measures,
        complete=frozenset(name for name in datasets if records.complete(name)),
        unusable=reader.unusable,
        ledger=ledger,
        products=products.facts(),
        sales=sales,
        payments=payments,
        payments_by_fnsku=grouped(
            (payment for payment in payments if payment.fnsku), lambda payment: payment.fnsku
        ),
        reversals=reversals,
        returns=returns,
        replacements=replacements,
        removals=read_removals(reader),
        removal_shipments=read_removal_shipments(reader),
        arrivals=records.arrivals(),
        inbound=inbound,
        storage=storage,
        on_hand=read_on_hand(reader, stored),
    )


def _name_products(
    products: Products, payments: Iterable[Payment], returns: Iterable[Return]
) -> Sequence[Payment]:
    """Learn the products' SKUs from payments and returns. Returns the payments with their FNSKU."""
    payments = list(payments)
    for payment in payments:
        products.learn_sku(payment.fnsku, payment.sku)
    for row in returns:
        products.learn_sku(row.fnsku, row.sku)
    return products.with_fnsku(payments)
