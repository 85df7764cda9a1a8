"""The marketplaces that a sandbox knows, by region."""

import msgspec


class Marketplace(msgspec.Struct, frozen=True):
    id: str
    name: str
    country: str
    currency: str
    language: str
    region: str

    @property
    def domain(self) -> str:
        return f"www.{self.name.lower()}"

    @property
    def european(self) -> bool:
        return self.region == "EU"

    @property
    def in_union(self) -> bool:
        """Whether it is a country of the European Union, where returns have their own terms."""
        return self.european and self.country != "GB"


_KNOWN = (
    Marketplace("ATVPDKIKX0DER", "Amazon.com", "US", "USD", "en_US", "NA"),
    Marketplace("A2EUQ1WTGCTBG2", "Amazon.ca", "CA", "CAD", "en_CA", "NA"),
    Marketplace("A1AM78C64UM0Y8", "Amazon.com.mx", "MX", "MXN", "es_MX", "NA"),
    Marketplace("A1PA6795UKMFR9", "Amazon.de", "DE", "EUR", "de_DE", "EU"),
    Marketplace("A1F83G8C2ARO7P", "Amazon.co.uk", "GB", "GBP", "en_GB", "EU"),
    Marketplace("A13V1IB3VIYZZH", "Amazon.fr", "FR", "EUR", "fr_FR", "EU"),
    Marketplace("APJ6JRA9NG5V4", "Amazon.it", "IT", "EUR", "it_IT", "EU"),
    Marketplace("A1RKKUPIHCS9HS", "Amazon.es", "ES", "EUR", "es_ES", "EU"),
    Marketplace("A39IBJ37TRP1C6", "Amazon.com.au", "AU", "AUD", "en_AU", "FE"),
    Marketplace("A19VAU5U5O7RUS", "Amazon.sg", "SG", "SGD", "en_SG", "FE"),
)

MARKETPLACES = {each.id: each for each in _KNOWN}

# Where the orders of other shops are booked that Amazon only ships: nobody can sell there.
ELSEWHERE = Marketplace("A2ZV50J4W1RKNI", "Non-Amazon", "US", "USD", "en_US", "")


def marketplace(id: str) -> Marketplace:
    return ELSEWHERE if id == ELSEWHERE.id else MARKETPLACES[id]


def neighbours(id: str) -> dict[str, Marketplace]:
    """The marketplaces of the same region, which one authorisation covers."""
    region = MARKETPLACES[id].region
    return {each.id: each for each in _KNOWN if each.region == region}
