// The connected accounts: which one is read, a form to connect one, a dialog to forget one.
import { ask, call, get, post } from "./api.js";
import { $, badge, busy, h } from "./dom.js";

export function createAccounts({ demo, onChange, onConnected, onForgotten, onError }) {
  const form = $("connect");
  const dialog = $("forget");
  let accounts = [];
  let chosen = null;
  let leaving = null;
  let again = null; // the account that is connected again

  async function refresh() {
    accounts = (await get("/api/connections")).connections;
    if (!accounts.some((each) => each.id === chosen)) chosen = accounts[0]?.id ?? null;
    $("accounts").replaceChildren(...accounts.map(row));
    if (!accounts.length || form.hidden) open(!accounts.length); // a form in use stays open
    onChange();
  }

  function row(account) {
    const { id, connector, region, marketplaceIds, environment, reason } = account;
    const name = account.name || "Account without a name";
    const pick = h("input", { type: "radio", name: "account", value: id, checked: id === chosen, "aria-label": name });
    pick.addEventListener("change", () => { chosen = id; onChange(); });
    return h("li", { class: "account" },
      accounts.length > 1 && pick,
      h("div", { class: "who" },
        h("p", {}, h("strong", {}, name), " ", badge(account.status, account.status)),
        h("p", { class: "muted small" }, [connector, region, ...marketplaceIds, environment].join(" · ")),
        reason && h("p", { class: "problem" }, reason)),
      account.status === "lost" && h("button", { onclick: () => open(true, account, account) }, "Connect again"),
      h("button", { class: "quiet", onclick: () => leave(account) }, "Forget…"));
  }

  /** Opens the form, filled with what is known: another account's values, in the demo its door. To
   * connect one again only its credentials are asked for. */
  function open(wanted, like = accounts[0], lost = null) {
    form.hidden = !wanted;
    again = lost;
    form.querySelector("h2").textContent = lost ? `Connect ${lost.name || "the account"} again` : "Connect an account";
    for (const name of ["connector", "region", "environment", "marketplaceIds", "startAtOnce"])
      form.elements[name].disabled = Boolean(lost);
    $("connect-close").hidden = accounts.length === 0;
    $("connect-more").hidden = wanted;
    clear();
    if (!wanted || !like) return;
    form.elements.connector.value = like.connector;
    form.elements.region.value = like.region;
    form.elements.environment.value = like.environment;
    form.elements.marketplaceIds.value = like.marketplaceIds.join(", ");
  }

  /** What earlier syncs were read with: the connectors that this service is known to have. */
  function suggest(syncs) {
    const names = [...new Set([...accounts, ...syncs].map((each) => each.connector))];
    $("connectors").replaceChildren(...names.map((name) => h("option", { value: name })));
    form.elements.connector.value ||= names[0] ?? "";
  }

  async function connect() {
    clear();
    const given = form.elements;
    const refreshToken = given.refreshToken.value.trim();
    try {
      const answer = again
        ? await post(`/api/connections/${again.id}/reconnect`, { refreshToken })
        : await post("/api/connections", {
            connector: given.connector.value.trim(),
            region: given.region.value,
            environment: given.environment.value,
            marketplaceIds: marketplaces(),
            refreshToken,
            skipHistoricalSync: !given.startAtOnce.checked,
          });
      given.refreshToken.value = "";
      chosen = answer.id;
      await refresh();
      open(false);
      if (answer.warning) onError(new Error(answer.warning));
      if (answer.sync) await onConnected(answer.sync.syncId);
    } catch (problem) {
      told(problem);
    }
  }

  /** Leaves for the source's page of consent, which sends the browser back. It is asked for first,
   * so that a refusal is said here and not on a page of its own. */
  async function authorise() {
    clear();
    const { connector, region, environment } = form.elements;
    const query = new URLSearchParams({ region: region.value, marketplaceIds: marketplaces().join(), environment: environment.value });
    if (again) query.set("connectionId", again.id);
    const name = connector.value.trim();
    if (!name) return point({ field: "connector", message: "Say which." });
    const path = `/api/connections/${encodeURIComponent(name)}/authorize?${query}`;
    try {
      await ask("GET", path, { redirect: "manual" });
      location.assign(path);
    } catch (problem) {
      told(problem);
    }
  }

  const marketplaces = () => form.elements.marketplaceIds.value.split(/[\s,]+/).filter(Boolean);

  /** Says what is wrong beside its field; raises what has none. */
  function told(problem) {
    const elsewhere = (problem.errors ?? []).filter((each) => !point(each));
    if (!problem.errors?.length || elsewhere.length) throw problem;
  }

  /** Says an error beside its field. False if the form has no such field. */
  function point({ field, message }) {
    const input = form.elements[field.split("[")[0]]; // marketplaceIds[1] is one of marketplaceIds
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
    const kept = dialog.querySelector("form").elements.data.value;
    await call("DELETE", `/api/connections/${leaving.id}?data=${kept}`);
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
  $("authorise").addEventListener("click", () => busy($("authorise"), authorise, onError));
  $("connect-more").addEventListener("click", () => { open(true); form.elements.connector.focus(); });
  $("connect-close").addEventListener("click", () => open(false));
  if (demo) form.elements.refreshToken.value = "Atzr|sandbox-1"; // the demo's seller, behind a fixed door

  /** Of an account: null if there is none such, "" if there is no other to tell it from. */
  function name(id) {
    const found = accounts.find((each) => each.id === id);
    if (!found) return null;
    return accounts.length > 1 ? found.name || id : "";
  }

  return { refresh, suggest, name, chosen: () => chosen };
}
