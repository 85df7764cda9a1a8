// The deliveries of a webhook with every attempt, refreshed while the page is visible.
import { badge, card, cardHead, empty, field, select } from "../lib/components.js";
import { busy, button, fill, h } from "../lib/dom.js";
import { inside, moment, number, plural } from "../lib/format.js";
import { confirm } from "../lib/overlay.js";
import { every } from "../lib/visible.js";
import { showInToast } from "../lib/problems.js";
import { pages, table } from "../lib/table.js";
import { toast } from "../lib/toasts.js";
import { eventName, pathOf } from "./webhookform.js";

const REFRESH = 3000; // ms between two refreshes
const PAGE = 20;
const STATES = [["", "All"], ["pending", "Waiting"], ["delivered", "Delivered"], ["failed", "Given up"]];

/** The card of deliveries: `offer(hooks)` names the webhooks, `show(hook)` shows one of them. */
export function deliveries(client) {
  let hooks = [];
  let chosen = null; // its id
  const choices = h("div", { class: "filters card-body" });
  const root = h("div", {});
  const node = card({ "aria-label": "Deliveries", hidden: true }, cardHead("Deliveries", "An event may be delivered twice, with the same id."), choices, root);
  const state = select({ name: "status", onchange: () => again() }, STATES);
  const rows = pages({
    root,
    load: async (cursor) => {
      const page = await client.get(`${pathOf({ id: chosen })}/deliveries`, { limit: PAGE, status: state.value || null, cursor });
      return { rows: page.deliveries, nextCursor: page.nextCursor };
    },
    draw: (shown) => listed(shown, retry, replay),
    none: () => empty("history", "Nothing was sent", state.value ? "No delivery is in this state." : "Send a test, or wait for an event."),
    foot: (shown, more) => (more ? `The latest ${plural(shown.length, "delivery", "deliveries")}` : plural(shown.length, "delivery", "deliveries")),
    onError: showInToast,
  });
  let reading = null; // the last read, until it has ended
  const read = (onError) => chosen && (reading = rows.refresh().catch(onError));
  const again = () => read(showInToast);
  async function retry(delivery) {
    await client.post(`${pathOf({ id: chosen })}/deliveries/${encodeURIComponent(delivery.id)}/retry`);
    await rows.refresh();
  }
  function replay({ type, attempts: made, replayAfter }) {
    const since = made.length ? `, first sent ${inside(made[0].at)},` : "";
    confirm({
      title: "Send again from here?",
      words: `This event (${eventName(type)})${since} and all later ones are sent again, with the same ids.`,
      keep: "Cancel",
      act: "Send again",
      look: "first",
      work: async () => {
        const { events } = await client.post(`${pathOf({ id: chosen })}/replay`, { after: replayAfter });
        toast("good", `${plural(events, "event")} will be sent again`, "Each one is listed below.");
        await rows.refresh();
      },
    });
  }
  const quietly = () => rows.rows.length <= PAGE && read(() => {});
  const stop = every(REFRESH, quietly);

  function show(id) {
    if (chosen !== id) fill(root);
    chosen = id;
    const which = select({ name: "webhook", onchange: ({ target }) => show(target.value) }, hooks.map((hook) => [hook.id, hook.url]), chosen);
    fill(choices, hooks.length > 1 && field("Webhook", which), field("State", state));
    again();
  }

  return {
    node,
    offer(found) {
      const names = (some) => JSON.stringify(some.map(({ id, url }) => [id, url]));
      const same = names(found) === names(hooks);
      hooks = found;
      if (same) return;
      node.hidden = hooks.length === 0;
      const kept = hooks.find(({ id }) => id === chosen) ?? hooks[0];
      if (kept) show(kept.id);
      else chosen = null;
    },
    show: ({ id }) => show(id),
    /** Runs `work`, which removes the webhook: meanwhile, its deliveries are not read. */
    async without({ id }, work) {
      const shown = chosen;
      if (shown === id) chosen = null;
      await reading;
      try {
        await work();
      } catch (error) {
        chosen = shown;
        throw error;
      }
    },
    stop() {
      stop();
      rows.stop();
    },
  };
}

const listed = (rows, retry, replay) => table({
  rows,
  key: ({ id }) => id,
  caption: "Deliveries",
  columns: [
    { label: "Event", cell: (delivery) => [eventTitle(delivery), h("span", { class: "sub mono" }, delivery.eventId)] },
    { label: "State", phone: "end", cell: (delivery) => badge(stateOf(delivery)) },
    { label: "Attempts", phone: "full", cell: attempts },
    { label: "", look: "acts", phone: "acts", cell: (delivery) => {
      const name = h("span", { class: "unseen" }, ` ${eventName(delivery.type)}, ${delivery.eventId}`);
      return [
        button({ class: "btn", onpress: (node) => busy(node, () => retry(delivery), showInToast) }, "Send again", name),
        delivery.status === "failed" && delivery.replayAfter
          && button({ class: "btn plain", onpress: () => replay(delivery) }, "Send again from here", name.cloneNode(true)),
      ];
    } },
  ],
});

const eventTitle = ({ type }) => h("span", {}, eventName(type).replace(/^./, (first) => first.toUpperCase()));

function stateOf({ status, attempts, nextAttemptAt }) {
  if (status === "delivered") return ["good", "Delivered"];
  if (status === "failed") return ["bad", "Given up"];
  return ["wait", attempts.length && nextAttemptAt ? `Again ${inside(nextAttemptAt)}` : "Waiting"];
}

const answer = ({ status, error, ms }) => (status === null ? error ?? "no answer" : `${status} in ${number(ms)} ms`);

function attempts({ attempts: made }) {
  const last = made.at(-1);
  if (!last) return h("span", { class: "muted" }, "none yet");
  if (made.length === 1 && last.error === null) return [h("span", { class: "mono" }, answer(last)), h("span", { class: "sub" }, moment(last.at))];
  return h("details", { class: "attempts" },
    h("summary", {}, h("span", { class: "mono" }, answer(last)), `, ${plural(made.length, "attempt")}`),
    h("ol", {}, made.map((one) => h("li", {}, `${moment(one.at)}: `, h("span", { class: "mono" }, answer(one)), one.error && one.status !== null && ` · ${one.error}`))));
}
