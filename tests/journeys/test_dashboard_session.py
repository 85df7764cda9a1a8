"""Signing in to the dashboard, also in the middle of something, and signing out."""

from pathlib import Path

import pytest
from anyio import to_thread
from selenium.webdriver.support.ui import Select

from tests.journeys.browser import shared_chromium
from tests.journeys.dashboard import Page
from tests.serving import serve, token

pytestmark = pytest.mark.anyio


def _signs_in_and_keeps_what_was_typed(page: Page) -> None:
    page.open("#/connect")
    page.shows("dialog", "Sign in")
    page.one("dialog [name=token]").send_keys("not.a.token")
    page.click("dialog button", "Sign in")
    page.until(lambda: page.text("dialog .problem") != "", "The token was not refused")
    page.one("dialog [name=token]").clear()
    page.one("dialog [name=token]").send_keys(token())
    page.click("dialog button", "Sign in")
    page.shows("main h1", "Find the money that you are owed")

    page.browser.delete_all_cookies()  # the session has expired
    Select(page.one("[name=connector]")).select_by_visible_text("Demo")
    field = page.one("[name=refreshToken]")
    field.clear()
    field.send_keys("good")
    page.click("#connect button", "Connect")
    page.shows("dialog", "Sign in")
    page.one("dialog [name=token]").send_keys(token())
    page.click("dialog button", "Sign in")
    page.until(lambda: not page.all("dialog"), "The page was not given back")
    assert page.one("[name=refreshToken]").get_property("value") == "good"
    page.click("#connect button", "Connect")
    page.shows("dialog", "Read your past months now?")
    page.click("dialog button", "Not now")
    page.click("#side-more button", "Sign out")
    page.shows("dialog", "Sign in")


async def test_an_expired_session_asks_again_and_loses_nothing(tmp_path: Path) -> None:
    with shared_chromium() as browser:
        browser.set_window_size(1280, 900)
        async with serve(tmp_path, None) as service:
            page = Page(browser, service.url)
            await to_thread.run_sync(_signs_in_and_keeps_what_was_typed, page)
            await to_thread.run_sync(browser.get, "about:blank")
