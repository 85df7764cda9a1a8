"""A seller in a real headless Chromium, from the first visit to signing out."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from anyio.from_thread import BlockingPortal
from standardwebhooks.webhooks import Webhook

from connectors import amazon_sandbox as amazon
from tests.databases import ON_POSTGRES
from tests.journeys.browser import shared_chromium
from tests.journeys.dashboard import CALM, RUN
from tests.journeys.signed import Signed
from tests.journeys.test_amazon import local_sandbox
from tests.servers import Proxy, proxy
from tests.service.hooks.receivers import HOOKS_SETTINGS, Receiver, receiving
from tests.serving import serve


class Seller(Signed):
    """The dashboard of a seller, whose network can be cut."""

    network: Proxy
    source: str
    receiver: Receiver
    downloads: Path

    def plant(self, **faults: object) -> None:
        httpx.post(f"{self.source}/_sandbox/faults", json=faults).raise_for_status()

    def accessible(self, state: str) -> None:
        """axe-core finds nothing in the page as it is, light and dark. No database changes that."""
        for scheme in () if ON_POSTGRES else ("light", "dark"):
            self.theme(scheme)
            self.run(CALM)  # or colours are looked at in the middle of a transition
            assert self.violations() == [], (state, scheme)


@contextmanager
def first_visit(portal: BlockingPortal, folder: Path) -> Iterator[Seller]:
    """A seller who has opened the dashboard for the first time."""
    enter = portal.wrap_async_context_manager
    with (
        enter(local_sandbox(orders=300, speed=1.5)) as source,
        enter(receiving()) as receiver,
        enter(serve(folder, None, **amazon.environ(source), **HOOKS_SETTINGS)) as service,
        enter(proxy(urlsplit(service.url).port or 0)) as network,
        shared_chromium() as browser,
    ):
        page = Seller(browser, f"http://127.0.0.1:{network.port}")
        page.ann, page.portal = service.user("ann"), portal
        page.source, page.receiver, page.network = source, receiver, network
        page.downloads = folder / "downloads"
        allowed = {"behavior": "allow", "downloadPath": str(page.downloads)}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
        page.size(1280, 900)
        page.open()
        yield page
        browser.get("about:blank")


def _connects_by_consent(page: Seller) -> None:
    page.shows("dialog", "Sign in")
    page.accessible("sign in")
    assert page.complaints() == []
    page.sign_in()
    page.shows("main h1", "Find the money that you are owed")
    page.accessible("first visit")
    page.click("#connect button", "Continue with Amazon")
    page.shows("h1", "Authorize an application")
    assert page.browser.current_url.startswith(page.source)
    page.click("button", "Confirm")


def _starts_by_the_prompt(page: Seller) -> None:
    page.shows("dialog", "Read your past months now?")
    page.accessible("the prompt")
    page.click("dialog button", "Start historical sync")
    page.shows(RUN, "Reading from Amazon")
    page.shows(RUN, "Running")
    page.accessible("live")
    assert page.complaints() == []


def _loses_the_network_and_gets_it_back(page: Seller) -> None:
    page.portal.call(page.network.be_gone)
    page.shows("#banner", "No connection since")
    page.shows(RUN, "Last known")
    page.accessible("offline")
    page.portal.call(page.network.forward)
    page.until(lambda: page.text("#banner") == "", "The banner stayed")
    page.shows(RUN, "Synced just now")
    page.accessible("complete")
    assert [line for line in page.complaints() if "net::ERR_" not in line] == []


def _resumes_a_failed_sync(page: Seller) -> None:
    page.plant(missingRoles=["Amazon Fulfillment", "Inventory and Order Tracking"])
    page.click(f"{RUN} button".replace(",", " button,"), "Options…")
    for dataset in page.all("dialog [name=datasets]:not([value=inventory])"):
        dataset.click()
    page.click("dialog button", "Start")
    page.shows("main .badge", "Failed")
    page.accessible("a failed sync")
    page.plant()
    page.go("#/history")
    page.shows("main tbody tr:nth-child(1) .badge", "Failed")
    page.shows("main tbody tr:nth-child(2) .badge", "Complete")
    page.accessible("the history")
    page.click("main tbody button", "Try again")
    page.shows("main tbody tr:nth-child(1) .badge", "Complete")


def _downloads_the_claims(page: Seller) -> None:
    page.go("#/recoveries")
    page.until(lambda: bool(page.all("main tbody tr")), "No claim was shown")
    totals = page.ask("/api/recoveries")["totals"]
    page.click("main [aria-label=Status] button", "All")
    page.click("main button", "Download CSV")
    file = page.downloads / "recoveries.csv"
    page.until(file.exists, "Nothing was downloaded")
    rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    assert len(rows) == sum(row["claims"] for row in totals) > 0


def _sets_a_schedule(page: Seller) -> None:
    page.go("#/settings")
    page.click("main button", "Edit schedule")
    page.click("dialog .seg button", "Every day")
    page.click("dialog button", "Save schedule")
    page.gone("dialog")
    page.shows("main .facts", "Every day at")
    assert page.connection()["schedule"]["enabled"] is True


def _tests_a_webhook(page: Seller) -> None:
    page.go("#/settings/webhooks")
    secret = page.add_webhook(page.receiver.url)
    page.click("[data-webhook] button", "Send a test")
    page.shows("[aria-label=Deliveries] tbody .badge", "Delivered")
    (request,) = page.portal.call(page.receiver.until, 1)
    assert Webhook(secret).verify(request.raw.decode(), request.headers)["type"] == "webhook.test"


def test_a_seller_goes_from_the_first_visit_to_signing_out(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with first_visit(portal, tmp_path) as page:
        _connects_by_consent(page)
        _starts_by_the_prompt(page)
        _loses_the_network_and_gets_it_back(page)
        _resumes_a_failed_sync(page)
        _downloads_the_claims(page)
        _sets_a_schedule(page)
        _tests_a_webhook(page)
        page.click("#side-more button", "Sign out")
        page.shows("#sign-in", "Paste the token")
        assert page.complaints() == []
