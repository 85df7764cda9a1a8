"""Connecting by consent: to the source's page, and back with a code."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from connectors import amazon_sandbox as amazon
from connectors.amazon.connector import AmazonConnector
from tests.journeys.test_amazon import local_sandbox
from tests.service.api.answers import problem
from tests.serving import Serving, User, read, serve

pytestmark = pytest.mark.anyio

BEGIN = "/api/connections/amazon/authorize?region=NA&marketplaceIds=ATVPDKIKX0DER"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Serving]:
    async with (
        local_sandbox(orders=20, speed=3000) as url,
        serve(tmp_path, None, **amazon.environ(url)) as serving,
    ):
        yield serving


async def consent(user: User, seller: str = "", connection: str = "", options: str = "") -> str:
    """Do what a browser does on the consent page; the address to which it is sent back."""
    chosen = f"&connectionId={connection}" if connection else ""
    sent = await user.get(BEGIN + chosen + options)
    assert sent.status_code == 302 and sent.headers["cache-control"] == "no-store"
    async with httpx.AsyncClient(verify=False) as browser:
        page = await browser.get(sent.headers["location"])
        fields = dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page.text))
        (action,) = re.findall(r'action="(.*?)"', page.text)
        answer = await browser.get(
            str(page.url.join(action)),
            params={name: html.unescape(value) for name, value in fields.items()}
            | ({"seller": seller} if seller else {}),
        )
    assert answer.status_code == 302
    back = urlsplit(answer.headers["location"])
    return f"{back.path}?{back.query}"


def refusal(answer: httpx.Response) -> str:
    """The code with which the dashboard is opened."""
    assert answer.status_code == 303, answer.text
    begin, _, code = answer.headers["location"].partition("refused=")
    assert begin == "/#/overview?"
    return code


async def test_a_seller_who_consents_is_connected_and_synced(service: Serving) -> None:
    ann = service.user()
    done = await ann.get(await consent(ann))
    (connection,) = read(await ann.get("/api/connections"))["connections"]
    location = f"/#/overview?connected={connection['id']}"
    assert (done.status_code, done.headers["location"]) == (303, location), done.text
    assert (connection["connector"], connection["status"]) == ("amazon", "connected")
    current = read(await ann.get("/api/sync/status"))
    assert current["connectionId"] == connection["id"], "the historical sync starts automatically"
    assert (await ann.until(current["syncId"]))["ordersProcessed"] == 20


async def test_a_consent_can_skip_the_historical_sync(service: Serving) -> None:
    ann = service.user()
    done = await ann.get(await consent(ann, options="&skipHistoricalSync=true"))
    (connection,) = read(await ann.get("/api/connections"))["connections"]
    assert done.headers["location"].endswith(f"connected={connection['id']}")
    assert (connection["liveSyncId"], connection["lastSync"]) == (None, None)
    assert read(await ann.get("/api/sync/history"))["total"] == 0
    refused = await ann.get(f"{BEGIN}&skipHistoricalSync=maybe")
    assert problem(refused, 422, "invalid")["errors"][0]["field"] == "skipHistoricalSync"


async def test_a_state_is_valid_once_and_for_its_own_user(service: Serving) -> None:
    ann = service.user("ann", tenant="acme")
    others = [
        service.user("bob", tenant="acme"),
        service.user("ann", tenant="other"),
        service.user("ann"),
    ]
    back = await consent(ann)
    for other in others:
        assert refusal(await other.get(back)) == "invalid"
    assert "connected=conn_" in (await ann.get(back)).headers["location"]
    assert refusal(await ann.get(back)) == "invalid"
    for other in others:
        assert read(await other.get("/api/connections"))["connections"] == []


async def test_an_invalid_or_missing_state_changes_nothing(service: Serving) -> None:
    ann = service.user()
    for query in ("", "?state=", "?state=guess&spapi_oauth_code=x", "?spapi_oauth_code=x"):
        assert refusal(await ann.get(f"/api/connections/amazon/callback{query}")) == "invalid"
    assert read(await ann.get("/api/connections"))["connections"] == []


async def test_a_seller_who_refuses_to_consent_returns_to_the_dashboard(
    service: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = service.user()
    state = re.findall(r"[?&]state=([\w-]+)", (await ann.get(BEGIN)).headers["location"])[0]
    answer = await ann.get(f"/api/connections/amazon/callback?state={state}")
    assert refusal(answer) == "connection_refused"
    assert "consent was not given" in capsys.readouterr().out  # the log has the reason


async def test_an_unknown_region_is_named(service: Serving) -> None:
    answer = await service.user().get("/api/connections/amazon/authorize?region=MARS")
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == "region"


async def test_a_reconnect_leads_to_the_consent_page_of_the_connected_region(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = service.user()
    connected = await ann.post("/api/connections", amazon.connection(1, 20))
    connection_id = read(connected)["id"]
    connector = cast(AmazonConnector, service.parts.sources.get("amazon"))
    settings = msgspec.structs.replace(connector._settings, consent_url="")
    monkeypatch.setattr(connector, "_settings", settings)
    begin = "/api/connections/amazon/authorize?region=EU&connectionId="
    answer = await ann.get(begin + connection_id)
    assert answer.headers["location"].startswith("https://sellercentral.amazon.com/")


async def test_a_connected_seller_cannot_be_connected_again_by_consent(service: Serving) -> None:
    ann = service.user()
    await ann.get(await consent(ann))
    (first,) = read(await ann.get("/api/connections"))["connections"]
    await ann.until(read(await ann.get("/api/sync/status"))["syncId"])
    assert refusal(await ann.get(await consent(ann))) == "already_connected"
    answer = await ann.post("/api/connections", {**amazon.connection(1, 20)})
    assert problem(answer, 409, "already_connected")["connectionId"] == first["id"]
    assert len(read(await ann.get("/api/connections"))["connections"]) == 1
    again = await ann.get(await consent(ann, connection=first["id"]))
    assert again.headers["location"] == f"/#/overview?connected={first['id']}"


async def test_consent_of_another_seller_does_not_reconnect_a_connection(service: Serving) -> None:
    ann = service.user()
    await ann.get(await consent(ann))
    done = await ann.until(read(await ann.get("/api/sync/status"))["syncId"])
    connections = read(await ann.get("/api/connections"))["connections"]
    back = await consent(ann, seller="2-30", connection=connections[0]["id"])
    assert refusal(await ann.get(back)) == "other_account"
    path = f"/api/connections/{connections[0]['id']}/reconnect"
    body = {"refreshToken": str(amazon.connection(2, 30)["refreshToken"])}
    problem(await ann.post(path, body), 409, "other_account")
    assert read(await ann.get("/api/connections"))["connections"] == connections
    assert read(await ann.get("/api/sync/status"))["syncId"] == done["syncId"]
    assert len(await ann.records("orders")) == 20
    other = await ann.get(await consent(ann, seller="2-30"))
    assert "connected=conn_" in other.headers["location"]
