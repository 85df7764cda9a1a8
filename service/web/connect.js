// The connected accounts: their list, the form that connects one, and the dialog that forgets one.
import { client, get, post } from "./api.js";
import { connector, field, fill, settings, summary, value } from "./connectors.js";
import { showDays } from "./days.js";
import { $, badge, busy, h } from "./dom.js";

/** The credentials of the demo's only seller. Its sandbox listens on loopback only. */
const DEMO = { refreshToken: "Atzr|sandbox-1" };

export function createAccounts({ demo, onChange, onConnected, onForgotten, onError }) {
  const form = $("connect");
  const dialog = $("forget");
  let accounts = [];
  let chosen = null;
  let leaving = null;
  let lost = null; // the account that the form reconnects

  async function refresh() {
    accounts = (await get("/api/connections")).connections;
    if (!accounts.some((account) => account.id === chosen)) chosen = accounts[0]?.id ?? null;
    $("accounts").replaceChildren(...accounts.map(row));
    for (const { id } of accounts) showDays(id, $(`who-${id}`)).catch(onError);
    if (!accounts.length || form.hidden) open(!accounts.length); // a form in use stays open
    onChange();
  }

  function row(account) {
    const { id, reason } = account;
    const name = account.name || "Account without a name";
    const pick = h("input", { type: "radio", name: "account", value: id, checked: id === chosen, "aria-label": name });
    pick.addEventListener("change", () => { chosen = id; onChange(); });
    return h("li", { class: "account" },
      accounts.length > 1 && pick,
      h("div", { class: "who", id: `who-${id}` },
        h("p", {}, h("strong", {}, name), " ", badge(account.status, account.status)),
        h("p", { class: "muted small" }, summary(account)),
        reason && h("p", { class: "problem" }, reason)),
      account.status === "lost" && h("button", { onclick: () => open(true, account, account) }, "Connect again"),
      h("button", { class: "quiet", onclick: () => leave(account) }, "Forget…"));
  }

  /** Offers the connectors in the form. */
  function offer(connectors) {
    const options = connectors.map(({ name, label }) => h("option", { value: name }, label));
    form.elements.connector.replaceChildren(...options);
    build();
  }

  /** Builds the fields of the chosen connector. */
  function build() {
    const name = form.elements.connector.value;
    for (const old of form.querySelectorAll("[data-setting]")) old.remove();
    const labels = settings(name).map(([setting, schema]) => [setting, field(setting, schema)]);
    labels.sort(([, a], [, b]) => a.classList.contains("wide") - b.classList.contains("wide"));
    for (const [setting, label] of labels) {
      label.dataset.setting = setting;
      $("connect-fields").append(label);
      if (demo && DEMO[setting]) fill(form.elements[setting], DEMO[setting]);
    }
    $("authorise").hidden = !connector(name)?.consent;
  }

  /** Shows or hides the form, with the public settings of the account `template`. Reconnecting an
   * account changes only its credentials. */
  function open(visible, template = accounts[0], account = null) {
    form.hidden = !visible;
    lost = account;
    form.querySelector("h2").textContent = lost ? `Connect ${lost.name || "the account"} again` : "Connect an account";
    $("connect-close").hidden = accounts.length === 0;
    $("connect-more").hidden = visible;
    clear();
    if (!visible) return;
    if (template && connector(template.connector)) {
      choose(template.connector);
      for (const [name] of settings(template.connector, false)) fill(form.elements[name], template[name]);
    }
    for (const name of ["connector", "startAtOnce", ...publicNames()]) form.elements[name].disabled = Boolean(lost);
  }

  function choose(name) {
    if (form.elements.connector.value === name) return;
    form.elements.connector.value = name;
    build();
  }

  const publicNames = () => settings(form.elements.connector.value, false).map(([name]) => name);

  /** Without an account, the form starts with the connector of the newest sync. */
  function suggest(syncs) {
    const name = syncs[0]?.connector;
    if (!accounts.length && connector(name)) choose(name);
  }

  /** The values of the form: all settings, or only secret or public ones. */
  function values(secret) {
    const entries = settings(form.elements.connector.value, secret).map(([name, schema]) => [name, value(form.elements[name], schema)]);
    return Object.fromEntries(entries.filter(([, entered]) => entered !== undefined));
  }

  async function connect() {
    clear();
    try {
      const answer = lost
        ? await post(`/api/connections/${lost.id}/reconnect`, values(true))
        : await post("/api/connections", {
            connector: form.elements.connector.value,
            ...values(),
            skipHistoricalSync: !form.elements.startAtOnce.checked,
          });
      for (const [name] of settings(form.elements.connector.value, true)) form.elements[name].value = "";
      chosen = answer.id;
      await refresh();
      open(false);
      if (answer.warning) onError(new Error(answer.warning));
      if (answer.sync) await onConnected(answer.sync.syncId);
    } catch (problem) {
      showProblem(problem);
    }
  }

  /** Redirects to the consent page of the source. The page is requested here first, so that the form
   * can show an error. */
  async function authorise() {
    clear();
    const query = new URLSearchParams(values(false)); // lists are joined by commas
    if (lost) query.set("connectionId", lost.id);
    else if (!form.elements.startAtOnce.checked) query.set("skipHistoricalSync", "true");
    const name = form.elements.connector.value;
    const path = `/api/connections/${encodeURIComponent(name)}/authorize?${query}`;
    try {
      await client.response("GET", path, { redirect: "manual" });
      location.assign(path);
    } catch (problem) {
      showProblem(problem);
    }
  }

  /** Shows each error beside its field. Throws the problem if an error has no field in the form. */
  function showProblem(problem) {
    const withoutField = (problem.errors ?? []).filter((error) => !showFieldError(error));
    if (!problem.errors?.length || withoutField.length) throw problem;
  }

  /** Shows an error beside its field. False if the form has no such field. */
  function showFieldError({ field, message }) {
    const input = form.elements[field.split("[")[0]]; // marketplaceIds[1] is part of marketplaceIds
    if (!input) return false;
    const words = h("small", { class: "problem", id: `problem-${field}`, role: "alert" }, message);
    input.closest(".field").append(words);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", words.id);
    input.focus();
    return true;
  }

  function clear() {
    onError(null);
    for (const words of form.querySelectorAll(".problem")) words.remove();
    for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }

  function leave(account) {
    leaving = account;
    dialog.querySelector("form").reset();
    dialog.querySelector(".problem").textContent = "";
    $("forget-title").textContent = `Forget ${account.name || "this account"}?`;
    dialog.showModal();
  }

  async function forget() {
    const data = dialog.querySelector("form").elements.data.value;
    await client.request("DELETE", `/api/connections/${leaving.id}?data=${data}`);
    dialog.close();
    const last = leaving;
    await refresh();
    if (!accounts.length) open(true, last);
    await onForgotten();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(event.submitter ?? form.querySelector(".primary"), connect, onError);
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(dialog.querySelector(".danger"), forget, (error) => {
      dialog.querySelector(".problem").textContent = error.message;
    });
  });
  dialog.querySelector("[value=close]").addEventListener("click", () => dialog.close());
  form.elements.connector.addEventListener("change", () => { clear(); build(); });
  $("authorise").addEventListener("click", () => busy($("authorise"), authorise, onError));
  $("connect-more").addEventListener("click", () => { open(true); form.elements.connector.focus(); });
  $("connect-close").addEventListener("click", () => open(false));

  /** The name of an account: null if it is unknown, "" if it is the only one. */
  function name(id) {
    const account = accounts.find((candidate) => candidate.id === id);
    if (!account) return null;
    return accounts.length > 1 ? account.name || id : "";
  }

  return { refresh, offer, suggest, name, chosen: () => chosen };
}
