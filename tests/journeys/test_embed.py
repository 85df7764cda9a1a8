"""<seller-sync> in pages of another origin, in a real headless Chromium: plain, React and Vue."""

import gzip
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from connectors import amazon_sandbox as amazon
from tests.documents import snippets
from tests.journeys.browser import shared_chromium
from tests.journeys.hanging import hanging_proxy
from tests.journeys.hosts import MODULES, Host, host, react, vue
from tests.journeys.test_amazon import local_sandbox
from tests.service.api.answers import replace_token
from tests.serving import PATIENCE, Serving, serve, token

pytestmark = pytest.mark.anyio

WEB = Path(__file__).parents[2] / "service/web"
MAX_BYTES = 15 * 1024
QUICK: Any = {"DEMO_ORDERS": "60", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.1"}
ENDLESS: Any = {"DEMO_ORDERS": "100000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.1"}
PAGE, SECTION, EXAMPLE = "docs/integrating.md", "Embedding", "https://sync.example.com"
LANGUAGES = {"plain": "js", "react": "jsx", "vue": "vue"}
FRAMEWORKS = {'"react"': '"/react.js"', '"react-dom/client"': '"/react.js"', '"vue"': '"/vue.js"'}
"""The pages have no import map, which would be an inline script."""
OWN_SCRIPT = '<script type="module" src="/page.js"></script>'
WATCH = """window.seen = [];
document.addEventListener("seller-sync-change", ({ detail }) => {
  window.seen.push([detail.version, detail.status]);
});
"""


def snippet(language: str, url: str) -> str:
    """An example of the document, for this service."""
    (text,) = snippets(PAGE, SECTION, language)
    for name, path in FRAMEWORKS.items():
        text = text.replace(name, path)
    return text.replace(EXAMPLE, url)


AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, { preload: false }).then(
  ({ violations }) => done(violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))),
  (error) => done([String(error)]));
"""


class Page:
    """The page of a host, as its user sees it: also what is inside of the element."""

    def __init__(self, chrome: Chrome, host: Host, service: Serving) -> None:
        self.chrome, self.host, self.service = chrome, host, service
        #: The address at which the page knows the service.
        self.url = service.url

    async def open(
        self, kind: str = "plain", attributes: str = "", lang: str = "en", script: str = ""
    ) -> None:
        url = self.url
        plain = snippet("html", url).replace("<seller-sync>", f"<seller-sync {attributes}>")
        body = plain if kind == "plain" else OWN_SCRIPT  # React and Vue import the module
        self.host.page(WATCH + (script or snippet(LANGUAGES[kind], url)), body, lang)
        policy = snippet("http", url).strip()
        assert policy.startswith("Content-Security-Policy: default-src 'none';")
        self.host.policy = policy.partition(": ")[2]
        await self.run(self.chrome.get, self.host.url)

    async def run(self, call: Callable[..., Any], *values: Any) -> Any:
        return await anyio.to_thread.run_sync(call, *values)

    async def js(self, script: str, *values: Any) -> Any:
        return await self.run(self.chrome.execute_script, script, *values)

    async def text(self) -> str:
        inside = "document.querySelector('seller-sync')?.shadowRoot.querySelector('.box').innerText"
        return str(await self.js(f"return {inside} ?? ''"))

    async def shows(self, *words: str, seconds: float = PATIENCE) -> None:
        text = ""
        with anyio.move_on_after(seconds):
            while True:
                text = await self.text()
                if all(word in text for word in words):
                    return
                await anyio.sleep(0.05)
        pytest.fail(f"never showed {words}: {text}")

    async def buttons(self) -> list[str]:
        """The visible buttons and links inside of the element that can be used."""
        return list(
            await self.js(
                """const root = document.querySelector('seller-sync').shadowRoot;
                return [...root.querySelectorAll('button, a')]
                  .filter((one) => one.checkVisibility() && !one.disabled)
                  .map((one) => one.innerText)"""
            )
        )

    async def press(self, words: str) -> None:
        with anyio.fail_after(PATIENCE):
            while words not in await self.buttons():
                await anyio.sleep(0.05)
        await self.js(
            """const root = document.querySelector('seller-sync').shadowRoot;
            [...root.querySelectorAll('button, a')]
              .find((one) => one.checkVisibility() && one.innerText === arguments[0]).click()""",
            words,
        )

    async def keys(self, *keys: str) -> None:
        await self.run(ActionChains(self.chrome).send_keys(*keys).perform)

    def consent(self, words: str) -> None:
        """Click this link, and consent on the page that it opens in a new tab."""
        chrome, (own,) = self.chrome, self.chrome.window_handles
        inside = chrome.find_element(By.CSS_SELECTOR, "seller-sync").shadow_root
        (link,) = [a for a in inside.find_elements(By.CSS_SELECTOR, "a") if a.text == words]
        link.click()
        wait = WebDriverWait(chrome, 2 * PATIENCE)
        wait.until(lambda _: len(chrome.window_handles) == 2)
        (opened,) = set(chrome.window_handles) - {own}
        chrome.switch_to.window(opened)
        wait.until(lambda _: chrome.find_elements(By.CSS_SELECTOR, "form button"))[0].click()
        # The dashboard removes the result from its address at once.
        wait.until(lambda _: "#/overview" in chrome.current_url)
        chrome.close()
        chrome.switch_to.window(own)

    async def assert_accessible(self) -> None:
        """axe-core finds nothing, in light and in dark."""
        await self.js((MODULES / "axe-core/axe.min.js").read_text())
        for scheme, page in (("light", "#f6f7f9"), ("dark", "#0b0d11")):
            await self.js(
                """document.documentElement.style.colorScheme = arguments[0];
                document.documentElement.style.backgroundColor = arguments[1];
                document.body.style.color = arguments[0] === 'dark' ? '#fff' : '#000';""",
                scheme,
                page,
            )
            assert not await self.run(self.chrome.execute_async_script, AXE), scheme

    async def assert_quiet(self, but: str = "-") -> None:
        """No error and no violation of the policy has been logged; `but` is another server's."""
        logged = await self.run(self.chrome.get_log, "browser")
        assert not [entry for entry in logged if not entry["message"].startswith(but)], logged


@asynccontextmanager
async def embedded(tmp_path: Path, **environ: Any) -> AsyncIterator[Page]:
    if not MODULES.is_dir():
        missing = "the clients are not installed: make tests/clients/node_modules"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with host() as pages, shared_chromium() as chrome:
        pages.files |= {"/react.js": react(), "/vue.js": vue()}
        pages.files["/token"] = f'{{"token": "{token("ann")}"}}'
        async with serve(tmp_path / "data", CORS_ORIGINS=pages.url, **environ) as service:
            yield Page(chrome, pages, service)
            await anyio.to_thread.run_sync(chrome.get, "about:blank")  # ends its streams


@pytest.mark.parametrize("kind", list(LANGUAGES))
async def test_a_page_of_another_origin_shows_a_sync_to_its_end(tmp_path: Path, kind: str) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        await page.service.user().connect()
        await page.open(kind)
        await page.shows("Demo store", "Connected", "Nothing has been imported yet")
        await page.press("Sync now")
        await page.shows("Complete: 63 records", "100 %", "63 records")
        assert await page.buttons() == ["Sync now"]
        seen = await page.js("return window.seen")
        versions = [version for version, _ in seen]
        assert versions == sorted(set(versions)) and len(versions) > 3, "it was live"
        assert seen[-1][1] == "complete"
        if kind != "plain":
            assert await page.js("return document.getElementById('last').innerText") == "complete"
        await page.assert_accessible()
        await page.assert_quiet()


def test_the_element_is_small() -> None:
    files = sorted(WEB.glob("embed*.js"))
    assert [path.name for path in files] == ["embed-parts.js", "embed-style.js", "embed.js"]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) <= MAX_BYTES


async def test_a_lost_connection_offers_only_to_connect_again(tmp_path: Path) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        ann = page.service.user()
        connection = await ann.connect()
        await page.open()
        await page.shows("Demo store", "Sync now")
        await replace_token(page.service, connection["id"])
        await ann.until(await ann.start(), "paused")
        await page.shows("Connection lost", "Paused", "Connect it again")
        assert await page.buttons() == ["Connect again"]
        await page.js(
            """document.addEventListener('seller-sync-connect', (event) => {
              window.asked = event.detail;
            })"""
        )
        await page.press("Connect again")
        asked = {"connector": "demo", "connectionId": connection["id"], "url": None}
        assert await page.js("return window.asked") == asked
        await page.assert_accessible()
        await ann.post(f"/api/connections/{connection['id']}/reconnect", {"refreshToken": "good"})
        await page.shows("Connected", "Complete: 63 records")
        await page.assert_quiet()


async def test_what_cannot_be_refreshed_is_shown_as_old(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path, **ENDLESS) as page,
        hanging_proxy(urlsplit(page.service.url).port or 0) as between,
    ):
        page.url = f"http://127.0.0.1:{between.port}"
        await page.service.user().connect()
        await page.open()
        await page.press("Sync now")
        await page.shows("Reading", "min left", "Cancel")
        between.hang()
        await page.shows("No live updates at the moment.", seconds=2 * PATIENCE)
        assert "Cancel" in await page.buttons(), "calls still work"
        between.be_silent()
        await page.shows("Not up to date: no connection to the service", seconds=2 * PATIENCE)
        assert await page.buttons() == []
        inside = "document.querySelector('seller-sync').shadowRoot"
        assert await page.js(f"return {inside}.querySelectorAll('.stale').length > 0")
        await page.assert_accessible()
        between.flow()
        between.forward()
        with anyio.fail_after(2 * PATIENCE):
            while "Cancel" not in await page.buttons():
                await anyio.sleep(0.05)
        await page.press("Cancel")
        await page.shows("Cancelled", "Resume")
        assert "Not up to date" not in await page.text()
        assert await page.buttons() == ["Sync now", "Resume"]


async def test_a_refused_token_is_asked_for_again(tmp_path: Path) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        await page.service.user().connect()
        script = """document.querySelector("seller-sync").getToken = async ({ refresh }) =>
          refresh ? (await (await fetch("/token")).json()).token : "expired";"""
        await page.open(script=script)
        await page.shows("Demo store", "Sync now")
        assert page.host.tokens > 0


async def test_a_user_who_is_signed_out_sees_it_and_continues_after_a_sign_in(
    tmp_path: Path,
) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        await page.service.user().connect()
        script = """document.addEventListener("seller-sync-unauthorized",
          () => { window.out = true; });
        document.querySelector("seller-sync").token = "expired";"""
        await page.open(script=script)
        await page.shows("You are signed out. Sign in again to see your data.")
        assert await page.js("return window.out") is True
        assert await page.buttons() == []
        await page.js(
            "document.querySelector('seller-sync').setAttribute('token', arguments[0])",
            token("ann"),
        )
        await page.shows("Demo store", "Sync now")
        assert "signed out" not in await page.text()


async def test_a_ticket_shows_one_sync_and_nothing_else(tmp_path: Path) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        ann = page.service.user()
        await ann.connect()
        sync_id = await ann.start()
        minted = (await ann.post("/api/sse/ticket", {"syncId": sync_id})).text
        page.host.files["/token"] = minted
        script = """document.querySelector("seller-sync").getTicket =
          async () => (await fetch("/token")).json();"""
        await page.open(attributes=f'sync-id="{sync_id}"', script=script)
        await page.shows("Import", "Complete: 63 records", "100 %")
        text = await page.text()
        assert "Accounts" not in text and "owed" not in text and await page.buttons() == []
        await page.assert_quiet()


async def test_dates_follow_the_language_and_colours_the_page(tmp_path: Path) -> None:
    async with embedded(tmp_path, **QUICK) as page:
        ann = page.service.user()
        await ann.connect()
        await ann.whole_sync()
        page.host.headers = {"Cross-Origin-Embedder-Policy": "require-corp"}
        await page.open(lang="de")
        await page.shows("Complete: 63 records", "Sync now", "No claims have been found so far")
        assert re.search(r"Ended \d\d\.\d\d\.\d{4}, \d\d:\d\d", await page.text())
        element = "document.querySelector('seller-sync')"
        await page.js(f"{element}.setAttribute('lang', 'en-US')")
        with anyio.fail_after(PATIENCE):
            ended = re.compile(r"Ended \w{3} \d+, \d{4}, \d+:\d\d\s[AP]M")
            while not ended.search(await page.text()):
                await anyio.sleep(0.05)
        await page.js(f"{element}.style.setProperty('--seller-sync-card', 'rgb(1, 2, 3)')")
        card = f"getComputedStyle({element}.shadowRoot.querySelector('.card')).backgroundColor"
        assert await page.js(f"return {card}") == "rgb(1, 2, 3)"
        await page.assert_quiet()


async def test_it_is_used_with_the_keyboard(tmp_path: Path) -> None:
    async with embedded(tmp_path, **ENDLESS) as page:
        await page.service.user().connect()
        await page.open()
        await page.shows("Sync now")
        focused = "return document.querySelector('seller-sync').shadowRoot.activeElement?.innerText"
        for pressed, next_one in (("Sync now", "Cancel"), ("Cancel", "Sync now")):
            await page.shows(pressed)
            with anyio.fail_after(PATIENCE):
                while await page.js(focused) != pressed:
                    await page.keys(Keys.TAB)
            await page.keys(Keys.ENTER)
            await page.shows(next_one)


async def test_a_wrong_attribute_is_named(tmp_path: Path) -> None:
    async with embedded(tmp_path) as page:
        await page.open(attributes="settings='[oops'")
        await page.shows("The attribute settings of <seller-sync> is not a JSON object.")


async def test_an_account_is_connected_by_consent_and_shows_what_is_owed(tmp_path: Path) -> None:
    async with (
        local_sandbox(orders=300, speed=3000) as url,
        embedded(tmp_path, **amazon.environ(url)) as page,
    ):
        cookie = f"session={token('ann')}; Path=/; HttpOnly; SameSite=Lax"
        page.host.headers = {"Set-Cookie": cookie}
        await page.open(attributes="""settings='{"environment": "production"}'""")
        await page.shows("Connect your account to begin.", "Region", "Continue with Amazon")
        assert await page.buttons() == ["Continue with Amazon"]
        await page.assert_accessible()
        await page.run(page.consent, "Continue with Amazon")
        ann = page.service.user()
        await page.shows("Connected", "Complete")
        (connection,) = (await ann.get("/api/connections")).json()["connections"]
        assert connection["region"] == "NA"
        found = (await ann.get("/api/recoveries")).json()
        sums = {total["currency"]: total for total in found["totals"]}
        assert sums and found["recoveries"]
        await page.shows("claimable case", "Closes", found["recoveries"][0]["title"])
        await page.assert_accessible()
        await page.assert_quiet(but=url)
