"""Units that were refunded to a customer, or came back from one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from connectors.amazon.claims.books import Books, Key, Payment, Refund, Return
from connectors.amazon.claims.cases import Case, evidence, key, units_of
from connectors.amazon.claims.credits import Credit, draw, total
from connectors.amazon.claims.values import Value, money, net_price, typical
from connectors.amazon.claims.warehouse import grouped
from connectors.amazon.marketplaces import currency_of

AMAZONS_FAULT = frozenset({"damaged", "carrierdamaged"})
SETTLES = timedelta(days=14)
"""How long a return may take until it shows in the ledger."""
EARLY = timedelta(days=1)
"""How much earlier the ledger may date it, which counts its days in another time zone."""
UNTOLD = Value(None, None, "Not known: the refund does not tell its amount in one currency.")

Month = tuple[str, int, int]
"""A product, by its FNSKU, in a month of a year."""


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
            value=_share(given, found.open, _refunded_again(books, (order, sku), given)),
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
    months = grouped(sellable, lambda each: (each.fnsku, each.day.year, each.day.month))
    shown: Counter[Month] = Counter()
    for (fnsku, day), units in books.restocked.items():
        shown[fnsku, day.year, day.month] += units
    for where, found in _unstocked(books, months).items():
        if missing := [one for one in found if one[0].day <= until]:
            counts = sum(each.units for each in months[where]), shown[where]
            yield _vanished(books, where, missing, counts)


def _vanished(
    books: Books, where: Month, missing: Sequence[tuple[Return, int]], counts: tuple[int, int]
) -> Case:
    """The case of a month; `counts` are how many were returned in it, and put into stock."""
    fnsku, year, number = where
    month = f"{year}-{number:02}"
    units, last = sum(count for _, count in missing), missing[-1][0]
    sku = last.sku or books.skus.get(fnsku, "")
    places = (books.sold_in.get(each.order, "") for each, _ in reversed(missing))
    place = next((each for each in places if each), "")
    return Case(
        key=key(fnsku, month),
        title=f"{units_of(units, sku or fnsku)} returned and not put back into stock",
        units=units,
        base=last.day,
        place=place,
        value=_sale(books, sku, place).times(units),
        evidence=evidence(("returns", [each.id for each, _ in missing])),
        details={
            "fnsku": fnsku,
            "sku": sku,
            "month": month,
            "returned": str(counts[0]),
            "restocked": str(counts[1]),
        },
    )


def _unstocked(
    books: Books, months: Mapping[Month, Sequence[Return]]
) -> Mapping[Month, Sequence[tuple[Return, int]]]:
    """The returns that are not put into stock, and how many units of each: not in their month, nor
    in time across its end."""
    puts = _puts(books.restocked)
    found = {where: _left(returned, puts.get(where, ())) for where, returned in months.items()}
    for (fnsku, year, month), credits in found.items():
        for each, credit in credits:
            for at in (each.day - EARLY, each.day + SETTLES):
                if (at.year, at.month) != (year, month):
                    near = puts.get((fnsku, at.year, at.month), ())
                    credit.left -= total(draw(near, credit.left, _in_time(each.day)))
    return {
        where: [(each, credit.left) for each, credit in credits if credit.left > 0]
        for where, credits in found.items()
    }


def _puts(restocked: Mapping[tuple[str, date], int]) -> Mapping[Month, Sequence[Credit]]:
    """What was put into stock, by the product's months, less what the ledger took out again."""
    rows = sorted((fnsku, day, units) for (fnsku, day), units in restocked.items() if units)
    months = grouped(rows, lambda row: (row[0], row[1].year, row[1].month))
    puts = {}
    for where, found in months.items():
        taken = -sum(units for *_, units in found if units < 0)
        credits = [Credit(day, "ledger", "", units) for _, day, units in found if units > 0]
        draw(reversed(credits), taken, lambda _: True)
        puts[where] = credits
    return puts


def _left(returned: Sequence[Return], puts: Sequence[Credit]) -> Sequence[tuple[Return, Credit]]:
    """The returns of a month with what is left of them. What is put into stock is the newest that
    had come back by then, or whatever else is left of the month."""
    credits = [(each, Credit(each.day, "returns", each.id, each.units)) for each in returned]
    newest = [credit for _, credit in reversed(credits)]
    for put in reversed(puts):
        put.left -= total(draw(newest, put.left, _by(put.day)))
    for put in puts:
        put.left -= total(draw([credit for _, credit in credits], put.left, lambda _: True))
    return credits


def _in_time(day: date) -> Callable[[Credit], bool]:
    return lambda put: day - EARLY <= put.day <= day + SETTLES


def _by(day: date) -> Callable[[Credit], bool]:
    return lambda credit: credit.day <= day


def unreturned(books: Books) -> Mapping[Key, Unreturned]:
    """Refunds by order and SKU. Returns and payments close the oldest refund first."""
    returned, paid = _by_order(books)
    found = {}
    for where, refunds in grouped(books.refunds, lambda each: (each.order, each.sku)).items():
        back, settled = returned.get(where, []), paid.get(where, [])
        made_up = sum(each.units for each in back) + sum(each.units for each in settled)
        made_up += _refunded_again(books, where, refunds)
        shares = []
        for refund in refunds:
            still = max(refund.units - max(made_up, 0), 0)
            made_up -= refund.units
            shares.append((refund, still))
        found[where] = Unreturned(shares, back, settled)
    return found


def damaged(books: Books) -> Mapping[Key, Damaged]:
    """Returns that Amazon is answerable for, by order and SKU, less what was paid for them."""
    returned, paid = _by_order(books)
    found = {}
    for where, back in returned.items():
        broken = [each for each in back if each.order and each.disposition in AMAZONS_FAULT]
        if broken:
            settled = paid.get(where, [])
            units = sum(each.units for each in broken)
            open_units = max(units - sum(each.units for each in settled), 0)
            found[where] = Damaged(open_units, broken, settled)
    return found


def _by_order(
    books: Books,
) -> tuple[Mapping[Key, Sequence[Return]], Mapping[Key, Sequence[Payment]]]:
    """Returns, and what was paid for orders, by order and SKU: by that of the refund, even if they
    name none, or another one of the same product."""
    known = {(each.order, each.sku) for each in books.refunds}

    def where(each: Return | Payment) -> Key:
        names = (each.sku, *sorted(books.twins.get(each.fnsku, ())))
        found = next((name for name in names if (each.order, name) in known), each.sku)
        return each.order, found

    returned = grouped(books.returns, where)
    known |= returned.keys()
    paid = [each for each in books.payments if each.order and each.units > 0]
    return returned, grouped(paid, where)


def _refunded_again(books: Books, where: Key, refunds: Sequence[Refund]) -> int:
    """Units that were refunded more than once: there were not so many."""
    sold = books.sold.get(where, 0)
    return max(sum(each.units for each in refunds) - sold, 0) if sold else 0


def _refunded(refunds: Iterable[tuple[Refund, int]]) -> Value:
    """What the refunds took from the seller for the units that are open."""
    shares = [(each, units) for each, units in refunds if units]
    amounts = [-each.total * units / each.units for each, units in shares if each.total is not None]
    if not shares or len(amounts) < len(shares) or _mixed(each for each, _ in shares):
        return UNTOLD
    return _taken(sum(amounts, Decimal(0)), shares[0][0].currency)


def _share(refunds: Sequence[Refund], units: int, again: int) -> Value:
    """The part of all refunds that falls to some of their units; `again` is how many of these were
    refunded before."""
    totals = [each.total for each in refunds if each.total is not None]
    if not refunds:
        return Value(None, None, "Not known: nothing was refunded for this return.")
    if len(totals) < len(refunds) or _mixed(refunds):
        return UNTOLD
    refunded = sum(each.units for each in refunds) - again
    amount = -sum(totals, Decimal(0)) * min(units, refunded) / refunded
    return _taken(amount, refunds[0].currency)


def _mixed(refunds: Iterable[Refund]) -> bool:
    return len({each.currency for each in refunds}) > 1


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
