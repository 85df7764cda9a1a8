"""What units are worth, and how that was reckoned."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from statistics import median

import msgspec

from connectors.amazon import cells
from connectors.amazon.claims.books import Books, Preview
from connectors.amazon.marketplaces import currency_of

SOURCING_COST = date(2025, 3, 31)
"""Since then Amazon pays what it costs to make or buy a unit, not what it sells for."""
CENT = Decimal("0.01")


class Value(msgspec.Struct, frozen=True):
    """An amount in a currency, both None where it cannot be told, and in words why it is that."""

    amount: Decimal | None
    currency: str | None
    words: str

    def times(self, units: int) -> "Value":
        if self.amount is None:
            return self
        return Value(self.amount * units, self.currency, self.words)


def money(amount: Decimal) -> str:
    return str(amount.quantize(CENT, ROUND_HALF_UP))


def unit_value(books: Books, fnsku: str, sku: str, place: str) -> Value:
    """A unit that was not sold yet: its cost, else what Amazon paid before, else its price."""
    sku = sku or books.skus.get(fnsku, "")
    return (
        _cost(books, sku)
        or _paid(books, fnsku, place)
        or net_price(books, sku, place)
        or Value(
            None, None, "Not known: you gave no cost, nothing was paid before, there is no price."
        )
    )


def _cost(books: Books, sku: str) -> Value | None:
    given = books.cost(sku) if sku else None
    amount = cells.decimal(given.amount) if given else None
    if given is None or amount is None or amount <= 0:
        return None
    return Value(amount, given.currency, f"Your cost of {money(amount)} {given.currency} a unit.")


def _paid(books: Books, fnsku: str, place: str) -> Value | None:
    paid = [
        (each.currency, each.each)
        for each in books.paid.get(fnsku, ())
        if each.each is not None
        and each.each > 0
        and each.day >= SOURCING_COST
        and each.reason.startswith(("lost", "damaged"))
    ]
    if not paid:
        return None
    currency, amount = typical(paid, currency_of(place))
    words = f"The median of what Amazon paid for this product since {SOURCING_COST}: "
    return Value(amount, currency, f"{words}{money(amount)} {currency} a unit.")


def typical(amounts: Iterable[tuple[str, Decimal]], preferred: str) -> tuple[str, Decimal]:
    """The median in the preferred currency, else in the one that most of them have."""
    grouped: dict[str, list[Decimal]] = {}
    for currency, amount in amounts:
        grouped.setdefault(currency, []).append(amount)
    best = max(grouped, key=lambda name: (name == preferred, len(grouped[name]), name))
    return best, Decimal(median(grouped[best]))


def net_price(books: Books, sku: str, place: str) -> Value | None:
    """The price less Amazon's estimate of its fees."""
    preview = _latest(books.previews.get(sku, ()), place)
    if preview is None or preview.fees is None:
        return None
    price = preview.price if preview.price is not None else books.prices.get(sku)
    if price is None or price <= preview.fees:
        return None
    amount, currency = price - preview.fees, preview.currency
    words = f"The price less Amazon's estimated fees: {money(amount)} {currency} a unit at most"
    return Value(amount, currency, f"{words} (an upper bound).")


def _latest(previews: Sequence[Preview], place: str) -> Preview | None:
    usable = [each for each in previews if each.fees is not None and each.currency]
    wanted = currency_of(place)
    return max(
        usable,
        key=lambda each: (each.place == place, each.currency == wanted, each.at, each.id),
        default=None,
    )
