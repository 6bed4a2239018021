// The session list in the rail. The session shown is in the address: `#s=ID`.

import { api } from "./api.js";
import { byId, el, fillList, when } from "./dom.js";

const PAGE = 30;

const inAddress = (name) => new URLSearchParams(location.hash.slice(1)).get(name);
export const sessionInAddress = () => inAddress("s");
/** The run of it that is looked for, if one is: `#s=ID&r=ID`. */
export const runInAddress = () => inAddress("r");

/** Put a session in the address without loading it again. */
export function keepInAddress(id) {
  history.replaceState(null, "", `#s=${encodeURIComponent(id)}`);
  markCurrent();
}

export function markCurrent() {
  const current = sessionInAddress();
  for (const link of byId("sessions").querySelectorAll("a")) {
    if (link.dataset.id === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Load the list from its start. */
export async function loadSessions() {
  const row = ({ id, title, updated_at }) =>
    el("a", { href: `#s=${encodeURIComponent(id)}`, "data-id": id, title: when(updated_at) }, title || "Untitled");
  await fillList(byId("sessions"), (cursor) => api.sessions(PAGE, cursor), row, "None yet.");
  markCurrent();
}
