"""The identity of a seller: seed, size and countries, and the tokens and ids derived from them."""

import re
from typing import Self

import msgspec

from connectors.amazon_sandbox.generator.marketplaces import of_countries
from connectors.amazon_sandbox.generator.randomness import digest

MAX_ORDERS = 1_000_000  # protects the machine's memory from a mistyped size

_NAME = re.compile(r"(\d{1,18})(?:-(\d{1,7}))?((?:-[A-Z]{2})*)", re.ASCII)
_PREFIX = "Atzr|sandbox-"
_CODE = "sandbox-"


class Identity(msgspec.Struct, frozen=True):
    seed: int
    #: The size: how many orders the seller has.
    orders: int
    #: Where the seller has orders, the home first; empty for the marketplaces of the settings.
    countries: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """The seed of the seller's random streams."""
        return f"{self.seed}-{self.orders}"

    @property
    def name(self) -> str:
        return "-".join((self.root, *self.countries))

    @property
    def marketplaces(self) -> tuple[str, ...]:
        return of_countries(self.countries)

    @property
    def refresh_token(self) -> str:
        return _PREFIX + self.name

    @property
    def partner_id(self) -> str:
        """The selling partner id that the consent page returns."""
        return "A" + digest(self.name)[:13].upper()

    @property
    def code(self) -> str:
        """The code that the consent page returns, to be redeemed for the refresh token."""
        return _CODE + self.name

    @classmethod
    def of_name(cls, name: str, default_orders: int) -> Self | None:
        """The seller named SEED, SEED-ORDERS or SEED-ORDERS-COUNTRY-COUNTRY. None if the name is
        malformed, or if no authorization covers the countries."""
        match = _NAME.fullmatch(name)
        if not match:
            return None
        orders = default_orders if match[2] is None else int(match[2])
        countries = tuple(match[3].split("-")[1:])
        if orders > MAX_ORDERS or (countries and not of_countries(countries)):
            return None
        return cls(int(match[1]), orders, countries)

    @classmethod
    def of_token(cls, token: str, default_orders: int) -> Self | None:
        """The seller of the refresh token, or None if it belongs to no seller."""
        if not token.startswith(_PREFIX):
            return None
        return cls.of_name(token.removeprefix(_PREFIX), default_orders)

    @classmethod
    def of_code(cls, code: str, default_orders: int) -> Self | None:
        """The seller of the consent code, or None if it belongs to no seller."""
        if not code.startswith(_CODE):
            return None
        return cls.of_name(code.removeprefix(_CODE), default_orders)
