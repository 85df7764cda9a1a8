"""The dashboard and the client in several tabs of one headless Chromium: they share one stream."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio import to_thread
from selenium.webdriver import Chrome

from tests.journeys.browser import shared_chromium
from tests.journeys.hanging import HangingProxy, hanging_proxy
from tests.serving import PATIENCE, Serving, User, serve, token

pytestmark = pytest.mark.anyio

ENDLESS: Any = {"DEMO_ORDERS": "100000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.2"}
FOLLOW = """
const { createClient } = await import("/web/client.js");
window.seen = [];
window.links = [];
window.stop = createClient(arguments[0]).subscribeAll({
  onChange: (sync) => seen.push([sync.syncId, sync.version]),
  onLink: (state) => links.push(state),
});
"""
LAST = "return seen.length ? seen[seen.length - 1][1] : 0"
HELD = "return navigator.locks.query().then(({ held, pending }) => held.length + pending.length)"
MUTE = "BroadcastChannel.prototype.postMessage = () => {}"
SHOWN = "return document.querySelector(arguments[0])?.innerText ?? ''"
CANCEL = """
document.querySelector("[aria-labelledby=live] button").click();
document.querySelector("dialog .btn.bad").click();
"""
QUIET = "Live updates do not get through here."


class Tabs:
    """The tabs of a browser, and the service that they show."""

    def __init__(self, chrome: Chrome, service: Serving, proxy: HangingProxy) -> None:
        self.chrome = chrome
        self.service = service
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"
        self.ann: User = service.user()
        self.all: list[str] = []

    async def open(self, path: str, script: str = "", *arguments: Any) -> str:
        """Open a tab, in which a script runs."""

        def opened() -> str:
            if self.all:
                self.chrome.switch_to.new_window("tab")
            self.chrome.get(self.url + path)
            if script:
                self.chrome.execute_script(script, *arguments)
            return self.chrome.current_window_handle

        self.all.append(await to_thread.run_sync(opened))
        return self.all[-1]

    async def close(self, tab: str) -> None:
        def closed() -> None:
            self.chrome.switch_to.window(tab)
            self.chrome.close()
            self.chrome.switch_to.window(self.all[0])

        self.all.remove(tab)
        await to_thread.run_sync(closed)

    async def run(self, tab: str, script: str, *arguments: Any) -> Any:
        def ran() -> Any:
            if self.chrome.current_window_handle != tab:
                self.chrome.switch_to.window(tab)
            return self.chrome.execute_script(script, *arguments)

        return await to_thread.run_sync(ran)

    async def shown(self, tab: str, element: str) -> str:
        text: str = await self.run(tab, SHOWN, element)
        return text

    async def shows(self, tab: str, element: str, words: str) -> None:
        """Wait until an element contains these words."""
        try:
            with anyio.fail_after(PATIENCE):
                while words not in await self.shown(tab, element):
                    await anyio.sleep(0.1)
        except TimeoutError as error:
            page = await self.shown(tab, "body")
            raise AssertionError(
                f"{element} never read {words!r}; the page reads: {page}"
            ) from error

    async def one_stream(self) -> None:
        """Wait until the service has one stream for all tabs."""
        with anyio.fail_after(PATIENCE):
            while self.service.parts.hub.count != 1:
                await anyio.sleep(0.05)

    async def live(self, *tabs: str) -> None:
        """Wait until each of these tabs has a version of the sync that is newer than now."""
        sync = (await self.ann.get("/api/sync/status")).json()
        for tab in tabs:
            with anyio.fail_after(PATIENCE):
                while await self.run(tab, LAST) <= sync["version"]:
                    await anyio.sleep(0.1)


@asynccontextmanager
async def tabs_of(folder: Path, **environ: str) -> AsyncIterator[Tabs]:
    environ = {"AUTH_MODE": "demo", **ENDLESS, **environ}
    with shared_chromium() as chrome:
        async with (
            serve(folder, None, **environ) as service,
            hanging_proxy(urlsplit(service.url).port or 0) as proxy,
        ):
            tabs = Tabs(chrome, service, proxy)
            await tabs.ann.connect()
            yield tabs
            await to_thread.run_sync(chrome.get, "about:blank")


async def test_eight_tabs_are_live_with_one_stream_and_cancel_in_each(tmp_path: Path) -> None:
    async with tabs_of(tmp_path) as tabs:
        for _ in range(8):
            await tabs.open("/")
        for tab in tabs.all:
            await tabs.shows(tab, "main", "Start historical sync")
        await tabs.one_stream()
        for number, cancelling in enumerate(tabs.all):
            await tabs.ann.start()  # elsewhere, for example with curl
            for tab in tabs.all if number in (0, 7) else (cancelling,):
                await tabs.shows(tab, "#live", "Reading from")
                await tabs.shows(tab, "[aria-labelledby=live] button", "Cancel")
            assert tabs.service.parts.hub.count == 1
            await tabs.run(cancelling, CANCEL)
            for tab in tabs.all if number in (0, 7) else (cancelling,):
                await tabs.shows(tab, "#idle", "The last sync was cancelled")
        for tab in tabs.all:
            await tabs.shows(tab, "[aria-labelledby=idle]", "read before are kept")
        history = (await tabs.ann.get("/api/sync/history")).json()["syncs"]
        assert [sync["status"] for sync in history] == ["cancelled"] * 8


async def test_a_hanging_stream_is_noticed_and_the_page_shows_what_polls_find(
    tmp_path: Path,
) -> None:
    async with tabs_of(tmp_path) as tabs:
        tab = await tabs.open("/")
        sync_id = await tabs.ann.start()
        await tabs.shows(tab, "#live", "Reading from")
        tabs.proxy.hang()
        await tabs.shows(tab, "#banner", QUIET)
        sync = await tabs.ann.status(sync_id)
        await tabs.ann.post(f"/api/sync/cancel/{sync_id}")
        await tabs.shows(tab, "#idle", "The last sync was cancelled")
        assert sync["status"] == "in_progress"
        await tabs.shows(tab, "#banner", QUIET)
        tabs.proxy.flow()
        with anyio.fail_after(PATIENCE):
            while QUIET in await tabs.shown(tab, "#banner"):
                await anyio.sleep(0.1)


async def _close(tabs: Tabs, leader: str) -> None:
    await tabs.close(leader)


async def _freeze(tabs: Tabs, leader: str) -> None:
    def freeze() -> None:
        tabs.chrome.switch_to.window(leader)
        tabs.chrome.execute_cdp_cmd("Page.setWebLifecycleState", {"state": "frozen"})
        tabs.chrome.switch_to.window(tabs.all[1])

    await to_thread.run_sync(freeze)


async def _stop_answering(tabs: Tabs, leader: str) -> None:
    await tabs.run(leader, MUTE)


@pytest.mark.parametrize("end", [_close, _freeze, _stop_answering])
async def test_another_tab_takes_over_from_one_that_ends(
    tmp_path: Path, end: Callable[[Tabs, str], Any]
) -> None:
    async with tabs_of(tmp_path) as tabs:
        leader, *others = [await tabs.open("/docs", FOLLOW, {}) for _ in range(3)]
        await tabs.one_stream()
        await tabs.ann.start()
        await tabs.live(leader, *others)
        await end(tabs, leader)
        await tabs.live(*others)
        await tabs.one_stream()
        await tabs.live(*others)
        for tab in others:
            seen = await tabs.run(tab, "return seen")
            versions = [version for _, version in seen]
            assert versions == sorted(set(versions))


async def test_all_tabs_show_what_one_polls(tmp_path: Path) -> None:
    async with tabs_of(tmp_path) as tabs:
        quick = {"watchdog": 1500, "pollInterval": 400}
        for _ in range(3):
            await tabs.open("/docs", FOLLOW, quick)
        await tabs.one_stream()
        tabs.proxy.hang()
        await tabs.ann.start()
        await tabs.live(*tabs.all)
        for tab in tabs.all:
            assert "polling" in await tabs.run(tab, "return links")
        tabs.proxy.flow()
        for tab in tabs.all:
            with anyio.fail_after(PATIENCE):
                while (await tabs.run(tab, "return links"))[-1] != "live":
                    await anyio.sleep(0.1)


async def test_tabs_of_a_service_that_did_not_answer_share_a_stream_later(tmp_path: Path) -> None:
    async with tabs_of(tmp_path) as tabs:
        quick = {"watchdog": 1500, "pollInterval": 400}
        for _ in range(3):
            await tabs.open("/docs", "await import('/web/client.js')")
        tabs.proxy.be_silent()
        for tab in tabs.all:
            await tabs.run(tab, FOLLOW, quick)
        for tab in tabs.all:
            with anyio.fail_after(PATIENCE):
                while (await tabs.run(tab, "return links")) != ["offline"]:
                    await anyio.sleep(0.1)
        tabs.proxy.forward()
        await tabs.ann.start()
        await tabs.live(*tabs.all)
        await tabs.one_stream()
        await tabs.live(*tabs.all)


async def test_after_a_change_of_the_network_the_stream_is_opened_anew(tmp_path: Path) -> None:
    async with tabs_of(tmp_path) as tabs:
        leader, other = [await tabs.open("/docs", FOLLOW, {}) for _ in range(2)]
        await tabs.one_stream()
        await tabs.ann.start()
        await tabs.live(leader, other)
        for tab in (leader, other):  # the one that has the stream, and one that asks it to
            asked = tabs.proxy.asked
            await tabs.run(tab, "dispatchEvent(new Event('online'))")
            with anyio.fail_after(PATIENCE):
                while tabs.proxy.asked == asked:
                    await anyio.sleep(0.05)
            await tabs.live(leader, other)


async def test_a_subscription_that_ends_leaves_nothing_behind(tmp_path: Path) -> None:
    async with tabs_of(tmp_path) as tabs:
        first, second = [await tabs.open("/docs", FOLLOW, {}) for _ in range(2)]
        await tabs.one_stream()
        await tabs.ann.start()
        await tabs.live(first, second)
        for tab in (first, second):
            await tabs.run(tab, "stop()")
            await tabs.run(tab, "window.before = seen.length")
        with anyio.fail_after(PATIENCE):
            while await tabs.run(first, HELD) or tabs.service.parts.hub.count:
                await anyio.sleep(0.05)
        for tab in (first, second):
            assert await tabs.run(tab, "return seen.length === before")


async def test_two_users_of_one_browser_share_nothing(tmp_path: Path) -> None:
    async with tabs_of(tmp_path, AUTH_MODE="jwt") as tabs:
        ann, bob = [
            await tabs.open("/docs", FOLLOW, {"token": token(name)}) for name in ("ann", "bob")
        ]
        await tabs.ann.start()
        await tabs.live(ann)
        with anyio.fail_after(PATIENCE):
            while tabs.service.parts.hub.count != 2:
                await anyio.sleep(0.05)
        await tabs.live(ann)
        assert await tabs.run(bob, "return seen.length") == 0
