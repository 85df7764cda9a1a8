"""How Amazon measures a product, and when it measures one larger than it is."""

import msgspec

from connectors.amazon_sandbox.generator.times import DAY

_STEP = 30 * DAY  # a preview is made on the first day of each one
_CYCLE = 6 * _STEP
# It begins on the day after a preview and ends days after another one, which is then listed: no
# charge lies between previews that differ both in size and by an announced change.
_BEGINS, _LASTS = DAY, 3 * _STEP + 4 * DAY


class Size(msgspec.Struct, frozen=True):
    """A packed unit. Lengths are in hundredths of an inch, the weight in hundredths of a pound."""

    longest: int
    median: int
    shortest: int
    weight: int
    #: The size tier of the American layout, and the band of the European one.
    tier: str
    band: str


TRUE_SIZE = Size(600, 400, 100, 50, "Small standard-size", "Standard envelope")
_TOO_LARGE = Size(900, 650, 250, 120, "Large standard-size", "Standard parcel")
_LARGER = Size(630, 410, 110, 55, "Small standard-size", "Standard envelope")

# The first step of six in which a product with this anomaly is measured too large.
REMEASURED = {"remeasured_1": 1, "remeasured_3": 3, "remeasured_5": 5}
# Measured larger, without a higher fee.
HARMLESS = "measured_larger"


def is_mismeasured(anomaly: str, at: float) -> bool:
    """Whether a product with this anomaly is measured too large at that moment."""
    first = REMEASURED.get(anomaly)
    return first is not None and (int(at) - first * _STEP - _BEGINS) % _CYCLE < _LASTS


def measured(anomaly: str, at: float) -> Size:
    """The size that a preview of that moment shows."""
    if anomaly == HARMLESS and int(at) // _STEP % 2:
        return _LARGER
    return _TOO_LARGE if is_mismeasured(anomaly, at) else TRUE_SIZE
