"""What a sandbox is made with, and how a client is pointed at it."""

from collections.abc import Mapping

import msgspec

from connectors.amazon_sandbox.faults import Faults
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.marketplaces import MARKETPLACES
from connectors.amazon_sandbox.operations import NAMES

_US = "ATVPDKIKX0DER"


class Settings(msgspec.Struct, frozen=True):
    """`orders` is the size of a seller whose refresh token names none; `seed` also seeds faults.

    `speed` divides what a client must wait for. `quotas` replaces published ones: by operation,
    calls per second (before `speed`) and burst. `marketplaces` is where sellers have orders, all
    of one region; the first is their home. `rows` repeats the ledger's rows of shipments, for
    large documents. `static` makes it answer like Amazon's own static sandbox instead. `faults` are
    in force from the start, and again after a reset.
    """

    orders: int = 2_500
    seed: int = 1
    speed: float = 1.0
    quotas: Mapping[str, tuple[float, float]] = {}
    marketplaces: tuple[str, ...] = (_US,)
    rows: int = 1
    static: bool = False
    faults: Faults = Faults()

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError("speed must be above 0")
        if not self.marketplaces or set(self.marketplaces) - set(MARKETPLACES):
            raise ValueError(f"marketplaces must be some of {', '.join(MARKETPLACES)}")
        if len({MARKETPLACES[each].region for each in self.marketplaces}) > 1:
            raise ValueError("marketplaces must be of one region")
        if unknown := {*self.quotas, *self.faults.quotas} - NAMES:
            raise ValueError(f"no such operation: {', '.join(sorted(unknown))}")


def read_faults(text: str) -> Faults:
    """Faults as JSON, as the door takes them, or as NAME=NUMBER,NAME=NUMBER. Raises ValueError."""
    names = {each.name: each.encode_name for each in msgspec.structs.fields(Faults)}
    try:
        if text.lstrip().startswith("{"):
            return msgspec.json.decode(text, type=Faults)
        pairs = [each.partition("=") for each in text.split(",") if each.strip()]
        found = {name.strip(): _number(name, value) for name, _, value in pairs}
        found = {names.get(name, name): value for name, value in found.items()}
        return msgspec.convert(found, Faults)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{error}. The faults are: {', '.join(names)}.") from None


def _number(name: str, value: str) -> object:
    try:
        return msgspec.json.decode(value, type=int | float)
    except msgspec.DecodeError:
        raise ValueError(f"{name.strip()} must be given as NAME=NUMBER, not {value!r}.") from None


def environ(base_url: str) -> dict[str, str]:
    """The environment that points our connector at the sandbox listening there."""
    base_url = base_url.rstrip("/")
    return {
        "AMAZON_SP_API_URL": base_url,
        "AMAZON_LWA_URL": f"{base_url}/auth/o2/token",
        "AMAZON_CONSENT_URL": base_url,
        "AMAZON_CLIENT_ID": "amzn1.application-oa2-client.sandbox",
        "AMAZON_CLIENT_SECRET": "amzn1.oa2-cs.v1.sandbox",
        "AMAZON_APP_ID": "amzn1.sp.solution.sandbox",
    }


def connection(seed: int, orders: int) -> dict[str, object]:
    """What a client posts to connect that seller."""
    return {
        "connector": "amazon",
        "region": "NA",
        "marketplaceIds": [_US],
        "refreshToken": Identity(seed, orders).refresh_token,
        "environment": "production",
    }
