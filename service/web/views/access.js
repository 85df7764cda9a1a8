// The signed-in user with their limits, notifications of this browser, and the button to sign out.
import { badge, card, cardHead, facts, loader } from "../lib/components.js";
import { busy, button, fill, h } from "../lib/dom.js";
import { number, plural } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { showInToast } from "../lib/problems.js";
import { demo, signOut } from "../lib/session.js";
import { askToNotify, notifies, stopNotifying } from "../lib/signal.js";

export function access(root, { client, live }) {
  const who = card({ "aria-label": "Signed-in user" });
  fill(root, who, notifications());
  const reading = loader(who, "Your account details could not be loaded", () => client.me(), (me) => fill(who, ...identity(me)));
  reading.refresh();
  const off = live.on("accounts", reading.refresh); // also after a sign-in, which may be another user's
  return () => {
    off();
    reading.stop();
  };
}

function identity({ user, tenant, role, plan }) {
  return [
    cardHead("Signed-in user", null, role === "operator" && badge(["run", "Operator"])),
    h("div", { class: "card-body" },
      facts([
        ["User", h("span", { class: "mono" }, user)],
        ["Tenant", h("span", { class: "mono" }, tenant)],
        ["Plan", plan.name || "standard"],
        ["Syncs today", plan.syncsPerDay === null ? `${number(plan.syncsToday)}, no limit` : `${number(plan.syncsToday)} of ${number(plan.syncsPerDay)}`],
        ["History", plan.historyDays === null ? "no limit" : plural(plan.historyDays, "day")],
        ["Syncs at once", plan.concurrency === null ? "no limit" : number(plan.concurrency)],
      ]),
      demo()
        ? h("p", { class: "muted" }, "This is the demo, which needs no sign-in.")
        : h("div", { class: "actions" }, button({ class: "btn", onpress: (node) => busy(node, signOut, showInToast) }, icon("leave", "less"), "Sign out"))),
  ];
}

function notifications() {
  const body = h("div", { class: "card-body" });
  function draw(refused = false) {
    const on = notifies();
    const press = async () => {
      if (on) stopNotifying();
      draw(!on && !(await askToNotify()));
    };
    fill(body,
      h("p", { class: "soft" }, on ? "This browser notifies you when a sync ends, and when an account needs to be connected again." : "This browser does not notify you."),
      h("p", { class: "hint" }, "Notifications appear while this page is open in the background."),
      refused && h("p", { class: "problem", role: "alert" }, "The browser does not allow notifications. Allow them for this site in its settings."),
      h("div", { class: "actions" }, button({ class: "btn", onpress: (node) => busy(node, press, showInToast) }, icon("bell", "less"), on ? "Stop notifications" : "Allow notifications")));
  }
  draw();
  return card({ "aria-label": "Notifications" }, cardHead("Notifications"), body);
}
