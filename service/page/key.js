// The API key: asked for when the service wants one, and kept for this tab only.

import { byId, el } from "./dom.js";

const KEY = "cairn.key";

let asking = null;
let declined = false;
let whenGiven = () => {};

export const currentKey = () => sessionStorage.getItem(KEY);
export const bearer = (key) => (key ? { Authorization: `Bearer ${key}` } : {});

/** Call `action` when a key is given after all, once the question was declined. */
export function onLateKey(action) {
  whenGiven = action;
}

/** Get a key in place of the one that was refused (null: none was sent). Resolves to whether there is one to try. */
export async function anotherKey(refused) {
  if (currentKey() !== refused) return true; // it was given while this request was on its way
  sessionStorage.removeItem(KEY);
  asking ??= ask(refused !== null).finally(() => (asking = null));
  return asking;
}

/** Whether the service knows the key; what it may do with it shows later. */
async function known(key) {
  const { status } = await fetch("v1/tools", { headers: bearer(key), cache: "no-store" });
  return status !== 401;
}

function ask(hadOne) {
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
      if (/^[!-~]+$/.test(key) && (await known(key))) {
        sessionStorage.setItem(KEY, key);
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
      const given = currentKey() !== null;
      if (given) offerToForget();
      resolve(given);
      if (given && declined) whenGiven();
      declined = !given;
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}

/** While a key is kept, the rail has a way to be rid of it. */
export function offerToForget() {
  if (currentKey() === null || byId("forget-key")) return;
  const onclick = () => (sessionStorage.removeItem(KEY), location.reload());
  byId("rail").append(el("button", { type: "button", id: "forget-key", class: "quiet", onclick }, "Forget the key"));
}
