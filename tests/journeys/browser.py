"""A real headless Chromium, if it is installed. A start takes long, so tests use one in turn."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",  # the transitions of bars cost half of a live page
)

SIZE = (1280, 900)
FREE: list[tuple[Chrome, ExitStack]] = []
"""The browser that no test uses at the moment, and what ends it."""


@contextmanager
def shared_chromium() -> Iterator[Chrome]:
    """The browser of all tests of this process, as if it were new. After a test that fails, it
    ends."""
    if FREE:
        chrome, stack = FREE.pop()
    else:
        stack = ExitStack()
        profile = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        chrome = stack.enter_context(chromium(Path(profile)))
        chrome.set_window_size(*SIZE)
    try:
        yield chrome
        _renew(chrome)
    except BaseException:
        stack.close()
        raise
    FREE.append((chrome, stack))


def end_shared() -> None:
    while FREE:
        FREE.pop()[1].close()


def _renew(chrome: Chrome) -> None:
    """Leave one new tab, which nothing emulates or scripts, and nothing that pages have stored."""
    used = chrome.window_handles
    chrome.switch_to.window(used[0])
    chrome.switch_to.new_window("tab")
    fresh = chrome.current_window_handle
    for tab in used:
        chrome.switch_to.window(tab)
        chrome.close()
    chrome.switch_to.window(fresh)
    everything = {"origin": "*", "storageTypes": "all"}
    chrome.execute_cdp_cmd("Storage.clearDataForOrigin", everything)
    chrome.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chrome.execute_cdp_cmd("Network.clearBrowserCache", {})
    chrome.set_window_size(*SIZE)
    chrome.set_script_timeout(30)
    chrome.get_log("browser")  # type: ignore[no-untyped-call]


@contextmanager
def chromium(profile: Path, languages: str = "") -> Iterator[Chrome]:
    """Skips if the browser is not installed; on CI, that is a failure. `languages`: those of its
    user, such as "de-DE"."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        missing = "chromium and chromedriver are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    options = ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if languages:
        options.add_argument(f"--lang={languages}")
        options.add_argument(f"--accept-lang={languages}")
        options.add_experimental_option("prefs", {"intl.accept_languages": languages})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()
