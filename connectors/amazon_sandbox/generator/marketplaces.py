"""The marketplaces of the sandbox, by region."""

from collections.abc import Sequence

import msgspec


class MarketplaceInfo(msgspec.Struct, frozen=True):
    id: str
    name: str
    country: str
    currency: str
    language: str
    region: str
    #: One authorization covers the marketplaces of one account.
    account: str = ""

    @property
    def domain(self) -> str:
        return f"www.{self.name.lower()}"

    @property
    def european(self) -> bool:
        return self.region == "EU"


_ALL = (
    MarketplaceInfo("ATVPDKIKX0DER", "Amazon.com", "US", "USD", "en_US", "NA"),
    MarketplaceInfo("A2EUQ1WTGCTBG2", "Amazon.ca", "CA", "CAD", "en_CA", "NA"),
    MarketplaceInfo("A1AM78C64UM0Y8", "Amazon.com.mx", "MX", "MXN", "es_MX", "NA"),
    MarketplaceInfo("A1PA6795UKMFR9", "Amazon.de", "DE", "EUR", "de_DE", "EU"),
    MarketplaceInfo("A1F83G8C2ARO7P", "Amazon.co.uk", "GB", "GBP", "en_GB", "EU"),
    MarketplaceInfo("A13V1IB3VIYZZH", "Amazon.fr", "FR", "EUR", "fr_FR", "EU"),
    MarketplaceInfo("APJ6JRA9NG5V4", "Amazon.it", "IT", "EUR", "it_IT", "EU"),
    MarketplaceInfo("A1RKKUPIHCS9HS", "Amazon.es", "ES", "EUR", "es_ES", "EU"),
    MarketplaceInfo("A2VIGQ35RCS4UG", "Amazon.ae", "AE", "AED", "en_AE", "EU", "AE"),
    MarketplaceInfo("A21TJRUUN4KGV", "Amazon.in", "IN", "INR", "en_IN", "EU", "IN"),
    MarketplaceInfo("A1VC38T7YXB528", "Amazon.co.jp", "JP", "JPY", "ja_JP", "FE", "JP"),
    MarketplaceInfo("A39IBJ37TRP1C6", "Amazon.com.au", "AU", "AUD", "en_AU", "FE"),
    MarketplaceInfo("A19VAU5U5O7RUS", "Amazon.sg", "SG", "SGD", "en_SG", "FE"),
)

MARKETPLACES = {marketplace.id: marketplace for marketplace in _ALL}

# Multi-Channel Fulfillment: orders of other shops that Amazon ships. It is not a sales channel.
NON_AMAZON = MarketplaceInfo("A2ZV50J4W1RKNI", "Non-Amazon", "US", "USD", "en_US", "")


def marketplace(id: str) -> MarketplaceInfo:
    return NON_AMAZON if id == NON_AMAZON.id else MARKETPLACES[id]


def account_of(marketplace: MarketplaceInfo) -> str:
    return marketplace.account or marketplace.region


def same_account(id: str) -> dict[str, MarketplaceInfo]:
    """The marketplaces of the same account, which one authorization covers."""
    account = account_of(MARKETPLACES[id])
    return {entry.id: entry for entry in _ALL if account_of(entry) == account}


def of_countries(countries: Sequence[str]) -> tuple[str, ...]:
    """The ids of the countries' marketplaces; empty if one has none, or they need two accounts."""
    by_country = {entry.country: entry for entry in _ALL}
    entries = [by_country[country] for country in countries if country in by_country]
    if len(entries) < len(countries) or len({account_of(entry) for entry in entries}) > 1:
        return ()
    return tuple(dict.fromkeys(entry.id for entry in entries))
