// Error messages with the id of the request, which is also in the log of the service.
import { showErrors } from "./components.js";
import { h } from "./dom.js";
import { toast } from "./toasts.js";

/** The message of a problem as nodes. */
export const words = (problem, said = problem.message) => [
  said,
  problem.requestId && h("span", { class: "muted" }, " Request ", h("span", { class: "mono" }, problem.requestId)),
];

/** Shows each error beside its field of a form, and the rest in `place`. */
export function showProblem(form, place, problem) {
  const rest = showErrors(form, problem);
  place.replaceChildren(...(rest ? words(problem, rest).filter(Boolean) : []));
}

/** Shows a problem in a toast. */
export function showInToast(problem) {
  if (problem.status === 401) return; // the page asks to sign in
  toast("bad", "That did not work", h("span", {}, words(problem)));
}

/** The place of messages that have no field. */
export const problemPlace = () => h("p", { class: "problem", role: "alert" });
