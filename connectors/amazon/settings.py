"""The application's own settings, and Amazon's fixed addresses: hosts, regions, marketplaces."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from connectors.amazon.claims.windows import Days
from connectors.amazon.profile import PROFILES
from connectors.base import Misconfigured

LWA_URL = "https://api.amazon.com/auth/o2/token"

MARKETPLACES: Mapping[str, frozenset[str]] = {
    "NA": frozenset({"ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8", "A2Q3Y263D00KWC"}),
    "EU": frozenset(
        {
            "A1F83G8C2ARO7P",
            "A1PA6795UKMFR9",
            "A13V1IB3VIYZZH",
            "APJ6JRA9NG5V4",
            "A1RKKUPIHCS9HS",
            "A1805IZSGTT6HS",
            "A2NODRKZP88ZB9",
            "A1C3SOZRARQ6R3",
            "AMEN7PMS3EDWL",
            "A28R8C7NBKEWEA",
            "A33AVAJ2PDY3EV",
            "A2VIGQ35RCS4UG",
            "A17E79C6D8DWNP",
            "ARBP9OOSHTCHU",
            "A21TJRUUN4KGV",
            "AE08WJ6YKNBMC",
        }
    ),
    "FE": frozenset({"A1VC38T7YXB528", "A39IBJ37TRP1C6", "A19VAU5U5O7RUS"}),
}
"""The marketplaces that each regional endpoint serves (developer docs, "Marketplace IDs")."""

SELLER_CENTRAL: Mapping[str, str] = {
    "NA": "https://sellercentral.amazon.com",
    "EU": "https://sellercentral-europe.amazon.com",
    "FE": "https://sellercentral.amazon.co.jp",
}
"""Where a seller of each region consents; one consent is good for one region."""

ENVIRONMENTS = tuple(PROFILES)


class AmazonSettings(msgspec.Struct, frozen=True):
    """Read once from AMAZON_… in the environment; empty where unset."""

    client_id: str = ""
    client_secret: str = ""
    app_id: str = ""
    sp_api_url: str = ""
    lwa_url: str = ""
    consent_url: str = ""
    claim_windows: Mapping[str, Mapping[str, Days]] = {}

    def __repr__(self) -> str:
        return f"AmazonSettings(client_id={self.client_id!r})"  # never the secret

    @property
    def missing(self) -> tuple[str, ...]:
        needed = {"AMAZON_CLIENT_ID": self.client_id, "AMAZON_CLIENT_SECRET": self.client_secret}
        return tuple(name for name, value in needed.items() if not value)

    def host(self, region: str, environment: str) -> str:
        """The base address of SP-API calls: AMAZON_SP_API_URL, else Amazon's own for the region."""
        if self.sp_api_url:
            return self.sp_api_url
        prefix = "sandbox." if environment == "sandbox" else ""
        return f"https://{prefix}sellingpartnerapi-{region.lower()}.amazon.com"


def read_settings(environ: Mapping[str, str]) -> AmazonSettings:
    """Raises Misconfigured, naming the variable."""
    for name in ("AMAZON_SP_API_URL", "AMAZON_LWA_URL", "AMAZON_CONSENT_URL"):
        if environ.get(name) and not _is_address(environ[name]):
            raise Misconfigured(f"{name} must be an address like https://example.com.")
    return AmazonSettings(
        client_id=environ.get("AMAZON_CLIENT_ID", ""),
        client_secret=environ.get("AMAZON_CLIENT_SECRET", ""),
        app_id=environ.get("AMAZON_APP_ID", ""),
        sp_api_url=environ.get("AMAZON_SP_API_URL", "").rstrip("/"),
        lwa_url=environ.get("AMAZON_LWA_URL", "") or LWA_URL,
        consent_url=environ.get("AMAZON_CONSENT_URL", "").rstrip("/"),
        claim_windows=_claim_windows(environ.get("AMAZON_CLAIM_WINDOWS", "")),
    )


def _is_address(text: str) -> bool:
    try:
        given = urlsplit(text)
        return given.scheme in ("http", "https") and bool(given.hostname) and given.port != 0
    except ValueError:  # a port that is none, or http://[
        return False


def _claim_windows(text: str) -> Mapping[str, Mapping[str, Days]]:
    """Days in which claims open and close, by country (or EU) and rule: {"DE":{"R4":[45,105]}}."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, dict[str, tuple[int, int]]])
    except ValueError as error:
        raise Misconfigured(
            'AMAZON_CLAIM_WINDOWS must be JSON like {"DE":{"R4":[45,105]}}: by country and rule, '
            f"the days after the event when claims open and close ({error})."
        ) from error
    return {
        place: {rule: Days(*days) for rule, days in rules.items()} for place, rules in found.items()
    }
