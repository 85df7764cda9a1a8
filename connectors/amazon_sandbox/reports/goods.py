"""Reports on goods: reimbursements, customer returns, removal orders, and the stock."""

from collections.abc import Iterator

import msgspec

from connectors.amazon_sandbox.generator.book import Payment, Return
from connectors.amazon_sandbox.generator.catalogue import Stock
from connectors.amazon_sandbox.generator.draw import DAY
from connectors.amazon_sandbox.reports.scope import Cells, Scope, moment

REIMBURSEMENTS = (
    "approval-date",
    "reimbursement-id",
    "case-id",
    "amazon-order-id",
    "reason",
    "sku",
    "fnsku",
    "asin",
    "product-name",
    "condition",
    "currency-unit",
    "amount-per-unit",
    "amount-total",
    "quantity-reimbursed-cash",
    "quantity-reimbursed-inventory",
    "quantity-reimbursed-total",
    "original-reimbursement-id",
    "original-reimbursement-type",
)

RETURNS = (
    "return-date",
    "order-id",
    "sku",
    "asin",
    "fnsku",
    "product-name",
    "quantity",
    "fulfillment-center-id",
    "detailed-disposition",
    "reason",
    "status",
    "license-plate-number",
    "customer-comments",
)

REMOVALS = (
    "request-date",
    "order-id",
    "order-type",
    "service-speed",
    "order-status",
    "last-updated-date",
    "sku",
    "fnsku",
    "disposition",
    "requested-quantity",
    "cancelled-quantity",
    "disposed-quantity",
    "shipped-quantity",
    "in-process-quantity",
    "removal-fee",
    "currency",
)

STOCK = (
    "sku",
    "fnsku",
    "asin",
    "product-name",
    "condition",
    "your-price",
    "mfn-listing-exists",
    "mfn-fulfillable-quantity",
    "afn-listing-exists",
    "afn-warehouse-quantity",
    "afn-fulfillable-quantity",
    "afn-unsellable-quantity",
    "afn-reserved-quantity",
    "afn-total-quantity",
    "per-unit-volume",
    "afn-inbound-working-quantity",
    "afn-inbound-shipped-quantity",
    "afn-inbound-receiving-quantity",
    "afn-researching-quantity",
    "afn-reserved-future-supply",
    "afn-future-supply-buyable",
)


def reimbursements(scope: Scope) -> Iterator[Cells]:
    for each in sorted(scope.seller.book.payments, key=lambda payment: (payment.at, payment.id)):
        if scope.holds(each.at):
            yield _reimbursement(scope, each)


def _reimbursement(scope: Scope, payment: Payment) -> Cells:
    product = payment.product
    return (
        moment(payment.at),
        payment.id,
        "",
        payment.order_id,
        payment.reason,
        product.sku,
        product.fn_sku,
        product.asin,
        product.title,
        "NewItem",
        scope.currency,
        scope.money(payment.each if payment.units else 0),
        scope.money(payment.units * payment.each),
        str(payment.units),
        str(payment.stocked),
        str(payment.units + payment.stocked),
        payment.original,
        payment.original_reason,
    )


def returns(scope: Scope) -> Iterator[Cells]:
    """By date. A plate may come twice, with two dates: it is one return all the same."""
    known = scope.seller.book.returns
    every = [*known, *(_echo(each) for each in known if _is_told_twice(each))]
    for each in sorted(every, key=lambda one: (one.at, one.plate)):
        if scope.holds(each.at):
            yield _return(each)


def _is_told_twice(back: Return) -> bool:
    return back.disposition == "SELLABLE" and back.plate[-1] == "7"


def _echo(back: Return) -> Return:
    return msgspec.structs.replace(back, at=back.at - DAY)


def _return(back: Return) -> Cells:
    return (
        moment(back.at),
        back.order_id,
        back.product.sku,
        back.product.asin,
        back.product.fn_sku,
        back.product.title,
        str(back.quantity),
        back.center,
        back.disposition,
        back.reason,
        "Unit returned to inventory" if back.disposition == "SELLABLE" else "",
        back.plate,
        "",
    )


def removals(scope: Scope) -> Iterator[Cells]:
    """A removal order is complete five days after it was asked for."""
    for each in sorted(scope.seller.book.removals, key=lambda order: (order.at, order.id)):
        if not scope.holds(each.at):
            continue
        done = each.at + 5 * DAY <= scope.created
        units, nothing = str(each.quantity), "0"
        yield (
            moment(each.at),
            each.id,
            each.kind,
            "Standard",
            "Completed" if done else "Pending",
            moment(min(each.at + 5 * DAY, scope.created)),
            each.product.sku,
            each.product.fn_sku,
            "Sellable" if each.disposition == "SELLABLE" else "Unsellable",
            units,
            nothing,
            units if each.kind == "Disposal" and done else nothing,
            units if each.kind == "Return" and done else nothing,
            nothing if done else units,
            scope.money(52 * each.quantity),
            scope.currency,
        )


def stock(scope: Scope) -> Iterator[Cells]:
    for each in next(iter(scope.seller.stock.values())):
        yield _stocked(scope, each)


def _stocked(scope: Scope, stock: Stock) -> Cells:
    reserved = stock.ordered + stock.moving + stock.processing
    unsellable = stock.customer_damaged + stock.warehouse_damaged + stock.defective
    warehouse = stock.fulfillable + unsellable + reserved + stock.researching
    inbound = (stock.working, stock.shipped, stock.receiving)
    product = stock.product
    return (
        product.sku,
        product.fn_sku,
        product.asin,
        product.title,
        "New",
        scope.money(product.price),
        "No",
        "",
        "Yes",
        str(warehouse),
        str(stock.fulfillable),
        str(unsellable),
        str(reserved),
        str(warehouse + sum(inbound)),
        "0.25",
        *map(str, inbound),
        str(stock.researching),
        "0",
        "0",
    )
