"""Everybody can use the dashboard: axe finds nothing, light and dark, on phones and desktops; the
keyboard reaches everything; dates and money are in the browser's locale."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver.common.keys import Keys

from tests.journeys.browser import chromium, shared_chromium
from tests.journeys.dashboard import CALM, Page, demo
from tests.serving import PATIENCE

AXE = Path(__file__).parents[1] / "clients/node_modules/axe-core/axe.min.js"
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
LOOKS = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => done(
  violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) =>
    html.slice(0, 160) + " | " + failureSummary.slice(0, 200)).slice(0, 3).join(" || ")}`)));
"""
SETTLED = """
return !document.querySelector("main .bones, dialog .bones")
  && document.querySelector("main h1, dialog") !== null;
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A demo with two syncs: the first has run to its end."""
    data = tmp_path_factory.mktemp("demo")
    with demo(data, "--orders", "300", "--speed", "600") as url:
        for _ in range(2):
            wait = {"Prefer": "wait=60"}
            status = httpx.post(
                f"{url}/api/sync/start", json={}, headers=wait, timeout=PATIENCE
            ).json()
            assert status["status"] == "complete", status
        yield url


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    with shared_chromium() as browser:
        browser.set_window_size(1280, 900)
        browser.set_script_timeout(120)
        yield Page(browser, address)


def violations(page: Page) -> list[str]:
    """What axe finds in the page as it is."""
    page.until(lambda: bool(page.run(SETTLED)), "The view was not loaded")
    page.run(CALM)
    if not page.run("return 'axe' in window"):
        page.run(AXE.read_text())
    found: Any = page.browser.execute_async_script(LOOKS)
    return list(found)


def _views(address: str) -> dict[str, str]:
    """The routes of all views, also with an open drawer."""
    sync = httpx.get(f"{address}/api/sync/history").json()["syncs"][0]["syncId"]
    claim = httpx.get(f"{address}/api/recoveries?limit=1").json()["recoveries"][0]["id"]
    record = httpx.get(f"{address}/api/data/orders?limit=1").json()["records"][0]["id"]
    (account,) = httpx.get(f"{address}/api/connections").json()["connections"]
    return {
        "overview": "#/overview",
        "recoveries": "#/recoveries",
        "a claim": f"#/recoveries/{claim}",
        "history": "#/history",
        "nothing found": "#/history?status=failed",
        "a sync": f"#/history/{sync}",
        "records": "#/records/orders",
        "a record": f"#/records/orders/{record}",
        "connect": "#/connect",
        "connect by token": "#/connect?token=1",
        "settings": "#/settings",
        "costs": "#/settings/costs",
        "operations": "#/operations",
        "the prompt": f"#/overview?connected={account['id']}",
        "no page": "#/nowhere",
    }


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_nothing_in_any_view(page: Page, size: str, scheme: str) -> None:
    page.size(*SIZES[size])
    page.theme(scheme)
    found: dict[str, list[str]] = {}
    for name, route in _views(page.address).items():
        page.open(route)
        if name == "the prompt":
            page.shows("dialog", "How far back?")
        wrong = violations(page)
        if page.run("return document.documentElement.scrollWidth > innerWidth"):
            wrong.append("The page is wider than the window.")
        if wrong:
            found[name] = wrong
    assert found == {}
    assert page.complaints() == []


GERMAN = r"^\d{1,3}(\.\d{3})*,\d\d\s+USD$"
FOCUSED = "return document.activeElement.textContent.trim().slice(0, 40)"


def test_a_german_browser_shows_german_dates_and_money(address: str, tmp_path: Path) -> None:
    with chromium(tmp_path / "browser", languages="de-DE") as browser:
        browser.set_window_size(1280, 900)
        page = Page(browser, address)
        page.open("#/recoveries")
        page.until(lambda: bool(page.all("main tbody tr")), "No claim was shown")
        amount = page.text("[data-currency=USD] .claimable .sum")
        assert re.fullmatch(GERMAN, amount), amount
        claim = httpx.get(f"{address}/api/recoveries?status=claimable").json()["recoveries"][0]
        closes = date.fromisoformat(claim["closes"])
        row = page.text(f"[data-row={claim['id']}]")
        assert re.search(rf"\b{closes.day}\. [A-ZÄÖÜ][a-zäöü]+\.?", row), row
        page.open("#/history")
        page.until(lambda: bool(page.all("main tbody tr")), "No sync was shown")
        assert not re.search(r"\b[AP]M\b", page.text("main tbody"))
        assert page.complaints() == []


def test_the_keyboard_reaches_the_claims_and_comes_back(page: Page) -> None:
    page.open("#/recoveries")
    page.until(lambda: bool(page.all("main tbody tr")), "No claim was shown")
    body = page.one("body")
    body.send_keys(Keys.TAB)
    assert page.run(FOCUSED) == "Skip to content"
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.run("return document.activeElement.id") == "main"
    assert page.browser.current_url.endswith("#/recoveries"), "The skip link left the view"
    link = page.one("main tbody a.open")
    title = link.text
    page.run("arguments[0].focus()", link)
    link.send_keys(Keys.ENTER)
    page.shows("dialog.drawer h2", title)
    page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog"), "Escape did not close the drawer")
    page.until(lambda: page.browser.current_url.endswith("#/recoveries"), "The address stayed")
    assert page.run(FOCUSED) == title[:40].strip(), "The focus did not return"
