"""Makes the pictures of the dashboard from demo data: `python -m tests.journeys.shots`.

The pictures of README.md, in docs/shots: each view on a desktop and on a phone, in light and dark.
Needs chromium and chromedriver."""

import tempfile
from pathlib import Path

import httpx

from tests.journeys.browser import chromium
from tests.journeys.dashboard import RUN, Page, demo
from tests.journeys.process import ROOT
from tests.serving import PATIENCE

PLACE = ROOT / "docs" / "shots"
DESKTOP, PHONE = (1280, 900), (390, 844)
DONE = "return !document.querySelector('main .bones, dialog .bones')"


class Camera:
    """Takes pictures of one browser's page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def take(self, name: str, route: str | None, size: tuple[int, int], scheme: str) -> None:
        """The view at `route`, or what is shown now."""
        self.page.size(*size)
        self.page.theme(scheme)
        if route is not None:
            self.page.open(route)
        self.page.until(lambda: bool(self.page.run(DONE)), f"{name} was not loaded")
        if "connected=" in (route or ""):
            self.page.shows("dialog", "How far back?")
        self.page.run("document.activeElement?.blur()")
        self.page.browser.save_screenshot(str(PLACE / f"{name}.png"))

    def both(self, name: str, route: str | None) -> None:
        """On a desktop in light, and on a phone in dark."""
        self.take(name, route, DESKTOP, "light")
        self.take(f"{name}-phone", route, PHONE, "dark")


def during(camera: Camera, address: str) -> None:
    """A sync that runs, at the pace of the real API."""
    page = camera.page
    page.size(*DESKTOP)
    page.open()
    sync = httpx.post(f"{address}/api/sync/start", json={}, timeout=PATIENCE).json()["syncId"]
    page.shows(RUN, "Continues in")
    camera.take("overview-running", None, DESKTOP, "light")
    camera.both("sync-running", f"#/history/{sync}")


def after(camera: Camera, address: str) -> None:
    """Two syncs that have ended, and what they found."""
    for _ in range(2):
        wait = {"Prefer": "wait=60"}
        httpx.post(f"{address}/api/sync/start", json={}, headers=wait, timeout=PATIENCE)
    sync = httpx.get(f"{address}/api/sync/history").json()["syncs"][0]["syncId"]
    claim = httpx.get(f"{address}/api/recoveries?status=claimable").json()["recoveries"][1]["id"]
    (account,) = httpx.get(f"{address}/api/connections").json()["connections"]
    camera.both("overview", "#/overview")
    camera.take("overview-dark", "#/overview", DESKTOP, "dark")
    camera.both("recoveries", "#/recoveries")
    camera.both("claim", f"#/recoveries/{claim}")
    camera.both("history", "#/history")
    camera.both("sync", f"#/history/{sync}")
    camera.both("records", "#/records/orders")
    camera.both("connect", "#/connect")
    camera.both("prompt", f"#/overview?connected={account['id']}")
    camera.both("settings", "#/settings")


def main() -> None:
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, chromium(Path(place) / "browser") as browser:
        page = Page(browser)
        camera = Camera(page)
        with demo(Path(place) / "slow", "--orders", "1500", "--speed", "1") as page.address:
            during(camera, page.address)
        with demo(Path(place) / "fast", "--orders", "600", "--speed", "600") as page.address:
            after(camera, page.address)
    size = sum(each.stat().st_size for each in PLACE.glob("*.png"))
    print(f"{size / 1e6:.1f} MB in {PLACE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
