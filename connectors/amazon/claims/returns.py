"""Units that were refunded to a customer, or came back from one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.books import Books, Key, Payment, Refund, Return
from connectors.amazon.claims.cases import Case, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, draw, total
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
        if each.disposition == "sellable" and each.fnsku and since <= each.day
    ]
    restocked = _months(books.restocked)
    months = grouped(sellable, lambda each: (each.fnsku, each.day.year, each.day.month))
    for (fnsku, year, month), returned in months.items():
        shown = restocked.get((fnsku, year, month), ())
        missing = [one for one in _missing(returned, shown) if one[0].day <= until]
        if not missing:
            continue
        units, last = sum(count for _, count in missing), missing[-1][0]
        sku = last.sku or books.skus.get(fnsku, "")
        place = next(
            (
                books.sold_in[each.order]
                for each, _ in reversed(missing)
                if each.order in books.sold_in
            ),
            "",
        )
        yield Case(
            key=key(fnsku, f"{year}-{month:02}"),
            title=f"{units_of(units, sku or fnsku)} returned and not put back into stock",
            units=units,
            base=last.day,
            place=place,
            value=_sale(books, sku, place).times(units),
            evidence=evidence(("returns", [each.id for each, _ in missing])),
            details={
                "fnsku": fnsku,
                "sku": sku,
                "month": f"{year}-{month:02}",
                "returned": str(sum(each.units for each in returned)),
                "restocked": str(sum(count for _, count in shown)),
            },
        )


def _months(
    restocked: Mapping[tuple[str, date], int],
) -> Mapping[tuple[str, int, int], Sequence[tuple[date, int]]]:
    """The days of each product's months on which units were put into stock, with how many."""
    rows = sorted((fnsku, day, units) for (fnsku, day), units in restocked.items() if units)
    months = grouped(rows, lambda row: (row[0], row[1].year, row[1].month))
    return {where: [(day, units) for _, day, units in found] for where, found in months.items()}


def _missing(
    returned: Sequence[Return], restocked: Sequence[tuple[date, int]]
) -> Sequence[tuple[Return, int]]:
    """The returns of a month that are not put into stock, and how many units of each. What is put
    there is the newest that had come back by then, or whatever else is left of the month."""
    credits = [(each, Credit(each.day, "returns", each.id, each.units)) for each in returned]
    newest = [credit for _, credit in reversed(credits)]
    taken = -sum(units for _, units in restocked if units < 0)  # the ledger took it out again
    over = 0
    for day, units in reversed(restocked):
        put = max(units - taken, 0)
        taken = max(taken - max(units, 0), 0)
        over += put - total(draw(newest, put, _by(day)))
    draw([credit for _, credit in credits], over, lambda _: True)
    return [(each, credit.left) for each, credit in credits if credit.left > 0]


def _by(day: date) -> Callable[[Credit], bool]:
    return lambda credit: credit.day <= day


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
    """What it brings when it is sold: best where it was sold before, else as it is priced."""
    sold = books.proceeds.get(sku, ())
    there = [each for each in sold if each[0] == currency_of(place)]
    return (
        _brought(there)
        or net_price(books, sku, place)
        or _brought(sold)
        or Value(None, None, "Not known: there is no sale and no price of it.")
    )


def _brought(sold: Sequence[tuple[str, Decimal]]) -> Value | None:
    if not sold:
        return None
    currency, amount = typical(sold, "")
    words = f"What a sale of it brought net of fees (median): {money(amount)} {currency}."
    return Value(amount, currency, words) if amount > 0 else None


def _evidence(
    refunds: Iterable[Refund], returned: Iterable[Return], paid: Iterable[Payment]
) -> dict[str, tuple[str, ...]]:
    return evidence(
        ("transactions", [each.id for each in refunds]),
        ("returns", [each.id for each in returned]),
        ("reimbursements", [each.id for each in paid]),
    )
