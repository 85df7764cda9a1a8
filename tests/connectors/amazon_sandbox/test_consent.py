"""The consent page."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from .bench import PARTICIPATIONS, Bench

pytestmark = pytest.mark.anyio

PAGE = "/apps/authorize/consent"
BACK = "http://127.0.0.1:8000/callback?from=amazon"


async def press(bench: Bench, **params: str) -> dict[str, list[str]]:
    """Open the page and press its button. Returns the parameters of the redirect."""
    params = {"application_id": "app", "state": 'a"b&c', "redirect_uri": BACK} | params
    page = (await bench.client.get(PAGE, params=params)).text
    assert page.count("<button") == 1 and '<form method="get"' in page
    [action] = re.findall(r'action="([^"]*)"', page)
    fields = {
        unescape(name): unescape(value)
        for name, value in re.findall(r'name="([^"]*)" value="([^"]*)"', page)
    }
    response = await bench.client.get(action, params=fields)
    assert response.status_code == 302
    callback = urlsplit(response.headers["location"])
    assert (callback.netloc, callback.path) == ("127.0.0.1:8000", "/callback")
    return parse_qs(callback.query)


async def test_the_button_redirects_with_a_code_that_works_once(bench: Bench) -> None:
    callback = await press(bench)
    assert callback["state"] == ['a"b&c'] and callback["from"] == ["amazon"]
    assert callback["spapi_oauth_code"] == ["sandbox-1-120"]
    assert re.fullmatch(r"A[0-9A-F]{13}", callback["selling_partner_id"][0])
    code = {"grant_type": "authorization_code", "code": callback["spapi_oauth_code"][0]}
    assert (await bench.log_in(**code)).json()["refresh_token"] == "Atzr|sandbox-1-120"
    assert (await bench.get(PARTICIPATIONS)).status_code == 200
    assert (await bench.log_in(**code)).json()["error"] == "invalid_grant"


async def test_a_code_expires_after_five_minutes(bench: Bench) -> None:
    code = {"grant_type": "authorization_code", "code": "sandbox-9-50"}
    assert (await press(bench, seller="9-50"))["spapi_oauth_code"] == ["sandbox-9-50"]
    await bench.clock.sleep(300)
    assert (await bench.log_in(**code)).json()["error"] == "invalid_grant"
    await press(bench, seller="9-50")
    await bench.clock.sleep(299)
    assert (await bench.log_in(**code)).status_code == 200


async def test_a_new_consent_ends_a_revocation(bench: Bench) -> None:
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    code = (await press(bench))["spapi_oauth_code"][0]
    assert (await bench.log_in(grant_type="authorization_code", code=code)).status_code == 200


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"application_id": "app"},
        {"application_id": "app", "redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": BACK},
        {"application_id": "app", "redirect_uri": BACK, "seller": "nobody"},
    ],
)
async def test_invalid_parameters_are_rejected(bench: Bench, params: dict[str, str]) -> None:
    for path in (PAGE, f"{PAGE}/agreed"):
        assert (await bench.client.get(path, params=params)).status_code == 400
