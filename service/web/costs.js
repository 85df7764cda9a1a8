// The costs of units: CSV in, and the lines of it that were rejected.
import { ask } from "./api.js";
import { $, busy, h } from "./dom.js";
import { number } from "./format.js";

export function createCosts() {
  const dialog = $("costs");
  const form = dialog.querySelector("form");
  const lines = form.elements.lines;
  const answer = $("costs-answer");
  const say = (...nodes) => answer.replaceChildren(...nodes);
  const wrong = ({ errors = [], message }) =>
    say(h("p", { class: "problem" }, errors.length ? "Nothing was saved." : message),
      h("ul", { class: "wrong-lines" }, ...errors.map((error) => h("li", {}, error.message))));

  async function send() {
    say();
    const given = { body: lines.value, headers: { Accept: "application/json", "Content-Type": "text/csv" } };
    const result = await (await ask("PUT", "/api/costs", given)).json();
    const count = (many, word) => `${number(many)} ${many === 1 ? "line" : "lines"} ${word}`;
    const next = result.accepted ? " They apply from the next sync on." : "";
    say(h("p", {}, h("strong", {}, `${count(result.accepted, "accepted")}, ${number(result.rejected)} rejected.`), next),
      h("ul", { class: "wrong-lines" }, ...result.errors.map(({ line, sku, message }) =>
        h("li", {}, h("span", { class: "muted" }, `Line ${line}${sku ? `, ${sku}` : ""}: `), message))));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(form.querySelector(".primary"), send, wrong);
  });
  form.elements.file.addEventListener("change", async () => {
    const [file] = form.elements.file.files;
    if (file) lines.value = await file.text();
    say();
  });
  form.querySelector("[value=close]").addEventListener("click", () => dialog.close());
  $("costs-open").addEventListener("click", () => {
    form.reset();
    say();
    dialog.showModal();
  });
}
