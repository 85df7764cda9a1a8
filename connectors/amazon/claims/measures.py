"""The size and weight of a unit, from Amazon's fee preview or the seller's own table."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from connectors.amazon.cells import decimal, label, text
from connectors.claims import Dimensions

CENTIMETRES: Mapping[str, Decimal] = {
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeter", "centimeters"), Decimal(1)),
    **dict.fromkeys(("mm", "millimetres", "millimeters"), Decimal("0.1")),
    **dict.fromkeys(("in", "inch", "inches"), Decimal("2.54")),
}
GRAMS: Mapping[str, Decimal] = {
    **dict.fromkeys(("g", "gram", "grams"), Decimal(1)),
    **dict.fromkeys(("kg", "kilogram", "kilograms"), Decimal(1000)),
    **dict.fromkeys(("lb", "lbs", "pound", "pounds"), Decimal("453.59237")),
    **dict.fromkeys(("oz", "ounce", "ounces"), Decimal("28.349523125")),
}
NOISE_SHARE = Decimal("0.02")
NOISE: Mapping[str, Decimal] = {
    **dict.fromkeys(("longest", "median", "shortest"), Decimal("0.5")),
    "weight": Decimal(10),
}
"""Amazon's and the seller's figures agree if they differ by at most this share or this amount: half
a centimetre, ten grams."""
ROUNDING = Decimal("0.005")
"""The share by which rounding may make equal figures of one source differ."""


class Measures(msgspec.Struct, frozen=True):
    """Sides in centimetres and a weight in grams; None where unknown."""

    longest: Decimal | None = None
    median: Decimal | None = None
    shortest: Decimal | None = None
    weight: Decimal | None = None

    def __str__(self) -> str:
        sides = [side for side in (self.longest, self.median, self.shortest) if side is not None]
        size = " x ".join(f"{side:.2f}" for side in sides)
        weight = "" if self.weight is None else f"{self.weight:.0f} g"
        return ", ".join(filter(None, (size and f"{size} cm", weight)))


UNKNOWN = Measures()


def read_measures(
    sides: Sequence[object], length_unit: object, weight: object, weight_unit: object
) -> Measures:
    """The measures in these cells. Sides count only if all three are known."""
    scale, grams = CENTIMETRES.get(label(text(length_unit))), GRAMS.get(label(text(weight_unit)))
    lengths = [_times(side, scale) for side in sides]
    known = sorted((length for length in lengths if length is not None), reverse=True)
    longest, median, shortest = known if len(known) == len(NOISE) - 1 else (None, None, None)
    return Measures(longest, median, shortest, _times(weight, grams))


def entered_measures(entered: Dimensions | None) -> Measures | None:
    """The measures that the seller entered; None if there are none."""
    if entered is None:
        return None
    sides = (entered.length, entered.width, entered.height)
    measures = read_measures(sides, entered.length_unit, entered.weight, entered.weight_unit)
    return None if measures == UNKNOWN else measures


def is_larger(measured: Measures, earlier: Measures) -> bool:
    """Whether a figure grew between two measurements of one source."""
    return any(_grew(now, before) for _, (now, before) in _known(measured, earlier))


def is_above(measured: Measures, own: Measures) -> bool:
    """Whether a figure exceeds the seller's own by more than the noise of measuring."""
    return any(
        now - mine > max(NOISE[name], mine * NOISE_SHARE)
        for name, (now, mine) in _known(measured, own)
    )


def is_disputed(measured: Measures, earlier: Measures, own: Measures) -> bool:
    """Whether, for a figure that grew, the seller's own is nearer to the earlier one."""
    return any(
        _grew(now, before) and mine < (now + before) / 2
        for _, (now, before, mine) in _known(measured, earlier, own)
    )


def _times(cell: object, scale: Decimal | None) -> Decimal | None:
    number = decimal(cell)
    return number * scale if number is not None and number > 0 and scale is not None else None


def _grew(now: Decimal, before: Decimal) -> bool:
    return now - before > before * ROUNDING


def _known(*measures: Measures) -> Iterator[tuple[str, Sequence[Decimal]]]:
    """The figures that all of these measures have, by name."""
    for name in NOISE:
        figures = [figure for one in measures if (figure := getattr(one, name)) is not None]
        if len(figures) == len(measures):
            yield name, figures
