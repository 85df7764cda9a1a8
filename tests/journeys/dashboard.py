"""The dashboard as its user sees it, and the demo in a process of its own."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import httpx
from selenium import webdriver
from selenium.common.exceptions import (
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.journeys.process import Popen, started
from tests.serving import PATIENCE

PROCESSES: dict[str, Popen] = {}
"""The process of each running demo, by its address."""
SANDBOXES: dict[str, str] = {}
"""The address of each running demo's sandbox, by the address of the demo."""

PRINTED = re.compile(r"Dashboard\s+(http://\S+)[^\n]*\n[^\n]*?(http://\S+)[^\n]*\n")
"""The lines with the addresses of the dashboard and of the sandbox."""
ENDS: list[str] = []
"""What demos that did not start have printed."""

CALM = """
const style = new CSSStyleSheet();
const still = "animation: none !important; transition: none !important";
style.replaceSync(`*, ::before, ::after { ${still} }`);
document.adoptedStyleSheets = [style];
"""
"""Ends the animations of a page, in the middle of which its colours are others."""

RUN = "[aria-labelledby=live], [aria-labelledby=idle]"
"""The card of the live sync, or of the last one."""


class Page:
    """The dashboard in a browser. What is waited for has PATIENCE seconds to come."""

    def __init__(self, browser: webdriver.Chrome, address: str = "") -> None:
        self.browser = browser
        self.address = address

    def open(self, route: str = "") -> None:
        """Load a view again."""
        self.browser.get("about:blank")
        self.browser.get(f"{self.address}/{route}")

    def go(self, route: str) -> None:
        """Go to a view as a link does."""
        self.browser.execute_script("location.hash = arguments[0]", route)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        self.until(lambda: bool(self.all(selector)), f"There was no {selector}")
        return self.all(selector)[0]

    def text(self, selector: str) -> str:
        elements = self.all(selector)
        return elements[0].text.replace("\u00a0", " ") if elements else ""

    def shows(self, selector: str, words: str) -> None:
        """Wait until the first element has these words among others."""
        shown = f"{selector} never read {words!r}"
        self.until(lambda: words in self.text(selector), shown)

    def click(self, selector: str, words: str) -> None:
        """Click the button or link whose label begins so, as soon as there is one that works."""

        def pressed() -> bool:
            for button in self.all(selector):
                if button.text.startswith(words) and button.is_enabled():
                    button.click()
                    return True
            return False

        self.until(pressed, f"There was no {selector} {words!r}")

    def run(self, script: str, *arguments: object) -> object:
        answer: object = self.browser.execute_script(script, *arguments)
        return answer

    def complaints(self) -> list[str]:
        """Errors of the console, also those of the Content Security Policy."""
        log = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def until(self, condition: Callable[[], bool], otherwise: str) -> None:
        def holds(_: webdriver.Chrome) -> bool:
            try:
                return condition()
            except StaleElementReferenceException:  # replaced while it was read
                return False
            except WebDriverException as error:  # moved while it was clicked
                if "intercepted" in str(error) or "interactable" in str(error):
                    return False
                raise

        try:
            WebDriverWait(self.browser, PATIENCE, poll_frequency=0.1).until(holds)
        except TimeoutException as error:
            page = self.text("body")[:3000]
            raise AssertionError(f"{otherwise}; the page read:\n{page}") from error

    def size(self, width: int, height: int) -> None:
        """Also widths that a window cannot have."""
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800},
        )

    def theme(self, scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _answers(address: str, process: Popen) -> bool:
    """Whether the service listens: it prints its address before. False if it has ended, since
    another process has taken its port."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"{address}/readyz", timeout=PATIENCE, verify=False).raise_for_status()
            return True
        except httpx.HTTPError:
            time.sleep(0.1)
    return False


@contextmanager
def demo(data: Path, *options: str) -> Iterator[str]:
    """The service in demo mode in its own process; yields its address."""
    for _ in range(3):
        with _process(data, *options) as address:
            if address:
                yield address
                return
    raise AssertionError(f"The demo did not start: {ENDS[-1:]}")


@contextmanager
def _process(data: Path, *options: str) -> Iterator[str]:
    """The demo; without an address if it does not listen."""
    log = data.parent / f"{data.name}-{token_hex(3)}.log"
    command = ["demo", "--port", "0", "--no-browser", "--data", str(data), *options]
    process = started(command, log, os.environ)
    try:
        dashboard, sandbox = _printed(process, log)
        SANDBOXES[dashboard], PROCESSES[dashboard] = sandbox, process
        yield dashboard if _answers(dashboard, process) else ""
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        ENDS.append(log.read_text()[-2000:])


def _printed(process: Popen, log: Path) -> tuple[str, str]:
    """The addresses of the dashboard and of the sandbox, which the demo prints when it starts."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        found = PRINTED.search(log.read_text())
        if found:
            return found[1], found[2]
        time.sleep(0.02)
    raise AssertionError(f"The demo did not print its address: {log.read_text()!r}")
