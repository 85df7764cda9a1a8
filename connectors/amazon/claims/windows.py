"""How long after its event a claim opens and closes, by rule and by place."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from connectors.amazon.marketplaces import EUROPE, UNION
from connectors.amazon.settings import Days

WAREHOUSE = Days(7, 60)
RETURNS = Days(60, 120)
RETURNS_EUROPE = Days(45, 105)
INBOUND = Days(15, 270)
"""Sources name six and nine months for shipments; nine, of thirty days."""

USUAL: Mapping[str, Days] = MappingProxyType(
    {
        "R1": WAREHOUSE,
        "R2": WAREHOUSE,
        "R3": WAREHOUSE,
        "R4": RETURNS,
        "R5": RETURNS,
        "R6": RETURNS,
        "R7": Days(0, 90),
        "R8": INBOUND,
        "R9": Days(7, 60),
        "R10": Days(0, 60),
    }
)
PLACES: Mapping[str, Mapping[str, Days]] = MappingProxyType(
    {EUROPE: {"R4": RETURNS_EUROPE, "R5": RETURNS_EUROPE, "R6": RETURNS_EUROPE}}
)


ELSEWHERE = "US"
"""Whose days hold where no place is known."""


class Windows(msgspec.Struct, frozen=True):
    """The days of each rule, and where they differ: `places` by country, "EU" for all of its.

    `home` is the place of what names none; left empty, it is where most was sold. A rule that is
    left out of `usual` keeps its own days."""

    home: str = ""
    usual: Mapping[str, Days] = USUAL
    places: Mapping[str, Mapping[str, Days]] = PLACES

    def of(self, code: str, place: str) -> Days:
        where = place or self.home or ELSEWHERE
        for name in (where, EUROPE) if where in UNION else (where,):
            if found := self.places.get(name, {}).get(code):
                return found
        return self.usual.get(code) or USUAL[code]

    def longest(self, *codes: str) -> int:
        """After how many days the last of these rules closes, wherever that is."""
        places = (self.usual, USUAL, *self.places.values())
        return max(days[code].closes for days in places for code in codes if code in days)


DEFAULT = Windows()
