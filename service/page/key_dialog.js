// The dialog that asks for an API key. Loaded when a service wants one.

import { el } from "./dom.js";

/** Ask for a key that `isKnown(key)` and `keep` it. Resolves, once the dialog is closed, to whether there is one. */
export function askForKey(hadOne, { isKnown, keep }) {
  let given = false;
  const field = el("input", {
    id: "key",
    type: "password",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "key-problem",
  });
  const problem = el("p", { id: "key-problem", role: "alert" }, hadOne ? "The key you gave before is not accepted any more." : "");
  const use = el("button", { type: "submit", class: "sign" }, "Use this key");
  const later = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Not now");
  const form = el(
    "form",
    {},
    el("h2", { id: "key-title" }, "This service asks for a key"),
    el("p", { class: "soft" }, "Whoever runs it can give you one. It is kept in this tab only, until you close it."),
    el("label", { for: "key" }, "API key"),
    field,
    problem,
    el("div", { class: "choices" }, use, later),
  );
  const dialog = el("dialog", { class: "key", "aria-labelledby": "key-title" }, form);

  async function submit(event) {
    event.preventDefault();
    const key = field.value.trim();
    problem.textContent = "";
    use.disabled = true;
    try {
      // A header takes no other characters, and no key has any.
      if (/^[!-~]+$/.test(key) && (await isKnown(key))) {
        keep(key);
        given = true;
        dialog.close();
        return;
      }
      problem.textContent = "The service does not know this key, or it has ended.";
    } catch {
      problem.textContent = "The service cannot be reached. Try again.";
    } finally {
      use.disabled = false;
    }
    field.setAttribute("aria-invalid", "true");
    field.select();
  }

  return new Promise((resolve) => {
    form.addEventListener("submit", submit);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}
