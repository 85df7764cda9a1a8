"""The operator's settings and Amazon's addresses."""

import pytest

from connectors.amazon.marketplaces import REGIONS
from connectors.amazon.settings import LWA_URL, AmazonSettings, read_settings

HOSTS = [
    ("NA", "production", "https://sellingpartnerapi-na.amazon.com"),
    ("EU", "production", "https://sellingpartnerapi-eu.amazon.com"),
    ("FE", "production", "https://sellingpartnerapi-fe.amazon.com"),
    ("NA", "sandbox", "https://sandbox.sellingpartnerapi-na.amazon.com"),
    ("EU", "sandbox", "https://sandbox.sellingpartnerapi-eu.amazon.com"),
    ("FE", "sandbox", "https://sandbox.sellingpartnerapi-fe.amazon.com"),
]


@pytest.mark.parametrize(("region", "environment", "host"), HOSTS)
def test_each_region_and_environment_has_its_host(region: str, environment: str, host: str) -> None:
    assert read_settings({}).host(region, environment) == host


@pytest.mark.parametrize(("region", "environment", "_"), HOSTS)
def test_a_configured_address_replaces_every_host(region: str, environment: str, _: str) -> None:
    settings = read_settings({"AMAZON_SP_API_URL": "http://127.0.0.1:9000/"})
    assert settings.host(region, environment) == "http://127.0.0.1:9000"


def test_all_regions_share_one_login_unless_another_is_configured() -> None:
    assert read_settings({}).lwa_url == "https://api.amazon.com/auth/o2/token" == LWA_URL
    assert read_settings({"AMAZON_LWA_URL": ""}).lwa_url == LWA_URL
    given = "http://127.0.0.1:9000/auth/o2/token"
    assert read_settings({"AMAZON_LWA_URL": given}).lwa_url == given


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, ("AMAZON_CLIENT_ID", "AMAZON_CLIENT_SECRET")),
        ({"AMAZON_CLIENT_ID": "id"}, ("AMAZON_CLIENT_SECRET",)),
        ({"AMAZON_CLIENT_SECRET": "secret", "AMAZON_CLIENT_ID": ""}, ("AMAZON_CLIENT_ID",)),
        ({"AMAZON_CLIENT_ID": "id", "AMAZON_CLIENT_SECRET": "secret"}, ()),
    ],
)
def test_missing_settings_are_named(environ: dict[str, str], missing: tuple[str, ...]) -> None:
    assert read_settings(environ).missing == missing


def test_the_secret_is_not_shown() -> None:
    settings = AmazonSettings(client_id="amzn1.client", client_secret="very-secret")
    assert "very-secret" not in f"{settings!r} {settings}"


def test_every_marketplace_is_in_one_region() -> None:
    everywhere = [marketplace for region in REGIONS.values() for marketplace in region]
    assert len(everywhere) == len(set(everywhere)) == 23
    assert all(
        set(marketplace) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
        for marketplace in everywhere
    )
