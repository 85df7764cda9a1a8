"""Claim windows: how many days after its event a claim opens and closes, by rule and place."""

from collections.abc import Iterable, Mapping

import msgspec

from connectors.amazon.marketplaces import EUROPE, UNION
from connectors.amazon.settings import Days

DEFAULT_PLACE = "US"
"""The place whose days apply if neither the claim nor the seller has a known place."""


class ClaimWindow(msgspec.Struct, frozen=True):
    """The days of one rule."""

    #: The days wherever no other entry applies.
    usual: Days
    #: The days of particular places: a country, or "EU" for every country of the European Union.
    places: Mapping[str, Days] = {}

    def of(self, place: str) -> Days:
        return next(
            (self.places[name] for name in names_of(place) if name in self.places), self.usual
        )


class Windows(msgspec.Struct, frozen=True):
    """The windows of all rules, with the operator's changes (AMAZON_CLAIM_WINDOWS) applied."""

    #: The window of each rule, by its code.
    rules: Mapping[str, ClaimWindow]
    #: Days that replace those of the rules, by place and code.
    changes: Mapping[str, Mapping[str, Days]] = {}
    #: The place of claims that name none. If empty, it is the place where most was sold.
    home: str = ""

    def of(self, code: str, place: str) -> Days:
        """The days of a rule in a place; a country's own days take precedence over the EU's."""
        place = place or self.home or DEFAULT_PLACE
        for name in names_of(place):
            if days := self.changes.get(name, {}).get(code):
                return days
        return self.rules[code].of(place)

    def longest(self, codes: Iterable[str]) -> int:
        """The most days after its event that a claim of these rules closes, in any place."""
        return max(days.closes for code in codes for days in self._all_days(code))

    def _all_days(self, code: str) -> Iterable[Days]:
        window = self.rules[code]
        changed = (days[code] for days in self.changes.values() if code in days)
        return (window.usual, *window.places.values(), *changed)


def names_of(place: str) -> tuple[str, ...]:
    """The keys under which a setting of a place may be given, the most specific first."""
    return (place, EUROPE) if place in UNION else (place,)
