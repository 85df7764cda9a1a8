"""The value of units, and how it was determined."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from statistics import median

import msgspec

from connectors.amazon import cells
from connectors.amazon.claims.codes import LOST_OR_DAMAGED
from connectors.amazon.claims.facts import Facts, Preview
from connectors.amazon.marketplaces import currency_of

SOURCING_COST = date(2025, 3, 31)
"""Since this day Amazon pays the cost of making or buying a unit, not its sale price."""
CENT = Decimal("0.01")
WITHOUT_DECIMALS = frozenset({"JPY"})
"""Currencies of Amazon's marketplaces that have no minor unit (ISO 4217)."""


class Value(msgspec.Struct, frozen=True):
    """An amount in a currency, both None if unknown."""

    amount: Decimal | None
    currency: str | None
    #: How the amount was determined, or why it is unknown, as a sentence for the seller.
    basis: str

    def times(self, units: int) -> "Value":
        if self.amount is None:
            return self
        return Value(self.amount * units, self.currency, self.basis)


def unknown(why: str) -> Value:
    return Value(None, None, f"Not known: {why}")


def money(amount: Decimal, currency: str = "") -> str:
    """An amount rounded to the smallest unit of its currency; to cents if it is not given."""
    unit = Decimal(1) if currency in WITHOUT_DECIMALS else CENT
    return str(amount.quantize(unit, ROUND_HALF_UP))


def with_currency(amount: Decimal, currency: str) -> str:
    return f"{money(amount, currency)} {currency}"


def unit_value(facts: Facts, fnsku: str, sku: str, place: str) -> Value:
    """The value of a unit that was not sold: the seller's cost in the currency of the place;
    otherwise what Amazon paid for the product before; otherwise its price less fees."""
    sku, currency = sku or facts.products.skus.get(fnsku, ""), currency_of(place)
    cost = _cost(facts, sku)
    if cost and currency in ("", cost.currency):
        return cost
    known = _paid_before(facts, fnsku, place) or net_price(facts, sku, place)
    if not cost:
        return known or unknown(
            "you entered no cost, Amazon paid for none before, and it has no price."
        )
    not_used = f"your cost is in {cost.currency}, not in {currency}"
    if not known:
        return unknown(f"{not_used}, Amazon paid for none before, and it has no price.")
    basis = f"{known.basis} {not_used[0].upper()}{not_used[1:]}, so it is not used."
    return Value(known.amount, known.currency, basis)


def _cost(facts: Facts, sku: str) -> Value | None:
    cost = facts.cost(sku) if sku else None
    amount = cells.decimal(cost.amount) if cost else None
    if cost is None or amount is None or amount <= 0:
        return None
    return Value(
        amount,
        cost.currency,
        f"Your cost: {with_currency(amount, cost.currency)} per unit.",
    )


def _paid_before(facts: Facts, fnsku: str, place: str) -> Value | None:
    amounts = [
        (payment.currency, payment.per_unit)
        for payment in facts.payments_by_fnsku.get(fnsku, ())
        if payment.per_unit is not None
        and payment.per_unit > 0
        and payment.day >= SOURCING_COST
        and payment.reason.startswith(LOST_OR_DAMAGED)
    ]
    if not amounts:
        return None
    currency, amount = median_amount(amounts, currency_of(place))
    basis = f"The median of what Amazon paid for this product since {SOURCING_COST}: "
    return Value(amount, currency, f"{basis}{with_currency(amount, currency)} per unit.")


def median_amount(amounts: Iterable[tuple[str, Decimal]], preferred: str) -> tuple[str, Decimal]:
    """The median in the preferred currency, or else in the most frequent one."""
    grouped: dict[str, list[Decimal]] = {}
    for currency, amount in amounts:
        grouped.setdefault(currency, []).append(amount)
    best = max(grouped, key=lambda name: (name == preferred, len(grouped[name]), name))
    return best, Decimal(median(grouped[best]))


def net_price(facts: Facts, sku: str, place: str) -> Value | None:
    """The price less Amazon's estimate of its fees."""
    preview = _latest(facts.products.previews.get(sku, ()), place)
    if preview is None or preview.fees is None:
        return None
    price = preview.price if preview.price is not None else facts.products.prices.get(sku)
    if price is None or price <= preview.fees:
        return None
    amount, currency = price - preview.fees, preview.currency
    basis = "The price less Amazon's estimated fees: at most "
    words = f"{with_currency(amount, currency)} per unit (an upper bound)."
    return Value(amount, currency, basis + words)


def _latest(previews: Sequence[Preview], place: str) -> Preview | None:
    usable = [preview for preview in previews if preview.fees is not None and preview.currency]
    currency = currency_of(place)
    return max(
        usable,
        key=lambda preview: (
            preview.place == place,
            preview.currency == currency,
            preview.at,
            preview.id,
        ),
        default=None,
    )
