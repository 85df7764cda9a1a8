"""The dashboard of a signed-in user in a real headless Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal
from selenium.webdriver.common.keys import Keys

from tests.journeys.browser import shared_chromium
from tests.journeys.dashboard import CALM, Page
from tests.journeys.hosts import MODULES
from tests.serving import Json, Serving, User, serve, token

SMALL: Any = {"DEMO_ORDERS": "20", "DEMO_PAGE": "10"}
AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, { preload: false }).then(
  ({ violations }) => done(violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))),
  (error) => done([String(error)]));
"""


class Signed(Page):
    """The dashboard of a signed-in user, whose API the test calls, too."""

    ann: User
    portal: BlockingPortal

    def ask(self, path: str) -> Json:
        answer: Json = self.portal.call(self.ann.get, path).json()
        return answer

    def connection(self) -> Json:
        (connection,) = self.ask("/api/connections")["connections"]
        return dict(connection)

    def sign_in(self, **claims: Any) -> None:
        self.one("#sign-in [name=token]").send_keys(token(**claims))
        self.click("#sign-in button", "Sign in")
        self.until(lambda: not self.all("#sign-in"), "The page still asks to sign in")
        self.complaints()  # forget the answers 401

    def type(self, selector: str, words: str) -> None:
        field = self.one(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(words)

    def gone(self, selector: str) -> None:
        self.until(lambda: not self.all(selector), f"{selector} was still there")

    def add_webhook(self, url: str) -> str:
        """Add a webhook; returns its secret, which the page shows once."""
        self.click("main button", "Add a webhook")
        self.type("dialog [name=url]", url)
        self.click("dialog button", "Add webhook")
        self.shows("dialog .notice.good", "It is not shown again")
        secret = str(self.one("dialog [aria-label=Secret]").get_attribute("value"))
        self.click("dialog button", "I have stored it")
        self.gone("dialog")
        return secret

    def violations(self) -> Any:
        """What axe-core finds."""
        self.run(CALM)
        if not self.run("return 'axe' in window"):
            self.run((MODULES / "axe-core/axe.min.js").read_text())
        return self.browser.execute_async_script(AXE)


@contextmanager
def dashboard(portal: BlockingPortal, folder: Path, **environ: Any) -> Iterator[Signed]:
    """The service with one connected account, and the settings of its user in a browser."""
    running = serve(folder, **SMALL, **environ)
    with (
        portal.wrap_async_context_manager(running) as service,
        shared_chromium() as browser,
    ):
        page = Signed(browser, service.url)
        page.ann, page.portal = _ann(service), portal
        portal.call(page.ann.connect)
        page.size(1280, 900)
        page.open("#/settings")
        page.sign_in()
        page.shows("main .badge", "Connected")
        yield page


def _ann(service: Serving) -> User:
    return service.user("ann")
