// The page for operators: nodes, syncs, queues, quotas and lags, refreshed every few seconds.
import { badge, card, cardHead, copy, empty, failure, head, notice, skeleton } from "../lib/components.js";
import { now } from "../lib/client.js";
import { button, fill, h, patch } from "../lib/dom.js";
import { ago, ahead, clockSeconds, duration, number, plural } from "../lib/format.js";
import { showInToast } from "../lib/problems.js";
import { address } from "../lib/router.js";
import { table } from "../lib/table.js";
import { every } from "../lib/visible.js";
import { STAGES } from "../lib/words.js";

const REFRESH = 4000; // ms between two refreshes
const FIRST = 20; // syncs that are shown before the user presses "Show all"
const QUIET = 30; // seconds without a heartbeat of a node
const STAGE = new Map([...STAGES.map(([name, words]) => [name, words]), ["queued", "Queued"]]);

export function show(root, { client, live }) {
  const top = h("div", {});
  const body = h("div", { class: "stack" });
  fill(root, h("div", { class: "wrap" }, top, body));
  patch(top, head("Operations"));
  if (live.me?.role !== "operator") return void fill(body, denied());
  let stop = () => {};
  let latest = null; // the last answer
  let whole = false;
  let gone = false;

  function draw() {
    patch(top, head("Operations", `All tenants, as of ${clockSeconds(latest.readAt)}`,
      h("a", { class: "btn", href: "/metrics" }, "Metrics"),
      button({ class: "btn", onpress: (node) => copy(node, report(latest)).catch(showInToast) }, "Copy a report for support")));
    patch(body, ...parts(latest, live, whole, () => {
      whole = true;
      draw();
    }));
  }
  async function look() {
    try {
      const answer = await client.get("/api/operations");
      if (gone) return;
      latest = { ...answer, readAt: now() };
      draw();
    } catch (problem) {
      if (!gone) refused(problem);
    }
  }
  function refused(problem) {
    if (problem.status === 401) return; // the page asks to sign in
    if (![403, 404].includes(problem.status)) {
      if (latest) return patch(body, notice("warn", "offline", `Not updated since ${clockSeconds(latest.readAt)}`, problem.message), ...parts(latest, live, whole, () => {}));
      return void fill(body, card({}, failure("Operations could not be read", problem, look)));
    }
    stop();
    patch(top, head("Operations"));
    fill(body, problem.status === 403 ? denied() : card({}, empty("pulse", "This service does not show its operations", "The state of the service is at /readyz and its metrics at /metrics; the log has each status change of a sync.")));
  }
  fill(body, card({}, skeleton()));
  stop = every(REFRESH, look);
  look();
  return () => {
    gone = true;
    stop();
  };
}

const denied = () => card({}, empty("shield", "This page is for operators", "Your sign-in does not have the role “operator”. Ask the operator of the service to add it."));

const report = ({ readAt, ...answer }) => JSON.stringify({ readAt: new Date(readAt).toISOString(), ...answer }, null, 2);

function parts(answer, live, whole, all) {
  const syncs = [...answer.syncs].sort(worstFirst);
  const stuck = syncs.filter((sync) => sync.stuck);
  return [
    stuck.length > 0 && warning(stuck, live),
    figures(answer, syncs, stuck),
    syncs.length ? syncsCard(syncs, live, whole, all) : card({}, empty("pulse", "Nothing is running", `${plural(answer.nodes.length, "node")} known, and no sync waits.`)),
    h("div", { class: "halves" }, quotasCard(answer.quotas), nodesCard(answer)),
  ];
}

/** Stuck syncs first, then the longest without a new page. */
function worstFirst(one, other) {
  if (one.stuck !== other.stuck) return one.stuck ? -1 : 1;
  return since(one) - since(other);
}
const since = (sync) => Date.parse(sync.checkpointAt ?? sync.startedAt);

function warning(stuck, live) {
  const [worst] = stuck;
  const still = duration(Math.max(60, Math.round((now() - since(worst)) / 60_000) * 60));
  const title = stuck.length === 1 ? `One sync has made no progress for ${still}` : `${plural(stuck.length, "sync")} have made no progress, the longest for ${still}`;
  return notice("warn", "warn", title, `${worst.syncId} of tenant ${worst.tenant}${worst.owner ? `, on ${worst.owner}` : ", on no node"}.`,
    own(worst, live) && h("a", { class: "btn", href: address(["history", worst.syncId]) }, "Open the sync"));
}

/** Whether the sync belongs to this user: only those have a page here. */
const own = (sync, live) => sync.tenant === live.me?.tenant && sync.user === live.me?.user;

function figures(answer, syncs, stuck) {
  const figure = (words, value, more, look) => h("div", {}, h("dt", {}, look && h("span", { class: `dot ${look}` }), words),
    h("dd", {}, h("span", { class: "sum figure" }, value)), more && h("dd", {}, more));
  const running = answer.nodes.reduce((all, node) => all + node.running, 0);
  const slots = answer.nodes.reduce((all, node) => all + node.slots, 0);
  const streams = answer.nodes.reduce((all, node) => all + node.streams, 0);
  return card({ "aria-label": "Now" }, h("div", { class: "card-body" }, h("dl", { class: "stats" },
    figure("Running", number(running), `of ${number(slots)} at once`, "run"),
    figure("Waiting for a turn", number(answer.waiting), answer.oldestWaitingSeconds !== null && `longest ${duration(answer.oldestWaitingSeconds)}`),
    figure("Open streams", number(streams), `on ${plural(answer.nodes.length, "node")}`),
    figure("Stuck", number(stuck.length), `of ${plural(syncs.length, "sync")}`, stuck.length ? "warn" : "good"))));
}

function syncsCard(syncs, live, whole, all) {
  const shown = whole ? syncs : syncs.slice(0, FIRST);
  const columns = [
    { label: "Sync", cell: (sync) => [
      own(sync, live) ? h("a", { class: "open mono", href: address(["history", sync.syncId]) }, sync.syncId) : h("span", { class: "mono" }, sync.syncId),
      h("span", { class: "sub" }, `tenant ${sync.tenant}${sync.user === sync.tenant ? "" : `, user ${sync.user}`}`)] },
    { label: "State", phone: "end", cell: (sync) => badge(stateOf(sync)) },
    { label: "Stage", cell: (sync) => STAGE.get(sync.stage) ?? sync.stage ?? "—" },
    { label: "New page", cell: (sync) => (sync.checkpointAt ? ago(sync.checkpointAt) : "—") },
    { label: "Node", cell: (sync) => [sync.owner ?? "—", sync.takeovers > 0 && h("span", { class: "sub" }, plural(sync.takeovers, "takeover"))] },
  ];
  return card({ "aria-label": "Live syncs" }, cardHead("Live syncs", `${number(syncs.length)}; stuck ones first, then the longest without a new page`),
    table({ columns, rows: shown, key: (sync) => sync.syncId, caption: "Live syncs" }),
    syncs.length > shown.length && h("div", { class: "card-foot" }, h("span", {}, `${number(shown.length)} of ${number(syncs.length)}`), button({ class: "btn", onpress: all }, "Show all")));
}

function stateOf(sync) {
  if (sync.stuck) return ["warn", "No progress"];
  if (sync.status === "paused") return ["warn", "Paused"];
  if (sync.stage === "queued") return ["wait", "Queued"];
  const left = sync.waitingUntil ? (Date.parse(sync.waitingUntil) - now()) / 1000 : 0;
  return left > 0 ? ["wait", `Waiting, ${ahead(left)}`] : ["run", "Running"];
}

function quotasCard(quotas) {
  const rows = [...quotas].sort((one, other) => other.waiting - one.waiting);
  const columns = [
    { label: "Operation", cell: ({ operation }) => operation },
    { label: "Waiting", look: "num", cell: ({ waiting }) => number(waiting) },
    { label: "Continues in", look: "num", cell: ({ until }) => continues(until) },
  ];
  return card({ "aria-label": "Quotas" }, cardHead("Quotas", "Waiting calls continue automatically."),
    rows.length ? table({ columns, rows, key: ({ operation }) => operation, caption: "Quotas" }) : empty("clock", "No call waits for a quota"));
}

function continues(until) {
  const left = until ? (Date.parse(until) - now()) / 1000 : null;
  return left === null ? "—" : left > 0 ? ahead(left) : "now";
}

function nodesCard({ nodes, outboxLagSeconds, webhookLagSeconds, relay }) {
  const row = (name, words, state) => h("li", {}, h("span", { class: "grow" }, h("span", { class: "strong" }, name), h("br"), h("span", { class: "muted small" }, words)), badge(state));
  const lag = (seconds) => (seconds === null || seconds < 1 ? ["good", "Up to date"] : [seconds > QUIET ? "warn" : "wait", `${duration(seconds)} behind`]);
  return card({ "aria-label": "Nodes" }, cardHead("Nodes"), h("ul", { class: "rows" },
    nodes.map((node) => row(node.id, work(node), health(node))),
    row("Outgoing events", relay ? `sent by ${relay.node}` : "stored with each change", lag(Math.max(outboxLagSeconds ?? 0, relay?.lagSeconds ?? 0))),
    row("Webhooks", "by the oldest due delivery", lag(webhookLagSeconds))));
}

const work = ({ role, running, slots, streams, lastSeenAt }) => [role, slots && `${number(running)} of ${plural(slots, "sync")}`,
  role !== "worker" && plural(streams, "stream"), `last seen ${ago(lastSeenAt)}`].filter(Boolean).join(", ");

const health = ({ lastSeenAt }) => (now() - Date.parse(lastSeenAt) > QUIET * 1000 ? ["warn", "Not responding"] : ["good", "Healthy"]);
