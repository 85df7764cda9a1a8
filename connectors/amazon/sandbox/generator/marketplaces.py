"""The marketplaces of the North American region."""

import msgspec


class Marketplace(msgspec.Struct, frozen=True):
    id: str
    name: str
    country: str
    currency: str
    language: str

    @property
    def domain(self) -> str:
        return f"www.{self.name.lower()}"


MARKETPLACES = {
    each.id: each
    for each in (
        Marketplace("ATVPDKIKX0DER", "Amazon.com", "US", "USD", "en_US"),
        Marketplace("A2EUQ1WTGCTBG2", "Amazon.ca", "CA", "CAD", "en_CA"),
        Marketplace("A1AM78C64UM0Y8", "Amazon.com.mx", "MX", "MXN", "es_MX"),
    )
}
