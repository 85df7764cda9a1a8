"""Units that were refunded to a customer, or came back from one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.books import Books, Key, Payment, Refund, Return
from connectors.amazon.claims.cases import Case, evidence, key, units_of
from connectors.amazon.claims.places import currency_of
from connectors.amazon.claims.values import Value, money, net_price, typical
from connectors.amazon.claims.warehouse import grouped

AMAZONS_FAULT = frozenset({"damaged", "carrierdamaged"})
SETTLES = timedelta(days=14)
"""How long a return may take until it shows in the ledger."""


class Unreturned(msgspec.Struct, frozen=True):
    """The refunds of one product of one order, with the units of each that are still open."""

    refunds: Sequence[tuple[Refund, int]]
    returned: Sequence[Return]
    paid: Sequence[Payment]

    @property
    def open(self) -> int:
        return sum(units for _, units in self.refunds)


class Damaged(msgspec.Struct, frozen=True):
    """The returns of one product of one order that Amazon damaged; `open` units are not paid."""

    open: int
    returned: Sequence[Return]
    paid: Sequence[Payment]


def refund_not_returned(books: Books) -> Iterator[Case]:
    """Units refunded to a customer who never sent them back, and for which nothing was paid."""
    for (order, sku), found in unreturned(books).items():
        back = sum(each.units for each in found.returned)
        paid = sum(each.units for each in found.paid)
        refunded = sum(each.units for each, _ in found.refunds)
        if found.open == 0 and (paid <= 0 or back >= refunded):
            continue
        first = next((each for each, units in found.refunds if units), found.refunds[0][0])
        yield Case(
            key=key(order, sku),
            title=f"{units_of(found.open, sku)} refunded and never returned",
            units=found.open,
            base=first.day,
            place=first.place or books.sold_in.get(order, ""),
            value=_refunded(found.refunds),
            evidence=_evidence([each for each, _ in found.refunds], found.returned, found.paid),
            details={
                "order": order,
                "sku": sku,
                "refunded": str(refunded),
                "returned": str(back),
                "paid": str(paid),
            },
        )


def return_amazon_damaged(books: Books) -> Iterator[Case]:
    """Units that came back damaged by Amazon or its carrier, and for which nothing was paid."""
    refunds = grouped(books.refunds, lambda each: (each.order, each.sku))
    for (order, sku), found in damaged(books).items():
        given = refunds.get((order, sku), [])
        first = found.returned[0]
        place = next((each.place for each in given if each.place), books.sold_in.get(order, ""))
        units = sum(each.units for each in found.returned)
        yield Case(
            key=key(order, sku),
            title=f"{units_of(found.open, sku)} returned, damaged by Amazon",
            units=found.open,
            base=given[0].day if given else first.day,
            place=place,
            value=_share(given, found.open),
            evidence=_evidence(given, found.returned, found.paid),
            details={
                "order": order,
                "sku": sku,
                "fnsku": first.fnsku,
                "units": str(units),
                "paid": str(sum(each.units for each in found.paid)),
                "from": "refund" if given else "return",
            },
        )


def return_not_restocked(books: Books) -> Iterator[Case]:
    """Sellable returns of a month that the ledger never shows coming back into stock."""
    since, until = books.ledger_since, books.today - SETTLES
    if since is None:
        return
    sellable = [
        each
        for each in books.returns
        if each.disposition == "sellable" and each.fnsku and since <= each.day <= until
    ]
    months = grouped(sellable, lambda each: (each.fnsku, each.day.year, each.day.month))
    for (fnsku, year, month), returned in months.items():
        units = sum(each.units for each in returned)
        still = units - books.restocked.get((fnsku, year, month), 0)
        if still <= 0:
            continue
        sku = returned[0].sku or books.skus.get(fnsku, "")
        still = min(still, units)  # the ledger may take a return back
        place = next(
            (books.sold_in[each.order] for each in returned if each.order in books.sold_in), ""
        )
        yield Case(
            key=key(fnsku, f"{year}-{month:02}"),
            title=f"{units_of(still, sku or fnsku)} returned and not put back into stock",
            units=still,
            base=max(each.day for each in returned),
            place=place,
            value=_sale(books, sku, place).times(still),
            evidence=evidence(("returns", [each.id for each in returned])),
            details={
                "fnsku": fnsku,
                "sku": sku,
                "returned": str(units),
                "restocked": str(units - still),
            },
        )


def unreturned(books: Books) -> Mapping[Key, Unreturned]:
    """Refunds by order and SKU. Returns and payments close the oldest refund first."""
    returned = grouped(books.returns, lambda each: (each.order, each.sku))
    paid = _paid_orders(books)
    found = {}
    for where, refunds in grouped(books.refunds, lambda each: (each.order, each.sku)).items():
        back, settled = returned.get(where, []), paid.get(where, [])
        made_up = sum(each.units for each in back) + sum(each.units for each in settled)
        shares = []
        for refund in refunds:
            still = max(refund.units - max(made_up, 0), 0)
            made_up -= refund.units
            shares.append((refund, still))
        found[where] = Unreturned(shares, back, settled)
    return found


def damaged(books: Books) -> Mapping[Key, Damaged]:
    """Returns that Amazon is answerable for, by order and SKU, less what was paid for them."""
    paid = _paid_orders(books)
    broken = [each for each in books.returns if each.order and each.disposition in AMAZONS_FAULT]
    found = {}
    for where, returned in grouped(broken, lambda each: (each.order, each.sku)).items():
        settled = paid.get(where, [])
        units = sum(each.units for each in returned)
        open_units = max(units - sum(each.units for each in settled), 0)
        found[where] = Damaged(open_units, returned, settled)
    return found


def _paid_orders(books: Books) -> Mapping[Key, Sequence[Payment]]:
    paid = [each for each in books.payments if each.order and each.units > 0]
    return grouped(paid, lambda each: (each.order, each.sku))


def _refunded(refunds: Iterable[tuple[Refund, int]]) -> Value:
    """What the refunds took from the seller for the units that are open."""
    shares = [(each, units) for each, units in refunds if units]
    amounts = [-each.total * units / each.units for each, units in shares if each.total is not None]
    if not shares or len(amounts) < len(shares):
        return Value(None, None, "Not known: the refund does not tell its amount.")
    return _taken(sum(amounts, Decimal(0)), shares[0][0].currency)


def _share(refunds: Sequence[Refund], units: int) -> Value:
    """The part of all refunds that falls to some of their units."""
    totals = [each.total for each in refunds if each.total is not None]
    if not refunds:
        return Value(None, None, "Not known: nothing was refunded for this return.")
    if len(totals) < len(refunds):
        return Value(None, None, "Not known: the refund does not tell its amount.")
    refunded = sum(each.units for each in refunds)
    amount = -sum(totals, Decimal(0)) * min(units, refunded) / refunded
    return _taken(amount, refunds[0].currency)


def _taken(amount: Decimal, currency: str) -> Value:
    words = "What the refund took from you for these units, net of the fees that were given back."
    return Value(max(amount, Decimal(0)), currency, words)


def _sale(books: Books, sku: str, place: str) -> Value:
    if sold := books.proceeds.get(sku):
        currency, amount = typical(sold, currency_of(place))
        if amount > 0:
            words = f"What a sale of it brought net of fees (median): {money(amount)} {currency}."
            return Value(amount, currency, words)
    unknown = Value(None, None, "Not known: there is no sale and no price of it.")
    return net_price(books, sku, place) or unknown


def _evidence(
    refunds: Iterable[Refund], returned: Iterable[Return], paid: Iterable[Payment]
) -> dict[str, tuple[str, ...]]:
    return evidence(
        ("transactions", [each.id for each in refunds]),
        ("returns", [each.id for each in returned]),
        ("reimbursements", [each.id for each in paid]),
    )
