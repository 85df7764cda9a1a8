"""Claim windows: the first and last day, counted from the claim's base, by rule and country.

This table is the generator's own and shares nothing with the rules of any client."""

from collections.abc import Mapping

Days = tuple[int, int]

_USUAL: Mapping[str, Days] = {
    "R1": (7, 60),
    "R2": (7, 60),
    "R3": (7, 60),
    "R4": (60, 120),
    "R5": (60, 120),
    "R6": (60, 120),
    "R7": (0, 90),
    "R8": (15, 270),
    "R9": (7, 60),
    "R10": (0, 60),
    "R11": (0, 60),
    "R12": (15, 75),
    "R13": (0, 60),
    "R14": (15, 270),
    "R15": (60, 120),
    "R16": (0, 90),
    "R17": (0, 90),
    "R18": (0, 90),
    "R19": (0, 90),
    "R20": (0, 60),
    "R21": (0, 90),
}

# Countries whose customer returns and inbound shipments have windows of their own.
_EUROPE = ("DE", "FR", "IT", "ES", "GB")
_RETURNS: Mapping[str, Days] = dict.fromkeys((*_EUROPE, "JP"), (45, 105))
_INBOUND: Mapping[str, Days] = {
    **dict.fromkeys(_EUROPE, (15, 180)),
    "AE": (15, 60),
    "IN": (0, 60),
}
_BY_COUNTRY: Mapping[str, Mapping[str, Days]] = {
    **dict.fromkeys(("R4", "R5", "R6", "R15"), _RETURNS),
    **dict.fromkeys(("R8", "R14"), _INBOUND),
}


def claim_window(rule: str, country: str) -> Days:
    return _BY_COUNTRY.get(rule, {}).get(country, _USUAL[rule])
