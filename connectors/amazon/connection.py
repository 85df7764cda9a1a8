"""The settings that connect a seller's account."""

from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from connectors.amazon.marketplaces import MARKETPLACES
from connectors.base import SECRET, SEPARATES_ACCOUNTS, ConnectionSettings, choices

REGION_TITLES = {"NA": "North America", "EU": "Europe", "FE": "Far East"}
MARKETPLACE_TITLES = {each.id: f"{each.country} ({each.currency})" for each in MARKETPLACES}
MARKETPLACE_REGIONS = {each.id: {"region": each.region} for each in MARKETPLACES}


class SellerSettings(ConnectionSettings, frozen=True, kw_only=True):
    """One authorisation of a seller, which is valid in one region."""

    #: Not restricted here, since lower case is also accepted.
    region: Annotated[str, Meta(title="Region", max_length=50), choices(REGION_TITLES)] = "NA"
    marketplace_ids: Annotated[
        tuple[
            Annotated[str, Meta(max_length=50), choices(MARKETPLACE_TITLES, MARKETPLACE_REGIONS)],
            ...,
        ],
        Meta(
            title="Marketplaces",
            description="Ids, separated by commas; empty means all of the region.",
            max_length=50,
        ),
    ] = ()
    environment: Annotated[
        Literal["production", "sandbox"],
        Meta(title="Environment"),
        choices({"production": "Production", "sandbox": "Sandbox"}),
        SEPARATES_ACCOUNTS,
    ] = "production"
    refresh_token: Annotated[str, Meta(title="Refresh token", max_length=4096), SECRET]

    def __post_init__(self) -> None:
        force_setattr(self, "region", self.region.upper())
        force_setattr(self, "marketplace_ids", tuple(dict.fromkeys(self.marketplace_ids)))
