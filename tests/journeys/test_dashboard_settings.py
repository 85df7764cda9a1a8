"""The settings of the dashboard in a real headless Chromium, signed in by a token."""

from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from standardwebhooks.webhooks import Webhook

from tests.journeys.signed import dashboard
from tests.service.hooks.receivers import HOOKS_SETTINGS, receiving

TABS = ("connections", "costs", "webhooks", "access")
TIME_IS_SET = """
const field = document.querySelector("dialog [name=time]");
field.value = arguments[0];
field.dispatchEvent(new Event("input", { bubbles: true }));
"""
# Connections --------------------------------------------------------------------------------------


def test_a_connection_is_renamed_and_a_name_that_cannot_be_is_named(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dashboard(portal, tmp_path) as page:
        page.click("main button", "Rename")
        page.type("dialog [name=name]", "   ")
        page.click("dialog button", "Save name")
        page.shows("dialog .field .problem", "Must not be blank")
        page.type("dialog [name=name]", "Kestrel Home")
        page.click("dialog button", "Save name")
        page.gone("dialog")
        page.shows("main h2", "Kestrel Home")
        assert page.connection()["name"] == "Kestrel Home"
        assert [line for line in page.complaints() if "422" not in line] == []


def test_a_schedule_is_set_by_presets_and_by_cron_and_switched_off(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dashboard(portal, tmp_path) as page:
        page.click("main button", "Edit schedule")
        page.click("dialog .seg button", "Every day")
        page.run(TIME_IS_SET, "06:30")
        for day in ("Sat", "Sun"):
            page.click("dialog .weekdays label", day)
        Select(page.one("dialog [name=timezone]")).select_by_value("Europe/Berlin")
        page.shows("dialog .steps", "30 6 * * 1,2,3,4,5")
        page.click("dialog button", "Save schedule")
        page.gone("dialog")
        page.shows("main .facts", "Mon, Tue, Wed, Thu, Fri at 06:30")
        schedule = page.connection()["schedule"]
        assert (schedule["cron"], schedule["timezone"]) == ("30 6 * * 1,2,3,4,5", "Europe/Berlin")

        page.click("main button", "Edit schedule")
        page.until(
            lambda: page.text("dialog .steps").count(":30") == 5, "The next runs were not shown"
        )
        page.click("dialog .seg button", "Cron")
        page.type("dialog [name=cron]", "61 * * * *")
        page.click("dialog button", "Save schedule")
        page.shows("dialog .field .problem", "Must be a valid cron expression")
        assert page.one("[name=cron]").get_attribute("value") == "61 * * * *"
        page.type("dialog [name=cron]", "*/20 * * * *")
        page.click("dialog button", "Save schedule")
        page.gone("dialog")
        page.shows("main .facts", "*/20 * * * *")

        page.click("main button", "Edit schedule")
        page.click("dialog .seg button", "Off")
        page.click("dialog button", "Save schedule")
        page.gone("dialog")
        page.shows("main .facts", "not scheduled")
        assert page.connection()["schedule"]["enabled"] is False
        assert [line for line in page.complaints() if "422" not in line] == []


@pytest.mark.parametrize("choice", ["keep", "erase"])
def test_disconnecting_asks_first_and_the_safe_answer_has_the_focus(
    portal: BlockingPortal, tmp_path: Path, choice: str
) -> None:
    with dashboard(portal, tmp_path) as page:
        page.portal.call(page.ann.whole_sync)
        page.click("main button", "Disconnect")
        assert page.run("return document.activeElement.textContent") == "Keep it"
        page.browser.switch_to.active_element.send_keys(Keys.ENTER)
        page.gone("dialog")
        assert page.connection()["status"] == "connected"
        page.click("main button", "Disconnect")
        page.one(f"dialog [value={choice}]").click()
        page.click("dialog button", "Disconnect")
        page.gone("dialog")
        page.shows("main", "No account is connected")
        assert page.ask("/api/connections")["connections"] == []
        kept = page.ask("/api/data/orders")["records"]
        assert bool(kept) == (choice == "keep")
        assert page.complaints() == []


def test_what_was_typed_stays_while_a_token_expires(portal: BlockingPortal, tmp_path: Path) -> None:
    with dashboard(portal, tmp_path) as page:
        page.click("main button", "Rename")
        page.type("dialog [name=name]", "Juniper")
        page.browser.delete_all_cookies()
        page.click("dialog button", "Save name")
        page.sign_in()
        assert page.one("dialog [name=name]").get_attribute("value") == "Juniper"
        page.click("dialog button", "Save name")
        page.gone("dialog")
        page.shows("main h2", "Juniper")
        page.browser.delete_all_cookies()
        page.go("#/settings/access")
        page.sign_in()
        page.shows("main .facts", "ann")


# Uploads ------------------------------------------------------------------------------------------


def test_a_wrong_file_changes_nothing_and_the_right_one_is_counted(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    wrong, right, half = (tmp_path / f"{name}.csv" for name in ("wrong", "right", "half"))
    wrong.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    right.write_text("sku;cost;currency\nMUG-01;4,20;EUR\nMUG-02;5,10;EUR\n", encoding="utf-16")
    half.write_text("sku,cost,currency\nCUP-01,3.10,USD\nCUP-02,much,USD\n")
    form = "[data-upload=costs]"
    with dashboard(portal, tmp_path) as page:
        page.go("#/settings/costs")
        page.shows(form, "Nothing is stored yet.")
        page.click(f"{form} button", "Save costs")
        page.shows(f"{form} .notice", "Choose a file, or paste lines.")
        page.one(f"{form} [name=file]").send_keys(str(wrong))
        page.click(f"{form} button", "Save costs")
        page.shows(f"{form} .notice.bad", "Line 1 is not valid UTF-8")
        assert page.ask("/api/costs")["costs"] == []
        page.one(f"{form} [name=file]").send_keys(str(right))
        page.click(f"{form} button", "Save costs")
        page.shows(f"{form} .notice.good", "2 lines saved")
        page.shows(form, "2 costs are stored.")
        page.one(f"{form} [name=file]").send_keys(str(half))
        page.click(f"{form} button", "Save costs")
        page.shows(f"{form} .notice.warn", "1 line saved, 1 rejected")
        page.shows(f"{form} .wrong-lines", "Line 3, CUP-02")
        page.shows(form, "3 costs are stored.")
        assert len(page.ask("/api/costs")["costs"]) == 3
        assert [line for line in page.complaints() if "422" not in line] == []


@pytest.mark.parametrize(
    ("name", "path", "lines", "stored"),
    [
        (
            "dimensions",
            "/api/dimensions",
            "sku,length,width,height,length_unit,weight,weight_unit\nMUG-01,12,9,9,cm,350,g\n",
            "1 product is stored.",
        ),
        (
            "removals-received",
            "/api/removals/received",
            "order-id,quantity-received\nUNKNOWN-1,12\n",
            "Nothing is stored yet.",
        ),
    ],
)
def test_pasted_lines_are_sent_and_stay_if_they_are_refused(
    portal: BlockingPortal, tmp_path: Path, name: str, path: str, lines: str, stored: str
) -> None:
    form = f"[data-upload={name}]"
    with dashboard(portal, tmp_path) as page:
        page.go("#/settings/costs")
        page.one(f"{form} summary").click()
        page.one(f"{form} textarea").send_keys("not a table")
        page.one(f"{form} .first").click()
        page.shows(f"{form} .notice.bad", "must name each column once")
        assert page.one(f"{form} textarea").get_attribute("value") == "not a table"
        page.type(f"{form} textarea", lines)
        page.one(f"{form} .first").click()
        if name == "dimensions":
            page.shows(f"{form} .notice.good", "1 line saved")
        else:
            page.shows(f"{form} .notice.bad", "no removal order UNKNOWN-1 is known")
        page.shows(form, stored)
        (rows,) = [rows for rows in page.ask(path).values() if isinstance(rows, list)]
        assert len(rows) == (1 if name == "dimensions" else 0)
        assert [line for line in page.complaints() if "422" not in line] == []


# Webhooks -----------------------------------------------------------------------------------------


def test_a_webhook_is_added_tested_and_its_deliveries_are_shown(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with (
        portal.wrap_async_context_manager(receiving()) as receiver,
        dashboard(portal, tmp_path, **HOOKS_SETTINGS) as page,
    ):
        page.go("#/settings/webhooks")
        page.shows("main", "There is no webhook")
        page.click("main button", "Add a webhook")
        page.type("dialog [name=url]", "ftp://nowhere")
        page.click("dialog button", "Add webhook")
        page.shows("dialog .field .problem", "http")
        page.click("dialog button", "Close")
        page.gone("dialog")

        secret = page.add_webhook(receiver.url)
        page.shows("[data-webhook] .badge", "Active")
        page.click("[data-webhook] button", "Send a test")
        (request,) = portal.call(receiver.until, 1)
        assert (
            Webhook(secret).verify(request.raw.decode(), request.headers)["type"] == "webhook.test"
        )
        page.shows("[aria-label=Deliveries] tbody .badge", "Delivered")
        page.shows("[aria-label=Deliveries] tbody", request.id)
        assert secret not in page.browser.page_source

        receiver.status = 500
        page.click("[data-webhook] button", "Send a test")
        page.shows("[aria-label=Deliveries] tbody .badge", "Given up")
        page.shows("[aria-label=Deliveries] tbody details", "500 in")
        page.one("[aria-label=Deliveries] tbody summary").click()
        page.until(lambda: len(page.all("tbody details li")) == 4, "Not every attempt was shown")
        receiver.status = 200
        page.click("[aria-label=Deliveries] tbody button", "Send again")
        page.shows("[aria-label=Deliveries] tbody .badge", "Delivered")
        assert [line for line in page.complaints() if "422" not in line] == []


def test_events_that_were_given_up_are_sent_again_from_there(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with (
        portal.wrap_async_context_manager(receiving()) as receiver,
        dashboard(portal, tmp_path, **HOOKS_SETTINGS) as page,
    ):
        page.go("#/settings/webhooks")
        page.add_webhook(receiver.url)
        receiver.status = 500
        for _ in range(2):
            portal.call(page.ann.whole_sync)
        given_up = "[aria-label=Deliveries] tbody .badge.bad"
        page.until(lambda: len(page.all(given_up)) == 2, "Not both events were given up")
        refused = {request.id for request in receiver.received}
        receiver.status = 200
        oldest = "[aria-label=Deliveries] tbody tr:last-child button"
        page.click(oldest, "Send again from here")
        page.shows("dialog", "This event (a sync is complete), first sent")
        page.click("dialog button", "Send again")
        page.shows(".toasts", "2 events will be sent again")
        taken = portal.call(receiver.until, 2)
        assert {request.id for request in taken} == refused
        delivered = "[aria-label=Deliveries] tbody .badge.good"
        page.until(lambda: len(page.all(delivered)) == 2, "The deliveries are not listed")
        assert page.complaints() == []


# The page learns of a removal only after it would have refreshed the deliveries.
SLOW_REMOVAL = """
const fetch = window.fetch;
window.fetch = async (url, options) => {
  const answer = await fetch(url, options);
  if (options?.method === "DELETE") await new Promise((then) => setTimeout(then, 3500));
  return answer;
};
"""


def test_a_webhook_is_changed_disabled_by_its_receiver_enabled_and_removed(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with (
        portal.wrap_async_context_manager(receiving()) as receiver,
        dashboard(portal, tmp_path, **HOOKS_SETTINGS) as page,
    ):
        page.go("#/settings/webhooks")
        first = page.add_webhook(receiver.url)
        page.click("[data-webhook] button", "Edit")
        page.one("dialog [value='*']").click()
        page.click("dialog button", "Save webhook")
        page.gone("dialog")
        page.shows("[data-webhook] .facts", "all types")

        receiver.status = 410
        page.click("[data-webhook] button", "Send a test")
        page.shows("[aria-label=Deliveries] tbody .badge", "Given up")
        page.shows("[data-webhook] .badge", "Disabled")
        page.shows("[data-webhook] .notice.warn", "410")
        page.click("[data-webhook] button", "Enable")
        page.shows("[data-webhook] .badge", "Active")

        page.click("[data-webhook] button", "New secret")
        page.click("dialog button", "Make a new secret")
        page.shows("dialog .notice.good", "It is not shown again")
        assert page.one("dialog [aria-label=Secret]").get_attribute("value") != first
        page.click("dialog button", "I have stored it")
        page.gone("dialog")
        page.run(SLOW_REMOVAL)
        page.click("[data-webhook] button", "Remove")
        assert page.run("return document.activeElement.textContent") == "Keep it"
        page.click("dialog button", "Remove")
        page.shows("main", "There is no webhook")
        assert page.ask("/api/webhooks")["webhooks"] == []
        assert page.complaints() == []


# Access, accessibility ----------------------------------------------------------------------------


# Another part of the page asks for something when the session has just ended.
ASKS_AT_THE_END = """
const fetch = window.fetch;
return import("/web/lib/client.js").then(({ get }) => {
  window.fetch = async (url, options) => {
    const answer = await fetch(url, options);
    if (options?.method === "DELETE") {
      get("/api/webhooks").catch(() => {});
      await new Promise((then) => setTimeout(then, 500));
    }
    return answer;
  };
});
"""


def test_the_page_says_who_is_signed_in_and_signs_out(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dashboard(portal, tmp_path) as page:
        me = page.ask("/api/me")
        page.go("#/settings/access")
        page.shows("main .facts", me["user"])
        page.shows("main .facts", me["plan"]["name"] or "standard")
        page.run(ASKS_AT_THE_END)
        page.click("main button", "Sign out")
        page.shows("#sign-in", "Paste the token")
        assert page.complaints() == []


def test_no_tab_has_a_violation_of_accessibility(portal: BlockingPortal, tmp_path: Path) -> None:
    with (
        portal.wrap_async_context_manager(receiving()) as receiver,
        dashboard(portal, tmp_path, **HOOKS_SETTINGS) as page,
    ):
        page.portal.call(page.ann.whole_sync)
        page.go("#/settings/webhooks")
        page.add_webhook(receiver.url)
        page.click("[data-webhook] button", "Send a test")
        page.shows("[aria-label=Deliveries] tbody .badge", "Delivered")
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.size(width, 900)
            page.theme(scheme)
            for tab in TABS:
                page.go(f"#/settings/{tab}")
                page.shows("main .tabs [aria-current]", tab.capitalize())
                page.gone("main [aria-busy]")
                assert page.violations() == [], (tab, scheme)
                beyond = "return document.documentElement.scrollWidth > innerWidth"
                assert not page.run(beyond), f"{tab} is wider than the window"
            for tab, words in (
                ("connections", "Edit schedule"),
                ("connections", "Rename"),
                ("connections", "Disconnect"),
                ("webhooks", "Edit"),
            ):
                page.go(f"#/settings/{tab}")
                page.click("main .stack .actions button", words)
                if words == "Edit schedule":
                    page.click("dialog .seg button", "Every day")
                assert page.violations() == [], (words, scheme)
                page.browser.switch_to.active_element.send_keys(Keys.ESCAPE)
                page.gone("dialog")
        assert page.complaints() == []
