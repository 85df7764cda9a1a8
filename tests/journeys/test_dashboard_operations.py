"""The operations of the dashboard in a real headless Chromium, with planted figures."""

from pathlib import Path

from anyio.from_thread import BlockingPortal

from tests.journeys.signed import dashboard

OPERATIONS = """
const real = window.fetch;
window.fetch = async (path, init) => {
  if (!String(path).includes("/api/operations")) return real(path, init);
  return new Response(JSON.stringify(ANSWER), { headers: { "Content-Type": "application/json" } });
};
const minute = (count) => new Date(Date.now() - count * 60000).toISOString();
const sync = (syncId, more) => ({ syncId, tenant: "alder", user: "alder", status: "in_progress",
  stage: "fetching", owner: "node-a", ownedSince: minute(30), takeovers: 0, startedAt: minute(30),
  checkpointAt: minute(1), waitingUntil: null, stuck: false, ...more });
const ANSWER = {
  nodes: [{ id: "node-a", role: "worker", startedAt: minute(90), lastSeenAt: minute(0), running: 2,
    slots: 50, streams: 640 }],
  syncs: [sync("sync_fine"),
    sync("sync_stuck", { checkpointAt: minute(17), stuck: true, takeovers: 1 }),
    sync("sync_next", { stage: "queued", owner: null, checkpointAt: null, startedAt: minute(0) })],
  waiting: 1, oldestWaitingSeconds: 38,
  quotas: [{ operation: "searchOrders", waiting: 1, until: minute(-3) }],
  outboxLagSeconds: 0, webhookLagSeconds: 420, relay: { node: "node-a", lagSeconds: 0 },
};
"""


def test_operations_are_for_operators_and_show_what_is_stuck_first(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dashboard(portal, tmp_path) as page:
        page.go("#/operations")
        page.shows("main", "This page is for operators")
        page.browser.delete_all_cookies()
        planted = {"source": OPERATIONS}
        page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", planted)
        page.open("#/operations")
        page.sign_in(role="operator")
        page.shows("main .notice.warn", "One sync has made no progress for 17 min")
        rows = [row.get_attribute("data-row") for row in page.all("[aria-label='Live syncs'] tr")]
        assert rows == [None, "sync_stuck", "sync_fine", "sync_next"]
        page.shows("[aria-label=Nodes]", "7 min behind")
        page.shows("[aria-label=Quotas]", "searchOrders")
        page.shows("main", "All tenants, as of")
        for width in (1280, 390):
            page.size(width, 900)
            for scheme in ("light", "dark"):
                page.theme(scheme)
                assert page.violations() == [], (width, scheme)
        assert page.complaints() == []


def test_a_service_without_the_figures_of_operations_says_where_they_are(
    portal: BlockingPortal, tmp_path: Path
) -> None:
    with dashboard(portal, tmp_path) as page:
        page.browser.delete_all_cookies()
        missing = OPERATIONS.replace("JSON.stringify(ANSWER), {", "'{}', { status: 404,")
        script = {"source": missing}
        page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
        page.open("#/operations")
        page.sign_in(role="operator")
        page.shows("main", "The state of the service is at /readyz")
        assert not page.all("main [role=alert]")
        assert page.complaints() == []
