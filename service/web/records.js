// The records: a tab for each dataset, and the JSON of each record on demand.
import { get } from "./api.js";
import { $, busy, h } from "./dom.js";
import { moment, title } from "./format.js";

/** A record: its id and time, and its JSON on demand. */
export function entry(record) {
  const json = h("pre", { tabindex: "0" });
  return h("details", {
    ontoggle: () => { json.textContent ||= JSON.stringify(record.data, null, 2); },
  }, h("summary", {}, h("span", { class: "mono" }, record.id),
    h("time", { class: "muted", datetime: record.updatedAt }, moment(record.updatedAt))), json);
}

export function createRecords({ onError }) {
  const tabs = $("tabs");
  let dataset = "orders";
  let cursor = null;
  let latest = 0; // the number of the newest request
  let loading = false;

  function choose(name) {
    dataset = name;
    for (const tab of tabs.children) {
      const selected = tab.dataset.name === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      if (!selected) continue;
      $("records-panel").setAttribute("aria-labelledby", tab.id);
      tabs.scrollTo({ left: tab.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2, behavior: "smooth" });
    }
    return refresh();
  }

  async function refresh() {
    const request = ++latest;
    loading = true;
    const page = await get(`/api/data/${encodeURIComponent(dataset)}`, { limit: 20 })
      .finally(() => { loading = request !== latest; });
    if (request !== latest) return; // another tab was chosen
    $("records").replaceChildren();
    append(page);
  }

  async function more() {
    const request = latest;
    const page = await get(`/api/data/${encodeURIComponent(dataset)}`, { limit: 20, cursor });
    if (request === latest) append(page);
  }

  function append(page) {
    $("records").append(...page.records.map(entry));
    cursor = page.nextCursor;
    $("records-more").hidden = !cursor;
    $("records-empty").hidden = $("records").childElementCount > 0;
  }

  /** Shows a tab for each dataset of the newest sync; claims are not records. */
  function offer(names) {
    const datasets = names.filter((name) => name !== "claims");
    if (datasets.join() === [...tabs.children].map((tab) => tab.dataset.name).join()) return;
    tabs.replaceChildren(...datasets.map((name) => h("button", {
      id: `tab-${name}`, role: "tab", "data-name": name, "aria-controls": "records-panel",
      onclick: () => choose(name).catch(onError),
    }, title(name))));
    choose(datasets.includes(dataset) ? dataset : datasets[0]).catch(onError);
  }

  /** Shows a newer version of a sync: its datasets, and its first records once they are stored. */
  function update(sync) {
    offer(sync.datasets.map(({ name }) => name));
    const processed = sync.datasets.find(({ name }) => name === dataset)?.processed;
    if (processed && !loading && !$("records").childElementCount) refresh().catch(onError);
  }

  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  });
  $("records-more").addEventListener("click", () => busy($("records-more"), more, onError));
  return { offer, refresh, update };
}
