"""The operator's settings of the connector, and Amazon's fixed addresses."""

from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec

from connectors.amazon.marketplaces import PLACES, currency_of
from connectors.amazon.profile import PROFILES
from connectors.base import Misconfigured

LWA_URL = "https://api.amazon.com/auth/o2/token"

SELLER_CENTRAL: Mapping[str, str] = {
    "NA": "https://sellercentral.amazon.com",
    "EU": "https://sellercentral-europe.amazon.com",
    "FE": "https://sellercentral.amazon.co.jp",
}
"""The site where a seller of each region consents. One consent is valid for one region."""

ENVIRONMENTS = tuple(PROFILES)
MAX_DAYS = 3_650
"""A claim window that closes later is a mistake."""


class Days(msgspec.Struct, frozen=True):
    """The first and the last day on which a claim can be made, counted from its event."""

    opens: int
    closes: int


class FeeLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limit of the referral fee that Amazon may keep for a refunded unit: an amount or a share
    of the fee, whichever is less."""

    amount: Decimal
    currency: str
    share: Decimal


class AmazonSettings(msgspec.Struct, frozen=True):
    """The environment variables AMAZON_…; empty if unset."""

    #: The application's credentials for Login with Amazon.
    client_id: str = ""
    client_secret: str = ""
    #: The application's id in Seller Central.
    app_id: str = ""
    #: Replaces the hosts of the API, for a sandbox.
    sp_api_url: str = ""
    #: The address of Login with Amazon.
    lwa_url: str = ""
    #: Replaces the sites of Seller Central, for a sandbox.
    consent_url: str = ""
    #: Claim windows that replace the defaults, by country (or EU) and rule.
    claim_windows: Mapping[str, Mapping[str, Days]] = {}
    #: Limits of the fee kept on a refund that replace the defaults, by country (or EU).
    refund_fee_limits: Mapping[str, FeeLimit] = {}

    def __repr__(self) -> str:
        return f"AmazonSettings(client_id={self.client_id!r})"  # never the secret

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of required variables that are not set."""
        needed = {"AMAZON_CLIENT_ID": self.client_id, "AMAZON_CLIENT_SECRET": self.client_secret}
        return tuple(name for name, value in needed.items() if not value)

    def host(self, region: str, environment: str) -> str:
        """The base address of SP-API calls: AMAZON_SP_API_URL, else Amazon's own for the region."""
        if self.sp_api_url:
            return self.sp_api_url
        prefix = "sandbox." if environment == "sandbox" else ""
        return f"https://{prefix}sellingpartnerapi-{region.lower()}.amazon.com"


def read_settings(environ: Mapping[str, str]) -> AmazonSettings:
    """Read the environment. Raises Misconfigured with the name of an invalid variable."""
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
        refund_fee_limits=_fee_limits(environ.get("AMAZON_REFUND_FEE_LIMITS", "")),
    )


def _is_address(text: str) -> bool:
    try:
        given = urlsplit(text)
        return given.scheme in ("http", "https") and bool(given.hostname) and given.port != 0
    except ValueError:  # an invalid port, or http://[
        return False


def _claim_windows(text: str) -> Mapping[str, Mapping[str, Days]]:
    """Parse AMAZON_CLAIM_WINDOWS: the days when claims open and close, by country (or EU) and rule,
    such as {"DE":{"R4":[45,105]}}. `rules.rule_windows` checks the codes of rules."""
    if not text:
        return {}
    try:
        windows = msgspec.json.decode(text, type=dict[str, dict[str, tuple[int, int]]])
    except ValueError as error:
        raise Misconfigured(
            'AMAZON_CLAIM_WINDOWS must be JSON like {"DE":{"R4":[45,105]}}: by country and rule, '
            f"the days after the event when claims open and close ({error})."
        ) from error
    return {
        place: {rule: _days(place, rule, *days) for rule, days in rules.items()}
        for place, rules in windows.items()
    }


def _days(place: str, rule: str, opens: int, closes: int) -> Days:
    _check_place("AMAZON_CLAIM_WINDOWS", place)
    name = f"AMAZON_CLAIM_WINDOWS: {place} {rule[:20]} is [{opens},{closes}], but"
    if opens < 0 or closes < 0:
        raise Misconfigured(f"{name} days cannot be negative.")
    if opens > closes:
        raise Misconfigured(f"{name} a claim cannot open after it closes.")
    if closes > MAX_DAYS:
        raise Misconfigured(f"{name} at most {MAX_DAYS} days are possible.")
    return Days(opens, closes)


def _fee_limits(text: str) -> Mapping[str, FeeLimit]:
    """Parse AMAZON_REFUND_FEE_LIMITS, by country (or EU)."""
    if not text:
        return {}
    try:
        limits = msgspec.json.decode(text, type=dict[str, FeeLimit])
    except ValueError as error:
        raise Misconfigured(
            "AMAZON_REFUND_FEE_LIMITS must be JSON like "
            '{"GB":{"amount":"4.00","currency":"GBP","share":"0.20"}}: by country, what Amazon may '
            f"keep of the referral fee of a refunded unit ({error})."
        ) from error
    for place, limit in limits.items():
        _check_limit(place, limit)
    return limits


def _check_limit(place: str, limit: FeeLimit) -> None:
    _check_place("AMAZON_REFUND_FEE_LIMITS", place)
    name = f"AMAZON_REFUND_FEE_LIMITS: {place}"
    if limit.currency != currency_of(place):
        given, usual = limit.currency[:20], currency_of(place) or "no currency"
        raise Misconfigured(f"{name} has the currency {given!r}, but its marketplace has {usual}.")
    if not limit.amount.is_finite() or limit.amount < 0:
        raise Misconfigured(f"{name} has the amount {limit.amount:f}, but it must be 0 or more.")
    if not limit.share.is_finite() or not 0 <= limit.share <= 1:
        raise Misconfigured(f"{name} has the share {limit.share:f}, but it must be from 0 to 1.")


def _check_place(name: str, place: str) -> None:
    if place not in PLACES:
        raise Misconfigured(
            f"{name}: {place[:20]!r} is not a place. Use one of {', '.join(sorted(PLACES))}."
        )
