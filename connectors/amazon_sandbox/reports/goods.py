"""Reports on goods: reimbursements, customer returns, removal orders, and stock."""

from collections.abc import Iterator

import msgspec

from connectors.amazon_sandbox.generator.catalogue import Stock
from connectors.amazon_sandbox.generator.journal import (
    CustomerReturn,
    Reimbursement,
    RemovalOrder,
)
from connectors.amazon_sandbox.generator.times import DAY
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
    for reimbursement in sorted(
        scope.seller.journal.reimbursements,
        key=lambda reimbursement: (reimbursement.at, reimbursement.id),
    ):
        if scope.includes(reimbursement.at):
            yield _reimbursement(scope, reimbursement)


def _reimbursement(scope: Scope, reimbursement: Reimbursement) -> Cells:
    product = reimbursement.product
    return (
        moment(reimbursement.at),
        reimbursement.id,
        "",
        reimbursement.order_id,
        reimbursement.reason,
        product.sku,
        product.fn_sku,
        product.asin,
        product.title,
        "NewItem",
        scope.currency,
        scope.money(reimbursement.unit_cents if reimbursement.units else 0),
        scope.money(reimbursement.units * reimbursement.unit_cents),
        str(reimbursement.units),
        str(reimbursement.stocked),
        str(reimbursement.units + reimbursement.stocked),
        reimbursement.original,
        reimbursement.original_reason,
    )


def returns(scope: Scope) -> Iterator[Cells]:
    """Yield the returns by date. A license plate may occur twice, with two dates, but is one
    return."""
    recorded = scope.seller.journal.returns
    entries = [*recorded, *(_earlier_copy(entry) for entry in recorded if _occurs_twice(entry))]
    for entry in sorted(entries, key=lambda entry: (entry.at, entry.plate)):
        if scope.includes(entry.at):
            yield _return(entry)


def _occurs_twice(customer_return: CustomerReturn) -> bool:
    return customer_return.disposition == "SELLABLE" and customer_return.plate[-1] == "7"


def _earlier_copy(customer_return: CustomerReturn) -> CustomerReturn:
    return msgspec.structs.replace(customer_return, at=customer_return.at - DAY)


def _return(customer_return: CustomerReturn) -> Cells:
    return (
        moment(customer_return.at),
        customer_return.order_id,
        customer_return.product.sku,
        customer_return.product.asin,
        customer_return.product.fn_sku,
        customer_return.product.title,
        str(customer_return.quantity),
        customer_return.center,
        customer_return.disposition,
        customer_return.reason,
        "Unit returned to inventory" if customer_return.disposition == "SELLABLE" else "",
        customer_return.plate,
        "",
    )


def removals(scope: Scope) -> Iterator[Cells]:
    """Yield the removal orders. A completed order may lack units. Nothing is shipped until an order
    is completed."""
    for order in sorted(scope.seller.journal.removals, key=lambda order: (order.at, order.id)):
        if scope.includes(order.at):
            yield _removal(scope, order)


def _removal(scope: Scope, order: RemovalOrder) -> Cells:
    horizon = scope.seller.journal.horizon
    completed = order.completed <= horizon
    left = order.quantity - order.cancelled
    done = str(left - order.missing) if completed else "0"
    return (
        moment(order.at),
        order.id,
        order.kind,
        "Standard",
        "Completed" if completed else "Pending",
        moment(min(order.completed, horizon)),
        order.product.sku,
        order.product.fn_sku,
        "Sellable" if order.disposition == "SELLABLE" else "Unsellable",
        str(order.quantity),
        str(order.cancelled),
        done if order.kind == "Disposal" else "0",
        done if order.kind == "Return" else "0",
        "0" if completed else str(left),
        scope.money(52 * order.quantity),
        scope.currency,
    )


def stock(scope: Scope) -> Iterator[Cells]:
    for item in next(iter(scope.seller.stock.values())):
        yield _stocked(scope, item)


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
