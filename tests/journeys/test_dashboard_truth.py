"""What must never happen in the dashboard: an old state shown as the present one, red for what is
not an error, a button that cannot work, the same words twice, an account counted twice, a wrong
countdown."""

import re
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import amazon_sandbox as amazon
from tests.journeys.browser import shared_chromium
from tests.journeys.dashboard import PROCESSES, RUN, SANDBOXES, Page, demo
from tests.journeys.test_dashboard_access import violations
from tests.serving import PATIENCE

SLOW = ("--orders", "1500", "--speed", "1")
TOKEN = {"refreshToken": "Atzr|sandbox-1"}


@pytest.fixture
def page() -> Iterator[Page]:
    with shared_chromium() as browser:
        browser.set_window_size(1280, 900)
        yield Page(browser)


def _begin(address: str) -> str:
    """Start a sync as somebody else would, not by the page."""
    answer = httpx.post(f"{address}/api/sync/start", json={}, timeout=PATIENCE).raise_for_status()
    sync: str = answer.json()["syncId"]
    return sync


def test_a_service_that_hangs_is_not_shown_as_running(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", *SLOW) as page.address:
        page.open()
        page.shows("main", "Nothing has been read yet")
        _begin(page.address)  # elsewhere: the page shows it by itself
        page.shows(RUN, "Running")
        page.until(lambda: "%" in page.browser.title, "The title told no progress")
        process = PROCESSES[page.address]
        process.send_signal(signal.SIGSTOP)
        page.shows("#banner", "No connection since")
        page.shows(RUN, "Last known")
        assert not page.all(".badge.run"), "It is still shown as running"
        assert "%" not in page.browser.title
        cancel = page.one("[aria-labelledby=live] button")
        assert cancel.text == "Cancel" and not cancel.is_enabled()
        process.send_signal(signal.SIGCONT)
        page.until(lambda: page.text("#banner") == "", "The banner stayed")
        page.until(lambda: "Last known" not in page.text(RUN), "It is still shown as old")


def test_what_is_no_error_is_not_red_and_buttons_that_cannot_work_are_absent(
    page: Page, tmp_path: Path
) -> None:
    with demo(tmp_path / "data", *SLOW) as page.address:
        sync = _begin(page.address)
        page.open()
        page.shows(RUN, "Reading from Amazon")
        assert "Sync now" not in page.text("main"), "A second sync cannot start"
        httpx.post(f"{page.address}/api/sync/cancel/{sync}", timeout=PATIENCE).raise_for_status()
        page.shows(RUN, "The last sync was cancelled")
        page.go(f"#/history/{sync}")
        page.shows("main .badge", "Cancelled")
        states = {badge.text for badge in page.all("main tbody .badge")}
        assert "Not read" in states and states <= {"Not read", "Complete", "Partly read", "Unknown"}
        red = page.all("main :is(.badge, .notice, .mark, .bar).bad, main .problem:not(:empty)")
        assert not red, "A cancelled sync is no error"


def test_a_lost_connection_offers_only_to_connect_again(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", *SLOW) as page.address:
        revoke = f"{SANDBOXES[page.address]}/_sandbox/revoke"
        sync = _begin(page.address)
        page.open()
        page.shows(RUN, "Reading from Amazon")
        httpx.post(revoke, json=TOKEN).raise_for_status()
        page.shows(RUN, "Paused")
        page.shows("main .notice", "no longer accepts the connection")
        for scheme in ("light", "dark"):
            page.theme(scheme)
            assert violations(page) == [], scheme
        for route in ("#/overview", f"#/history/{sync}", "#/history"):
            page.go(route)
            page.shows("main", "Connect again")
            for words in ("Resume", "Sync now", "Try again"):
                assert words not in page.text("main"), (route, words)
            first = [one.text for one in page.all("main .btn.first")]
            assert first == ["Connect again"] * len(first)
            assert not page.all("main :is(.badge, .notice, .mark, .bar).bad"), "A pause is not red"
        page.go(f"#/history/{sync}")
        page.shows("main h1", "Historical sync")
        _says_nothing_twice(page)


def _says_nothing_twice(page: Page) -> None:
    """No sentence of several words stands twice in the view."""
    words = [one.text for one in page.all("main :is(p, h1, h2, h3, strong)")]
    sentences = [one.strip() for line in words for one in line.split(". ")]
    lines = [one for one in sentences if len(one.split()) > 3]
    assert len(lines) == len(set(lines)), sorted(lines)


def test_countdowns_and_estimates_are_those_of_the_service(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", *SLOW) as page.address:
        _begin(page.address)
        page.open()
        page.shows(RUN, "Continues in")
        page.until(lambda: _agrees(page), "The countdown never agreed with the service")


def _agrees(page: Page) -> bool:
    """Whether a countdown is that of a wait of the service, to a few seconds."""
    shown = re.search(r"Continues in (?:(\d+) min )?(\d+) (s|min)", page.text(RUN))
    instants = page.run(
        "return [...document.querySelectorAll('main .hold time')].map((one) => "
        "(Date.parse(one.dateTime) - Date.now()) / 1000)"
    )
    assert isinstance(instants, list)
    waits = [
        dataset["waiting"]["until"]
        for dataset in httpx.get(f"{page.address}/api/sync/status", timeout=PATIENCE).json()[
            "datasets"
        ]
        if dataset["waiting"]
    ]
    stamps = page.run(
        "return [...document.querySelectorAll('main .hold time')].map((one) => one.dateTime)"
    )
    if not shown or not instants or not isinstance(stamps, list):
        return False
    whole, number, unit = shown.groups()
    seconds = int(whole or 0) * 60 + int(number) * (60 if unit == "min" else 1)
    return stamps[0] in waits and -5 <= seconds - instants[0] <= 65


def _connect_and_sync(address: str, seed: int, countries: str) -> str:
    """Connect a seller of 300 orders, and read them all. The connection's id."""
    body = amazon.connection(seed, 300, amazon.read_marketplaces(countries))
    body["skipHistoricalSync"] = True
    answer = httpx.post(f"{address}/api/connections", json=body, timeout=PATIENCE)
    account: str = answer.raise_for_status().json()["id"]
    wait = {"Prefer": "wait=60"}
    path = f"{address}/api/sync/start"
    status = httpx.post(path, json={"connectionId": account}, headers=wait, timeout=PATIENCE).json()
    assert status["status"] == "complete", status
    return account


def _claimable(address: str, account: str = "") -> dict[str, Decimal]:
    """The claimable sums by currency; of one account, or of all."""
    path = f"{address}/api/recoveries?limit=1" + (account and f"&connectionId={account}")
    totals: list[dict[str, Any]] = httpx.get(path, timeout=PATIENCE).json()["totals"]
    return {
        row["currency"]: Decimal(row["amount"])
        for row in totals
        if row["status"] == "claimable" and row["currency"]
    }


def _shown(page: Page) -> set[Decimal]:
    """Every amount of money in the view."""
    return {
        Decimal(text.replace(",", "")) for text in re.findall(r"[\d,]+\.\d\d", page.text("main"))
    }


def test_currencies_are_never_added_and_no_account_counts_twice(page: Page, tmp_path: Path) -> None:
    with demo(tmp_path / "data", "--orders", "300", "--speed", "600") as page.address:
        american = httpx.get(f"{page.address}/api/connections").json()["connections"][0]["id"]
        httpx.delete(f"{page.address}/api/connections/{american}").raise_for_status()
        first = _connect_and_sync(page.address, 2, "US")
        once = _claimable(page.address)
        # The same seller again, whose records were kept: they belong to one account.
        httpx.delete(f"{page.address}/api/connections/{first}").raise_for_status()
        accounts = {_connect_and_sync(page.address, 2, "US"): {"USD"}}
        accounts[_connect_and_sync(page.address, 3, "GB,DE")] = {"GBP", "EUR"}
        sums = _claimable(page.address)
        assert sums.keys() >= {"USD", "GBP", "EUR"} and sums["USD"] == once["USD"]
        added = {sum(sums.values(), Decimal(0)), 2 * sums["USD"]}

        for route in ("#/overview", "#/recoveries"):
            page.open(route)
            for currency, amount in sums.items():
                page.shows(f"main [data-currency={currency}]", f"{amount:,.2f}")
            assert not _shown(page) & added
        page.open("#/overview")
        for account, currencies in accounts.items():
            of_one = _claimable(page.address, account)
            assert of_one.keys() == currencies
            # Claims that only an earlier connection of the account could find are in no row.
            assert all(of_one[currency] <= sums[currency] for currency in currencies)
            for currency, amount in of_one.items():
                page.shows(f"[data-row={account}]", f"{amount:,.2f} {currency}")
        assert page.complaints() == []
