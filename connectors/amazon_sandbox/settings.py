"""The settings of a sandbox, and the environment that points a client at it."""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.faults import Faults
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.marketplaces import (
    MARKETPLACES,
    account_of,
    of_countries,
)
from connectors.amazon_sandbox.operations import NAMES

_US = "ATVPDKIKX0DER"


class Settings(msgspec.Struct, frozen=True):
    #: Size of a seller whose refresh token states none.
    orders: int = 2_500
    #: Seed of the default seller and of the faults.
    seed: int = 1
    #: Divides every time that a client must wait.
    speed: float = 1.0
    #: Replaces published quotas. By operation: calls per second (before `speed`) and burst.
    quotas: Mapping[str, tuple[float, float]] = {}
    #: Where sellers have orders, all of one account; the first is their home marketplace. A seller
    #: whose refresh token names countries has orders there instead.
    marketplaces: tuple[str, ...] = (_US,)
    #: How often the ledger repeats its rows of shipments, for large documents.
    rows: int = 1
    #: Respond like Amazon's own static sandbox.
    static: bool = False
    #: Faults from startup on, and again after a reset.
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError("speed must be above 0")
        if not self.marketplaces or set(self.marketplaces) - set(MARKETPLACES):
            raise ValueError(f"marketplaces must be some of {', '.join(MARKETPLACES)}")
        if len({account_of(MARKETPLACES[id]) for id in self.marketplaces}) > 1:
            raise ValueError("marketplaces must be of one account")
        if unknown := {*self.quotas, *self.faults.quotas} - NAMES:
            raise ValueError(f"unknown operation: {', '.join(sorted(unknown))}")


def read_faults(text: str) -> Faults:
    """Faults from JSON, as in `POST /_sandbox/faults`, or from NAME=NUMBER,NAME=NUMBER.

    Raises ValueError.
    """
    names = {field.name: field.encode_name for field in msgspec.structs.fields(Faults)}
    try:
        if text.lstrip().startswith("{"):
            return msgspec.json.decode(text, type=Faults)
        pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
        values = {name.strip(): _number(name, value) for name, _, value in pairs}
        values = {names.get(name, name): value for name, value in values.items()}
        return msgspec.convert(values, Faults)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{error}. The faults are: {', '.join(names)}.") from None


def _number(name: str, value: str) -> object:
    try:
        return msgspec.json.decode(value, type=int | float)
    except msgspec.DecodeError:
        raise ValueError(f"{name.strip()} must be given as NAME=NUMBER, not {value!r}.") from None


def environ(base_url: str) -> dict[str, str]:
    """The environment that points the connector at a sandbox with this base URL."""
    base_url = base_url.rstrip("/")
    return {
        "AMAZON_SP_API_URL": base_url,
        "AMAZON_LWA_URL": f"{base_url}/auth/o2/token",
        "AMAZON_CONSENT_URL": base_url,
        "AMAZON_CLIENT_ID": "amzn1.application-oa2-client.sandbox",
        "AMAZON_CLIENT_SECRET": "amzn1.oa2-cs.v1.sandbox",
        "AMAZON_APP_ID": "amzn1.sp.solution.sandbox",
    }


def read_marketplaces(text: str) -> tuple[str, ...]:
    """The ids of marketplaces from their countries: DE,FR. Raises ValueError."""
    countries = [country.strip().upper() for country in text.split(",") if country.strip()]
    if marketplaces := of_countries(countries):
        return marketplaces
    known = ", ".join(marketplace.country for marketplace in MARKETPLACES.values())
    raise ValueError(
        f"{text!r} is not a list of countries that one account covers, such as US or DE,FR. "
        f"The countries are: {known}."
    )


def connection(seed: int, orders: int, marketplaces: tuple[str, ...] = (_US,)) -> dict[str, object]:
    """The body with which a client connects that seller. The token names the countries unless the
    US is the only one."""
    places = [MARKETPLACES[id] for id in marketplaces]
    countries = () if marketplaces == (_US,) else tuple(place.country for place in places)
    return {
        "connector": "amazon",
        "region": places[0].region,
        "marketplaceIds": list(marketplaces),
        "refreshToken": Identity(seed, orders, countries).refresh_token,
        "environment": "production",
    }
