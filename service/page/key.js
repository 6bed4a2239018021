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
async function isKnown(key) {
  const { status } = await fetch("v1/tools", { headers: bearer(key), cache: "no-store" });
  return status !== 401;
}

async function ask(hadOne) {
  const { askForKey } = await import("./key_dialog.js");
  const given = await askForKey(hadOne, { isKnown, keep: (key) => sessionStorage.setItem(KEY, key) });
  if (given) offerToForget();
  if (given && declined) whenGiven();
  declined = !given;
  return given;
}

/** While a key is kept, the rail has a way to be rid of it. */
export function offerToForget() {
  if (currentKey() === null || byId("forget-key")) return;
  const onclick = () => (sessionStorage.removeItem(KEY), location.reload());
  byId("rail").append(el("button", { type: "button", id: "forget-key", class: "quiet", onclick }, "Forget the key"));
}
