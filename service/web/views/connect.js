// Connects a first or another account, or reconnects a lost one (`?account=`).
import { all, connector, settings, source } from "../lib/catalog.js";
import { clearErrors, field, select, showErrors } from "../lib/components.js";
import { busy, button, fill, h } from "../lib/dom.js";
import { icon } from "../lib/icons.js";
import { demo } from "../lib/session.js";
import { fitChoices, settingField, values } from "../lib/settingsform.js";
import { toast } from "../lib/toasts.js";

/** The credentials of the demo's only seller. Its sandbox listens on loopback only. */
const DEMO = { refreshToken: "Atzr|sandbox-1" };
const PROMISES = [
  ["shield", "Read only", "Nothing in your account is changed, listed or priced."],
  ["key", "Encrypted", "Credentials are stored encrypted and erased when you disconnect."],
  ["clock", "In the background", "The first read takes minutes to hours. You may close the page."],
];

export function show(root, { params, client, live, navigate }) {
  const lost = live.account(params.query.account);
  let name = lost?.connector ?? live.accounts[0]?.connector ?? live.latest?.connector ?? all()[0]?.name;
  let byToken = params.query.token !== undefined || !connector(name)?.consent;
  const card = h("section", { class: "card", "aria-labelledby": "connect-title" });
  fill(root, h("div", { class: "wrap narrow" }, hello(), card,
    h("ul", { class: "three" }, PROMISES.map(([sign, title, words]) =>
      h("li", {}, icon(sign), h("div", {}, h("h2", { class: "small" }, title), h("p", {}, words)))))));

  function hello() {
    if (lost) return hero(`Connect ${live.name(lost)} again`, "The records read so far are kept, and a paused sync continues where it stopped.");
    if (live.accounts.length) return hero("Connect another account", "Accounts are read separately, and their sums are never added.");
    return hero("Find the money that you are owed", "Connect your seller account. We read your orders, stock, returns and fees, and show each unit that was lost, damaged or never paid for, with the records that prove it.");
  }

  function build() {
    const consent = connector(name)?.consent;
    const mode = byToken || !consent;
    const problem = h("div", {});
    const first = h("button", { class: "btn first big wide" }, mode ? "Connect" : `Continue with ${source(name)}`);
    const form = h("form", { id: "connect", class: "stack", novalidate: true },
      all().length > 1 && !lost && field("Where do you sell?", select({ name: "connector" }, all().map((one) => [one.name, one.label]), name)),
      !lost && settings(name, false).filter(([, schema]) => mode || schema.type !== "boolean").map(([key, schema]) => settingField(key, schema, undefined)),
      mode && settings(name, true).map(([key, schema]) => settingField(key, schema, demo() ? DEMO[key] : undefined)),
      mode && h("p", { class: "hint" }, "The account is checked first. Credentials are encrypted when stored, and never shown again."),
      problem, first,
      !mode && h("p", { class: "hint center" }, `You sign in at ${source(name)} and decide there. We never see your password.`));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearErrors(form);
      fill(problem);
      busy(first, () => (mode ? connect(form) : authorise(form)), (error) => {
        const rest = showErrors(form, error);
        if (rest) fill(problem, h("p", { class: "problem", role: "alert" }, rest));
      });
    });
    fitChoices(form);
    form.elements.connector?.addEventListener("change", () => {
      name = form.elements.connector.value;
      byToken = !connector(name)?.consent;
      build();
    });
    fill(card,
      h("div", { class: "card-body" },
        h("div", { class: "pair" }, h("span", { class: "tile source-tile", "aria-hidden": "true" }, source(name)[0]),
          h("div", { class: "two" }, h("h2", { id: "connect-title" }, source(name)), h("span", {}, lost ? live.name(lost) : "Seller account"))),
        form),
      consent && h("div", { class: "card-foot" },
        h("span", {}, mode ? "Easier:" : "Do you run your own application?"),
        button({ class: "link", onpress: () => { byToken = !mode; build(); } }, mode ? `Continue with ${source(name)} instead` : "I have a refresh token")));
  }

  async function connect(form) {
    const answer = lost
      ? await client.post(`/api/connections/${encodeURIComponent(lost.id)}/reconnect`, values(form, name, true))
      : await client.connect({ connector: name, ...values(form, name), skipHistoricalSync: true });
    await live.refresh();
    if (answer.warning) toast("warn", `${live.name(answer)} is connected`, answer.warning);
    else if (lost) toast("good", `${live.name(answer)} is connected again`);
    if (answer.sync) live.show(await client.status(answer.sync.syncId));
    if (!lost) live.choose(answer.id);
    navigate(["overview"], lost ? {} : { connected: answer.id });
  }

  /** Redirects to the consent page of the source. The page is requested here first, so that the form
   * can show an error. */
  async function authorise(form) {
    const query = new URLSearchParams(lost ? {} : values(form, name, false)); // lists are joined by commas
    if (lost) query.set("connectionId", lost.id);
    else query.set("skipHistoricalSync", "true");
    const path = `/api/connections/${encodeURIComponent(name)}/authorize?${query}`;
    await client.response("GET", path, { redirect: "manual" });
    location.assign(path);
  }

  build();
  return () => {};
}

const hero = (title, words) => h("header", { class: "hello" }, h("h1", { tabindex: "-1" }, title), h("p", {}, words));
