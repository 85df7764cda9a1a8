// The costs of units: uploads CSV and shows the rejected lines.
import { client } from "./api.js";
import { $, busy, h } from "./dom.js";
import { number } from "./format.js";

export function createCosts() {
  const dialog = $("costs");
  const form = dialog.querySelector("form");
  const lines = form.elements.lines;
  const answer = $("costs-answer");
  const show = (...nodes) => answer.replaceChildren(...nodes);
  const showError = ({ errors = [], message }) =>
    show(h("p", { class: "problem" }, errors.length ? "Nothing was saved." : message),
      h("ul", { class: "wrong-lines" }, ...errors.map((error) => h("li", {}, error.message))));

  async function send() {
    show();
    const init = { body: lines.value, headers: { Accept: "application/json", "Content-Type": "text/csv" } };
    const result = await (await client.response("PUT", "/api/costs", init)).json();
    const count = (many, word) => `${number(many)} ${many === 1 ? "line" : "lines"} ${word}`;
    const next = result.accepted ? " They apply from the next sync on." : "";
    show(h("p", {}, h("strong", {}, `${count(result.accepted, "accepted")}, ${number(result.rejected)} rejected.`), next),
      h("ul", { class: "wrong-lines" }, ...result.errors.map(({ line, sku, message }) =>
        h("li", {}, h("span", { class: "muted" }, `Line ${line}${sku ? `, ${sku}` : ""}: `), message))));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(form.querySelector(".primary"), send, showError);
  });
  form.elements.file.addEventListener("change", async () => {
    const [file] = form.elements.file.files;
    if (file) lines.value = await file.text();
    show();
  });
  form.querySelector("[value=close]").addEventListener("click", () => dialog.close());
  $("costs-open").addEventListener("click", () => {
    form.reset();
    show();
    dialog.showModal();
  });
}
