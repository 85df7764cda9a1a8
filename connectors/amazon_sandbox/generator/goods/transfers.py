"""Scenarios of units that leave a warehouse for another one and never arrive (R20)."""

from connectors.amazon_sandbox.generator.goods.placement import CENTERS, Placement
from connectors.amazon_sandbox.generator.journal import Movement, PlantedClaim

_OVERDUE = 45  # days within which a transfer may still arrive


def transfer_lost(placement: Placement) -> None:
    _transfer(placement, placement.rng.choice((1, 2, 4)), ())


def transfer_partly_lost(placement: Placement) -> None:
    _transfer(placement, 5, ((1, 3),))


def transfer_late(placement: Placement) -> None:
    """Arrives after weeks, but in time."""
    _transfer(placement, 3, ((30, 3),), "it arrived")


def transfer_in_parts(placement: Placement) -> None:
    """Arrives in two rows."""
    _transfer(placement, 4, ((1, 1), (3, 3)), "it arrived")


def transfer_found(placement: Placement) -> None:
    """Arrives after it was given up."""
    _transfer(placement, 2, ((52, 2),), "it arrived")
    placement.end("R20", _key(placement), "found", 52)


def _transfer(
    placement: Placement, units: int, arrivals: tuple[tuple[float, int], ...], reason: str = ""
) -> None:
    """Add the row of the departure and those of the arrivals, by days after it, and a claim for the
    units that are overdue. `reason`: why nothing is open."""
    if not _add_row(placement, 0, -units, placement.center):
        return
    target = next(center for center in CENTERS if center != placement.center)
    arrived, last = 0, 0.0
    for after, count in arrivals:
        if _add_row(placement, after, count, target):
            arrived, last = arrived + count, after
    # While units still arrive, the rest may also arrive.
    if placement.journal.days_since(placement.moment(last)) < _OVERDUE and arrived < units:
        reason = "too young: it may still arrive"
    elif arrived < units:
        placement.journal.claims.append(_claim(placement, units - arrived, last))
        return
    placement.journal.add_decoy("R20", _key(placement), reason)


def _add_row(placement: Placement, after: float, quantity: int, center: str) -> int:
    row = Movement(
        at=placement.moment(after),
        product=placement.product,
        event="WhseTransfers",
        reference=placement.reference,
        quantity=quantity,
        center=center,
    )
    return placement.journal.add_movement(row)


def _claim(placement: Placement, units: int, last: float) -> PlantedClaim:
    return PlantedClaim(
        rule="R20",
        key=_key(placement),
        product=placement.product,
        units=units,
        base=placement.moment(last + _OVERDUE),
        by_unit=True,
        low=True,
        reference=placement.reference,
    )


def _key(placement: Placement) -> str:
    return f"{placement.reference}|{placement.product.fn_sku}"
