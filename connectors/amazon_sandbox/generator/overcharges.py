"""Fees that were charged too high: for fulfilment (R7), for the referral (R16), and for a size that
Amazon measured too large (R19)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from connectors.amazon_sandbox.generator.amounts import amount_text, units_of
from connectors.amazon_sandbox.generator.catalogue import Product
from connectors.amazon_sandbox.generator.fees import (
    Fees,
    may_be_announced,
    previews,
    previews_around,
)
from connectors.amazon_sandbox.generator.journal import Journal, PlantedClaim
from connectors.amazon_sandbox.generator.sizes import TRUE_SIZE

_ANNOUNCED = "announced by a preview, or too low to exceed the tolerance"
_OTHER_REASON = "no preview shows a higher fee for the size alone"


class ShippedLine(msgspec.Struct, frozen=True, gc=False):
    """Units of a product with a fee anomaly, shipped from the home marketplace."""

    at: int
    product: Product
    units: int
    #: The price of a unit, in cents.
    price: int
    by_amazon: bool


class _Fee(msgspec.Struct, frozen=True):
    """One kind of fee. Both functions return the fee of a unit, in cents."""

    rule: str
    charged: Callable[[ShippedLine], int]
    #: The fee that a preview made at the given time announces for these units.
    announced: Callable[[ShippedLine, int], int]


def overcharges(
    journal: Journal, fees: Fees, shipped: Iterable[ShippedLine], today: int, currency: str
) -> None:
    """Add the claims for fees above the last preview before the charge and above the first one
    after it: an announced change is not an overcharge. `shipped` is in any order."""
    rows = list(shipped)
    by_amazon = [row for row in rows if row.by_amazon]
    _compare(journal, _fulfilment(fees), by_amazon, today, currency)
    _compare(journal, _referral(fees), rows, today, currency)
    _remeasured(journal, fees, by_amazon, today, currency)


def _fulfilment(fees: Fees) -> _Fee:
    def announced(row: ShippedLine, at: int) -> int:
        """The fee that a preview shows at the usual price, adjusted for the public low-price
        threshold."""
        crossed = fees.charged(row.product, at, price=row.price) - fees.charged(row.product, at)
        return fees.expected(row.product, at) + crossed

    return _Fee("R7", lambda row: fees.charged(row.product, row.at, price=row.price), announced)


def _referral(fees: Fees) -> _Fee:
    return _Fee(
        "R16",
        lambda row: row.price * fees.charged_rate(row.product, row.at) // 100,
        lambda row, at: fees.referral(row.product, at, row.price),
    )


def _compare(
    journal: Journal, fee: _Fee, rows: Iterable[ShippedLine], today: int, currency: str
) -> None:
    listed = sorted(previews(today))
    charges: dict[tuple[Product, int, int], list[tuple[ShippedLine, int]]] = defaultdict(list)
    for row in rows:
        around = previews_around(listed, row.at, today)
        charged = fee.charged(row)
        if around is None:
            if charged > fee.announced(row, row.at):
                journal.add_decoy(fee.rule, row.product.sku, "no preview is older than the charge")
            continue
        before, after = (fee.announced(row, at) for at in around)
        if _is_too_high(charged, max(before, after), currency):
            excess = (charged - max(before, after)) * row.units
            charges[row.product, before, charged].append((row, excess))
        elif charged != before or before != after or row.price != row.product.price:
            journal.add_decoy(fee.rule, row.product.sku, _ANNOUNCED)
    for (product, before, charged), group in charges.items():
        fees = (amount_text(before, currency), amount_text(charged, currency))
        claim = PlantedClaim(
            rule=fee.rule,
            key="|".join((product.sku, *fees)),
            product=product,
            units=sum(row.units for row, _ in group),
            base=min(row.at for row, _ in group),
            amount=sum(excess for _, excess in group),
            valued_by="fees",
            currency=currency,
        )
        journal.claims.append(claim)


def _is_too_high(charged: int, expected: int, currency: str) -> bool:
    """Whether the charge exceeds the expected fee by more than 0.05 and more than 2 %."""
    return charged - expected > max(units_of(currency) * 0.05, expected * 0.02)


# Sizes ------------------------------------------------------------------------------------------


def _remeasured(
    journal: Journal, fees: Fees, rows: Iterable[ShippedLine], today: int, currency: str
) -> None:
    """Add the claims for fees that rose because previews show a larger size."""
    listed = sorted(previews(today))
    charges: dict[tuple[Product, int, bool], list[tuple[ShippedLine, int]]] = defaultdict(list)
    for row in rows:
        raised = _before_raise(fees, row, listed, today)
        if raised is None:
            if any(fees.expected(row.product, at) < _charge(fees, row) for at in listed):
                journal.add_decoy("R19", row.product.sku, _OTHER_REASON)
            continue
        due, charged = fees.expected(row.product, raised), _charge(fees, row)
        if _is_too_high(charged, due, currency):
            comparable = not may_be_announced(raised, row.at, fees.home)
            charges[row.product, charged, comparable].append((row, due))
    for (product, charged, comparable), group in charges.items():
        announced = amount_text(group[0][1], currency)
        reason = "" if comparable else "announced"
        claim = PlantedClaim(
            rule="R19",
            key="|".join((product.sku, announced, reason, amount_text(charged, currency))),
            product=product,
            units=sum(row.units for row, _ in group),
            base=min(row.at for row, _ in group),
            amount=sum((charged - was) * row.units for row, was in group) if comparable else None,
            valued_by="fees" if comparable else "",
            currency=currency,
            low=True,  # Amazon's measurement may be right
        )
        journal.claims.append(claim)


def _charge(fees: Fees, row: ShippedLine) -> int:
    return fees.charged(row.product, row.at, price=row.price)


def _before_raise(fees: Fees, row: ShippedLine, listed: Sequence[int], today: int) -> int | None:
    """The last listed preview with the true size before the unit was shipped with a larger one, if
    the next preview shows a higher fee for that alone."""
    if fees.size(row.product, row.at) == TRUE_SIZE:
        return None
    true = [at for at in listed if at < row.at and fees.size(row.product, at) == TRUE_SIZE]
    if not true:
        return None
    before = max(true)
    after = min((at for at in listed if at > before), default=today)
    if may_be_announced(before, after, fees.home):
        return None
    higher = fees.expected(row.product, after) > fees.expected(row.product, before)
    return before if higher else None
