// Parts of the way that are shown in more than one place.

import { el, hiddenText, parse } from "./dom.js";

/** Where in its document a source is: the heading path without what the title says already, and the page. */
export function placeOf(source) {
  const path = (source.heading_path ?? []).filter((heading) => heading !== source.title);
  return [path.join(" › "), source.page ? `page ${source.page}` : ""].filter(Boolean).join(", ");
}

/** JSON as a person reads it. */
export function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    return JSON.stringify(parse(value), null, 2);
  } catch {
    return value;
  }
}

/** A source in a list; `onOpen(opener)` shows it. */
export function sourceItem(source, onOpen) {
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "source", onclick: ({ currentTarget }) => onOpen(currentTarget) },
      el("span", { class: "stone" }, hiddenText("Source "), String(source.label)),
      el("span", { class: "source-title" }, source.title),
      el("span", { class: "soft" }, placeOf(source)),
    ),
  );
}

/** A button for what cannot be undone: the second press does it. */
export function sureButton(text, sureText, action) {
  let sure = false;
  const onclick = async ({ currentTarget: button }) => {
    if (!sure) {
      sure = true;
      button.textContent = sureText;
      return;
    }
    button.disabled = true;
    await action();
    button.disabled = false;
  };
  return el("button", { type: "button", class: "danger", onclick }, text);
}
