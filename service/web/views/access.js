// Who is signed in, with which limits; notifications of this browser; sign out.
import { badge, card, cardHead, facts, loader } from "../lib/components.js";
import { busy, button, fill, h } from "../lib/dom.js";
import { number, plural } from "../lib/format.js";
import { icon } from "../lib/icons.js";
import { told } from "../lib/problems.js";
import { demo, signOut } from "../lib/session.js";
import { askToNotify, notifies, notifyNoMore } from "../lib/signal.js";

export function access(root, { client, live }) {
  const who = card({ "aria-label": "Who is signed in" });
  fill(root, who, notifications());
  const reading = loader(who, "Who is signed in could not be read", () => client.me(), (me) => fill(who, ...identity(me)));
  reading.refresh();
  const deaf = live.on("accounts", reading.refresh); // also after a sign-in, which may be another user's
  return () => {
    deaf();
    reading.stop();
  };
}

function identity({ user, tenant, role, plan }) {
  return [
    cardHead("Who is signed in", null, role === "operator" && badge(["run", "Operator"])),
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
        : h("div", { class: "actions" }, button({ class: "btn", onpress: (node) => busy(node, signOut, told) }, icon("leave", "less"), "Sign out"))),
  ];
}

function notifications() {
  const body = h("div", { class: "card-body" });
  function draw(refused = false) {
    const on = notifies();
    const press = async () => {
      if (on) notifyNoMore();
      draw(!on && !(await askToNotify()));
    };
    fill(body,
      h("p", { class: "soft" }, on ? "This browser notifies you when a sync ends, and when an account needs to be connected again." : "This browser does not notify you."),
      h("p", { class: "hint" }, "They are shown while this page is open in the background."),
      refused && h("p", { class: "problem", role: "alert" }, "The browser does not allow notifications. Allow them for this site in its settings."),
      h("div", { class: "actions" }, button({ class: "btn", onpress: (node) => busy(node, press, told) }, icon("bell", "less"), on ? "Stop notifications" : "Allow notifications")));
  }
  draw();
  return card({ "aria-label": "Notifications" }, cardHead("Notifications"), body);
}
