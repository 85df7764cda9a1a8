"""The table of Amazon's marketplaces, and the country of a row. Used for reading and for claims."""

from collections.abc import Mapping
from functools import lru_cache

import msgspec


class Marketplace(msgspec.Struct, frozen=True):
    """A marketplace with its country (ISO 3166), regional endpoint and currency (ISO 4217)."""

    id: str
    country: str
    region: str
    currency: str


# Source: developer documentation, "Marketplace IDs" and "SP-API endpoints".
MARKETPLACES = (
    Marketplace("ATVPDKIKX0DER", "US", "NA", "USD"),
    Marketplace("A2EUQ1WTGCTBG2", "CA", "NA", "CAD"),
    Marketplace("A1AM78C64UM0Y8", "MX", "NA", "MXN"),
    Marketplace("A2Q3Y263D00KWC", "BR", "NA", "BRL"),
    Marketplace("A1F83G8C2ARO7P", "GB", "EU", "GBP"),
    Marketplace("A1PA6795UKMFR9", "DE", "EU", "EUR"),
    Marketplace("A13V1IB3VIYZZH", "FR", "EU", "EUR"),
    Marketplace("APJ6JRA9NG5V4", "IT", "EU", "EUR"),
    Marketplace("A1RKKUPIHCS9HS", "ES", "EU", "EUR"),
    Marketplace("A1805IZSGTT6HS", "NL", "EU", "EUR"),
    Marketplace("A2NODRKZP88ZB9", "SE", "EU", "SEK"),
    Marketplace("A1C3SOZRARQ6R3", "PL", "EU", "PLN"),
    Marketplace("AMEN7PMS3EDWL", "BE", "EU", "EUR"),
    Marketplace("A28R8C7NBKEWEA", "IE", "EU", "EUR"),
    Marketplace("A33AVAJ2PDY3EV", "TR", "EU", "TRY"),
    Marketplace("A2VIGQ35RCS4UG", "AE", "EU", "AED"),
    Marketplace("A17E79C6D8DWNP", "SA", "EU", "SAR"),
    Marketplace("ARBP9OOSHTCHU", "EG", "EU", "EGP"),
    Marketplace("A21TJRUUN4KGV", "IN", "EU", "INR"),
    Marketplace("AE08WJ6YKNBMC", "ZA", "EU", "ZAR"),
    Marketplace("A1VC38T7YXB528", "JP", "FE", "JPY"),
    Marketplace("A39IBJ37TRP1C6", "AU", "FE", "AUD"),
    Marketplace("A19VAU5U5O7RUS", "SG", "FE", "SGD"),
)

EUROPE = "EU"
"""Stands for any country of the European Union, for rows of which only the euro is known."""

UNION = frozenset({EUROPE, "AT", "BE", "DE", "ES", "FR", "IE", "IT", "NL", "PL", "SE"})

PLACES = UNION | {entry.country for entry in MARKETPLACES}
"""Every country of a marketplace or of the European Union, and "EU" itself."""

REGIONS: Mapping[str, frozenset[str]] = {
    region: frozenset(entry.id for entry in MARKETPLACES if entry.region == region)
    for region in ("NA", "EU", "FE")
}
"""The ids of the marketplaces that each regional endpoint serves."""

COUNTRIES: Mapping[str, str] = {entry.id: entry.country for entry in MARKETPLACES}
"""The country of each marketplace, by its id."""

_BY_CURRENCY = {entry.currency: entry.country for entry in MARKETPLACES} | {"EUR": EUROPE}
_CURRENCIES = {entry.country: entry.currency for entry in MARKETPLACES} | dict.fromkeys(
    UNION - {"SE", "PL"}, "EUR"
)


@lru_cache(maxsize=4096)
def place(marketplace: str = "", country: str = "", currency: str = "") -> str:
    """The country of a row, by the first argument that determines one; empty if none does."""
    code = country.upper()
    given = "GB" if code == "UK" else code if len(code) == 2 and code.isalpha() else ""
    return COUNTRIES.get(marketplace) or given or _BY_CURRENCY.get(currency.upper(), "")


def currency_of(country: str) -> str:
    """The currency of a country's marketplace; empty if the country has none."""
    return _CURRENCIES.get(country, "")
