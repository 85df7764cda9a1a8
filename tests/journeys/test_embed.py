"""<seller-sync> in pages of another origin, in a real headless Chromium: plain, React and Vue."""

import gzip
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from selenium.webdriver import Chrome

from tests.documents import snippets
from tests.journeys.browser import chromium
from tests.journeys.hosts import MODULES, Host, host, react, vue
from tests.serving import PATIENCE, Serving, serve, token

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

WEB = Path(__file__).parents[2] / "service/web"
MOST_BYTES = 15 * 1024
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

    async def open(
        self, kind: str = "plain", attributes: str = "", lang: str = "en", script: str = ""
    ) -> None:
        url = self.service.url
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

    async def shows(self, *words: str) -> None:
        text = ""
        with anyio.move_on_after(PATIENCE):
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

    async def assert_quiet(self) -> None:
        """No error and no violation of the policy has been logged."""
        logged = await self.run(self.chrome.get_log, "browser")
        assert not logged, logged


@asynccontextmanager
async def embedded(tmp_path: Path, **environ: Any) -> AsyncIterator[Page]:
    if not MODULES.is_dir():
        missing = "the clients are not installed: make tests/clients/node_modules"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with host() as pages, chromium(tmp_path / "profile") as chrome:
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
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in files) <= MOST_BYTES
