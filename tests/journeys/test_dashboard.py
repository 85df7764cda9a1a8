"""The dashboard in a real headless Chromium: start, watch to the end, reload; cancel; claims."""

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.journeys.browser import chromium

ROOT = Path(__file__).parents[2]
PATIENCE = 60
SANDBOXES: dict[str, str] = {}
"""The address of each running demo's sandbox, by the address of the demo."""


class Page:
    """The dashboard as its user sees it."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def text(self, selector: str) -> str:
        elements = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return elements[0].text if elements else ""

    def shows(self, selector: str, words: str) -> None:
        self.until(lambda: self.text(selector) == words, f"{selector} never read {words!r}")

    def press(self, words: str) -> None:
        """Press the big button as soon as it has this label and is enabled."""
        button = self.browser.find_element(By.ID, "action")
        ready = f"The button never offered {words!r}"
        self.until(lambda: button.is_enabled() and button.text == words, ready)
        button.click()

    def click(self, selector: str, words: str) -> None:
        """Click the button with this label as soon as there is one."""

        def pressed() -> bool:
            for button in self.browser.find_elements(By.CSS_SELECTOR, selector):
                if button.text == words and button.is_enabled():
                    button.click()
                    return True
            return False

        self.until(pressed, f"There was no button {words!r}")

    def row(self, dataset: str) -> str:
        return self.text(f"#details [data-dataset={dataset}]")

    def complaints(self) -> list[str]:
        log = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        def holds(_: webdriver.Chrome) -> bool:
            try:
                return condition()
            except StaleElementReferenceException:  # replaced while it was read
                return False

        WebDriverWait(self.browser, PATIENCE, poll_frequency=0.1).until(holds, otherwise)


@contextmanager
def demo(data: Path, *options: str) -> Iterator[str]:
    """The service in demo mode in its own process; yields its address."""
    command = [sys.executable, "-m", "service", "demo", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*command, "--data", str(data), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            dashboard = re.search(r"Dashboard\s+(http://\S+)", line)
            assert dashboard, f"The demo did not print its address: {line!r}"
            sandbox = re.search(r"(http://\S+)", process.stdout.readline())
            assert sandbox
            SANDBOXES[dashboard[1]] = sandbox[1]
            yield dashboard[1]
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "browser") as browser:
        browser.set_window_size(1280, 900)
        yield Page(browser)


def test_pressing_start_shows_a_sync_to_its_end_and_a_reload_shows_the_same(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", "--orders", "300", "--speed", "600") as address:
        page.browser.get(address)
        page.press("Start sync")
        for _ in ("live", "after a reload"):
            page.shows("#headline", "Complete")
            page.shows("#percent", "100")
            page.shows("#history tbody .badge", "complete")
            assert page.row("orders").split()[:3] == ["Orders", "complete", "300"]
            assert page.row("claims").split()[:2] == ["Claims", "complete"]
            assert "300" in page.text("#history tbody")
            assert len(page.browser.find_elements(By.CSS_SELECTOR, "#history tbody")) == 1
            page.shows("#tabs [aria-selected=true]", "Orders")
            page.until(lambda: bool(page.text("#records summary")), "No record was shown")
            page.browser.refresh()
        assert page.complaints() == []


def _processed(address: str) -> int:
    answer = httpx.get(f"{address}/api/sync/status")
    processed: int = answer.json().get("ordersProcessed", 0)
    return processed


def test_pressing_cancel_ends_a_running_sync_and_keeps_its_records(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", "--orders", "3000", "--speed", "20") as address:
        page.browser.get(address)
        page.press("Start sync")
        page.until(lambda: _processed(address) > 0, "No order was read")
        page.press("Cancel")
        page.shows("#headline", "Cancelled")
        page.shows("#history tbody .badge", "cancelled")
        page.shows("#action", "Start sync")
        page.shows("#second", "Resume")
        page.browser.refresh()
        page.shows("#headline", "Cancelled")
        page.shows("#message", "Cancelled. The records read so far are kept.")
        page.until(lambda: bool(page.text("#records summary")), "No record was shown")
        assert page.complaints() == []


def test_the_dashboard_opens_with_the_result_of_a_consent(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "30", "--speed", "600") as address:
        page.browser.get(f"{address}/#/overview?refused=other_account")
        shown = "The account was not connected (other account). Try again."
        page.shows("#errors .notice span", shown)
        assert page.browser.current_url == f"{address}/"
        page.browser.get(f"{address}/?again#/overview?connected=conn_1")
        page.shows("#action", "Start sync")
        page.until(lambda: page.browser.current_url == f"{address}/", "The address was kept")
        assert not page.text("#errors")
        assert page.complaints() == []


def test_a_lost_account_is_reconnected_and_its_sync_resumes(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "300", "--speed", "600") as address:
        sandbox = SANDBOXES[address]
        page.browser.get(address)
        page.shows("#accounts .badge", "connected")
        body = {"refreshToken": "Atzr|sandbox-1"}
        httpx.post(f"{sandbox}/_sandbox/revoke", json=body).raise_for_status()
        page.press("Start sync")
        page.until(lambda: "lost" in page.text("#accounts .badge"), "The loss was not shown")
        httpx.post(f"{sandbox}/_sandbox/reset").raise_for_status()
        page.click("#accounts button", "Connect again")
        page.click("#connect button", "Connect")
        page.shows("#headline", "Complete")
        page.shows("#accounts .badge", "connected")
        (sync,) = httpx.get(f"{address}/api/sync/history").json()["syncs"]
        assert (sync["status"], sync["attempt"]) == ("complete", 1)
        assert page.complaints() == []


def test_the_strip_of_days_shows_what_a_second_source_confirms(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path, "--orders", "300", "--speed", "600", "--faults", "hidden_rows=0.2") as url:
        page.browser.get(url)
        page.press("Start sync")
        page.until(lambda: "Orders of the last" in page.text("#accounts"), "There was no strip")
        strip = page.browser.find_element(By.CSS_SELECTOR, "#accounts .days")
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
    with demo(tmp_path / "data", "--orders", "300", "--speed", "600") as address:
        page.browser.get(address)
        page.until(lambda: "Nothing has been synced yet" in page.text("#totals"), "Not shown")
        assert not page.text("#claims-list")
        page.press("Start sync")
        page.shows("#headline", "Complete")
        page.until(lambda: bool(page.text("#claims tbody")), "No claim was shown")

        claims = httpx.get(f"{address}/api/recoveries").json()
        sums = [row for row in claims["totals"] if row["currency"]]
        assert sums
        for row in sums:
            amount = page.text(f"[data-currency={row['currency']}] .{row['status']} .amount")
            assert amount == f"{Decimal(row['amount']):,.2f}"

        claim = claims["recoveries"][0]
        body = f"[data-claim={claim['id']}]"
        assert claim["title"] in page.text(f"{body} th")
        page.browser.find_element(By.CSS_SELECTOR, f"{body} .details").click()
        valuation = " ".join(step["text"] for step in claim["valuation"])
        page.until(lambda: valuation in page.text(f"{body} .drawer"), "No details opened")
        page.browser.find_element(By.CSS_SELECTOR, f"{body} .evidence summary").click()
        page.until(lambda: "{" in page.text(f"{body} .evidence pre"), "No evidence opened")
        assert page.complaints() == []


def test_the_form_asks_for_the_settings_of_the_chosen_connector(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "10", "--speed", "600") as address:
        page.browser.get(address)
        page.click("nav button", "Connect another")
        form = page.browser.find_element(By.ID, "connect")
        connectors = Select(form.find_element(By.NAME, "connector"))
        assert {"Amazon", "Demo"} <= {option.text for option in connectors.options}
        regions = Select(form.find_element(By.NAME, "region"))
        assert regions.first_selected_option.text == "North America"
        assert page.browser.find_element(By.ID, "authorise").is_displayed()
        connectors.select_by_visible_text("Demo")
        assert not page.browser.find_element(By.ID, "authorise").is_displayed()
        token = form.find_element(By.NAME, "refreshToken")
        assert token.get_attribute("type") == "password"
        token.clear()
        page.click("#connect button", "Connect")
        page.shows("#connect .problem", "Must not be empty.")
        token.send_keys("good")
        page.click("#connect button", "Connect")
        page.until(lambda: "Demo · NA · DEMO · production" in page.text("#accounts"), "Not listed")
        assert len(httpx.get(f"{address}/api/connections").json()["connections"]) == 2
