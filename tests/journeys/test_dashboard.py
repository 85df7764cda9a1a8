"""The dashboard in a real headless Chromium: start, watch to the end, reload; cancel; claims."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.journeys.browser import shared_chromium
from tests.journeys.dashboard import RUN, SANDBOXES, Page, demo

FAST = ("--orders", "300", "--speed", "600")


@pytest.fixture
def page() -> Iterator[Page]:
    with shared_chromium() as browser:
        browser.set_window_size(1280, 900)
        yield Page(browser)


def _start(page: Page) -> None:
    """Start the first sync of the demo's account, by the prompt."""
    page.click("main button", "Start historical sync")
    page.click("dialog button", "Start historical sync")


def test_pressing_start_shows_a_sync_to_its_end_and_a_reload_shows_the_same(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", *FAST) as page.address:
        page.open()
        _start(page)
        for _ in ("live", "after a reload"):
            page.shows(RUN, "Up to date")
            page.shows("[aria-label='Last syncs'] .badge", "Complete")
            page.open("#/history")
            page.shows("main tbody .badge", "Complete")
            assert len(page.all("main tbody tr")) == 1
            page.click("main tbody a", "")
            page.shows("[data-row=orders]", "Orders")
            assert page.text("[data-row=orders]").split()[:3] == ["Orders", "Complete", "300"]
            assert page.text("[data-row=claims]").split()[:2] == ["Claims", "Complete"]
            page.go("#/records/orders")
            page.until(lambda: len(page.all("main tbody tr")) == 20, "No record was shown")
            page.open()
        assert page.complaints() == []


def _processed(address: str) -> int:
    answer = httpx.get(f"{address}/api/sync/status")
    processed: int = answer.json().get("ordersProcessed", 0)
    return processed


def test_pressing_cancel_ends_a_running_sync_and_keeps_its_records(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", "--orders", "3000", "--speed", "20") as page.address:
        page.open()
        _start(page)
        page.until(lambda: _processed(page.address) > 0, "No order was read")
        page.click(f"{RUN} button".replace(",", " button,"), "Cancel")
        assert page.run("return document.activeElement.textContent") == "Keep syncing"
        page.click("dialog button", "Cancel sync")
        page.shows(RUN, "The last sync was cancelled")
        page.shows("[aria-labelledby=idle] .actions", "Resume")
        page.shows("[aria-labelledby=idle] .actions", "Sync now")
        page.go("#/history")
        page.shows("main tbody .badge", "Cancelled")
        page.open("#/records/orders")
        page.until(lambda: bool(page.all("main tbody tr")), "No record was shown")
        assert page.complaints() == []


def test_the_dashboard_opens_with_the_result_of_a_consent(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "30", "--speed", "600") as page.address:
        page.open("#/overview?refused=other_account")
        page.shows("#toasts", "The account was not connected")
        page.shows("#toasts", "Other account. Try again.")
        assert page.browser.current_url == f"{page.address}/#/overview"
        (account,) = httpx.get(f"{page.address}/api/connections").json()["connections"]
        page.open(f"#/overview?connected={account['id']}")
        page.shows("dialog", "Read your past months now?")
        assert page.browser.current_url == f"{page.address}/#/overview"
        assert not page.text("#toasts")
        assert page.complaints() == []


def test_a_lost_account_is_reconnected_and_its_sync_resumes(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", *FAST) as page.address:
        sandbox = SANDBOXES[page.address]
        page.open("#/settings")
        page.shows("main .badge", "Connected")
        body = {"refreshToken": "Atzr|sandbox-1"}
        httpx.post(f"{sandbox}/_sandbox/revoke", json=body).raise_for_status()
        page.go("#/overview")
        _start(page)
        page.shows("main .notice.warn", "no longer accepts the connection")
        httpx.post(f"{sandbox}/_sandbox/reset").raise_for_status()
        page.click("main .notice a", "Connect again")
        page.click("#connect ~ *, .card-foot button", "I have a refresh token")
        page.click("#connect button", "Connect")
        page.shows(RUN, "Up to date")
        page.go("#/settings")
        page.shows("main .badge", "Connected")
        (sync,) = httpx.get(f"{page.address}/api/sync/history").json()["syncs"]
        assert (sync["status"], sync["attempt"]) == ("complete", 1)
        assert page.complaints() == []


def test_the_strip_of_days_shows_what_a_second_source_confirms(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path, *FAST, "--faults", "hidden_rows=0.2") as page.address:
        page.open()
        _start(page)
        page.shows(RUN, "Up to date")
        page.go("#/settings")
        page.shows("main", "Orders of the last")
        strip = page.one(".account-days .days")
        days = strip.find_elements(By.TAG_NAME, "i")
        states = Counter(day.get_attribute("class") for day in days)
        assert states["confirmed"] > 10 and sum(states.values()) == len(days)
        label = strip.get_attribute("aria-label")
        assert label and f"{states['confirmed']} confirmed" in label
        assert any("found and read" in str(day.get_attribute("title")) for day in days)
        assert page.complaints() == []


def test_claims_are_shown_with_the_totals_of_the_api_and_with_their_evidence(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", *FAST) as page.address:
        page.open("#/recoveries")
        page.shows("[aria-label=Totals]", "Nothing has been synced yet")
        page.go("#/overview")
        _start(page)
        page.shows(RUN, "Up to date")
        page.go("#/recoveries")
        page.until(lambda: bool(page.all("main tbody tr")), "No claim was shown")

        claims = httpx.get(f"{page.address}/api/recoveries?status=claimable").json()
        totals = httpx.get(f"{page.address}/api/recoveries").json()["totals"]
        sums = [row for row in totals if row["currency"]]
        assert sums
        for row in sums:
            shown = page.text(f"[data-currency={row['currency']}] .{row['status']} .sum")
            assert shown.split() == [f"{Decimal(row['amount']):,.2f}", row["currency"]]

        claim = claims["recoveries"][0]
        page.click(f"[data-row={claim['id']}] a", claim["title"])
        for step in claim["valuation"]:
            page.shows("dialog.drawer", step["text"])
        assert page.browser.current_url == f"{page.address}/#/recoveries/{claim['id']}"
        page.one("dialog .proof summary").click()
        page.shows("dialog .proof .json", "{")
        page.browser.back()
        page.until(lambda: not page.all("dialog"), "Back did not close the drawer")
        assert page.complaints() == []


def test_the_form_asks_for_the_settings_of_the_chosen_connector(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "10", "--speed", "600") as page.address:
        page.open("#/connect")
        connectors = Select(page.one("[name=connector]"))
        assert {"Amazon", "Demo"} <= {option.text for option in connectors.options}
        regions = Select(page.one("[name=region]"))
        assert regions.first_selected_option.text == "North America"
        assert page.text("#connect .first") == "Continue with Amazon"
        connectors.select_by_visible_text("Demo")
        assert page.text("#connect .first") == "Connect"
        token = page.one("[name=refreshToken]")
        assert token.get_attribute("type") == "password"
        token.clear()
        page.click("#connect button", "Connect")
        page.shows("#connect .problem", "Must not be empty.")
        token.send_keys("good")
        page.click("#connect button", "Connect")
        page.shows("dialog", "Read your past months now?")
        page.click("dialog button", "Not now")
        page.go("#/settings")
        page.shows("main", "Demo · NA · DEMO · Production")
        assert len(httpx.get(f"{page.address}/api/connections").json()["connections"]) == 2
