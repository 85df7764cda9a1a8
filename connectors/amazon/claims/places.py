"""Where a row belongs: the country of its marketplace, told by whatever the row has."""

from collections.abc import Mapping
from functools import lru_cache

EUROPE = "EU"
"""Stands for a country of the European Union where only the euro is known."""

UNION = frozenset({EUROPE, "AT", "BE", "DE", "ES", "FR", "IE", "IT", "NL", "PL", "SE"})

MARKETPLACES: Mapping[str, str] = {
    "ATVPDKIKX0DER": "US",
    "A2EUQ1WTGCTBG2": "CA",
    "A1AM78C64UM0Y8": "MX",
    "A2Q3Y263D00KWC": "BR",
    "A1F83G8C2ARO7P": "GB",
    "A1PA6795UKMFR9": "DE",
    "A13V1IB3VIYZZH": "FR",
    "APJ6JRA9NG5V4": "IT",
    "A1RKKUPIHCS9HS": "ES",
    "A1805IZSGTT6HS": "NL",
    "A2NODRKZP88ZB9": "SE",
    "A1C3SOZRARQ6R3": "PL",
    "AMEN7PMS3EDWL": "BE",
    "A28R8C7NBKEWEA": "IE",
    "A33AVAJ2PDY3EV": "TR",
    "A2VIGQ35RCS4UG": "AE",
    "A17E79C6D8DWNP": "SA",
    "ARBP9OOSHTCHU": "EG",
    "A21TJRUUN4KGV": "IN",
    "AE08WJ6YKNBMC": "ZA",
    "A1VC38T7YXB528": "JP",
    "A39IBJ37TRP1C6": "AU",
    "A19VAU5U5O7RUS": "SG",
}
"""The country of each marketplace (developer docs, "Marketplace IDs")."""

CURRENCIES: Mapping[str, str] = {
    "USD": "US",
    "CAD": "CA",
    "MXN": "MX",
    "BRL": "BR",
    "GBP": "GB",
    "EUR": EUROPE,
    "SEK": "SE",
    "PLN": "PL",
    "TRY": "TR",
    "AED": "AE",
    "SAR": "SA",
    "EGP": "EG",
    "INR": "IN",
    "ZAR": "ZA",
    "JPY": "JP",
    "AUD": "AU",
    "SGD": "SG",
}


@lru_cache(maxsize=4096)
def place(marketplace: str = "", country: str = "", currency: str = "") -> str:
    """The country by the first of these that tells; empty if none does."""
    code = country.upper()
    known = "GB" if code == "UK" else code if len(code) == 2 and code.isalpha() else ""
    return MARKETPLACES.get(marketplace) or known or CURRENCIES.get(currency.upper(), "")


def currency_of(country: str) -> str:
    """What a country's marketplace pays in; empty if it is not known."""
    if country in UNION - {"SE", "PL"}:
        return "EUR"
    return next((money for money, where in CURRENCIES.items() if where == country), "")
