"""Login with Amazon."""

from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import PARTICIPATIONS, Bench

pytestmark = pytest.mark.anyio


async def test_a_refresh_token_returns_an_access_token_for_an_hour(bench: Bench) -> None:
    response = await bench.log_in("Atzr|sandbox-7-10")
    body = response.json()
    assert body.pop("access_token").startswith("Atza|")
    assert body == {
        "token_type": "bearer",
        "expires_in": 3_600,
        "refresh_token": "Atzr|sandbox-7-10",
    }
    assert response.headers["cache-control"] == "no-store"


async def test_json_is_accepted_instead_of_a_form(bench: Bench) -> None:
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": "Atzr|sandbox-1",
        "client_id": "client",
        "client_secret": "secret",
    }
    assert (await bench.client.post("/auth/o2/token", json=fields)).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"refresh_token": "Atzr|someone-else"}, 400, "invalid_grant"),
        ({"refresh_token": "Atzr|sandbox-1-9999999"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"scope": "sellingpartnerapi::notifications"}, 400, "invalid_request"),
        ({"grant_type": "client_credentials"}, 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "scope": "profile"}, 400, "invalid_scope"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_secret": "wrong-secret"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_an_invalid_form_returns_an_oauth_error(
    bench: Bench, form: dict[str, str], status: int, error: str
) -> None:
    response = await bench.log_in(**form)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert response.json()["error_description"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"grant_type": 1}', b"\xff"])
async def test_malformed_json_is_an_invalid_request(bench: Bench, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await bench.client.post("/auth/o2/token", content=body, headers=headers)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_an_access_token_expires_after_an_hour_and_the_error_says_so(bench: Bench) -> None:
    await bench.log_in()
    await bench.clock.sleep(3_599)
    assert (await bench.get(PARTICIPATIONS)).status_code == 200
    await bench.clock.sleep(1)
    response = await bench.get(PARTICIPATIONS)
    assert response.status_code == 403
    assert response.json()["errors"][0]["details"] == "The access token you provided has expired."


@pytest.mark.parametrize(("speed", "lifetime"), [(60, 60), (100_000, 10)])
async def test_speed_shortens_the_lifetime_of_a_token_to_at_least_ten_seconds(
    speed: float, lifetime: int
) -> None:
    bench = Bench(Settings(orders=0, speed=speed))
    assert (await bench.log_in()).json()["expires_in"] == lifetime


async def test_the_log_of_a_login_contains_no_secret(bench: Bench) -> None:
    await bench.log_in("Atzr|sandbox-7-10", client_secret="hush")
    log = (await bench.client.get("/_sandbox/log")).text
    assert "hush" not in log and "Atzr" not in log and "Atza" not in log
    call: dict[str, Any] = (await bench.client.get("/_sandbox/log")).json()["calls"][0]
    assert (call["operation"], call["seller"], call["status"]) == ("token", "7-10", 200)


async def test_a_code_is_redeemed_for_a_refresh_token(bench: Bench) -> None:
    body = (await bench.log_in(grant_type="authorization_code", code="sandbox-7-10")).json()
    assert body["refresh_token"] == "Atzr|sandbox-7-10"
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_a_grantless_token_has_no_access_to_a_seller(bench: Bench) -> None:
    form = {
        "grant_type": "client_credentials",
        "scope": "sellingpartnerapi::notifications",
        "client_id": "client",
        "client_secret": "secret",
    }
    body = (await bench.client.post("/auth/o2/token", data=form)).json()
    assert "refresh_token" not in body and body["scope"] == form["scope"]
    bench.token = body["access_token"]
    assert (await bench.get("/notifications/v1/destinations")).json() == {"payload": []}
    assert (await bench.get(PARTICIPATIONS)).status_code == 403
