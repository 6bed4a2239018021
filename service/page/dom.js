// Elements are only ever built here, from text: no HTML is parsed anywhere in the page.

/** An element with attributes, listeners (`onclick`) and children; strings become text nodes. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Parse JSON and keep integers that JavaScript would round: what is approved must be what is seen. */
export const parse = (text) =>
  JSON.parse(text, (_, value, { source } = {}) =>
    Number.isInteger(value) && !Number.isSafeInteger(value) && JSON.rawJSON ? JSON.rawJSON(source) : value,
  );

export const byId = (id) => document.getElementById(id);

/** Text for assistive technology that is not shown. */
export const hiddenText = (text) => el("span", { class: "hidden" }, text);

/** Say something once to screen readers. */
export function announce(text) {
  byId("status").textContent = text;
}

export const when = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

const SPANS = [[60, "second"], [60, "minute"], [24, "hour"], [365, "day"]];

/** How long ago a moment (in ms) was, in words. */
export function ago(moment) {
  let count = Math.max(0, Math.round((Date.now() - moment) / 1000));
  if (count < 5) return "just now";
  for (const [most, unit] of SPANS) {
    if (count < most) return `${plural(count, unit)} ago`;
    count = Math.floor(count / most);
  }
  return `${plural(count, "year")} ago`;
}

/** Fill a list from `load(cursor)`, a page at a time; `row(item)` makes an entry. Gives the first page's items. */
export async function fillList(list, load, row, empty) {
  const add = ({ items, next_cursor }) => {
    list.append(...items.map((item) => el("li", {}, row(item))));
    if (!next_cursor) return;
    const more = el("li", {}, el("button", { type: "button", class: "quiet" }, "Show more"));
    more.firstChild.addEventListener("click", async () => {
      const page = await load(next_cursor);
      more.remove();
      add(page);
    });
    list.append(more);
  };
  const first = await load();
  list.replaceChildren();
  add(first);
  if (!first.items.length && !first.next_cursor) list.append(el("li", { class: "soft" }, empty));
  return first.items;
}

/** What a service or a tool said, as a sentence. */
export const sentence = (text) =>
  text.replace(/^[a-z]+(?=[\s,])/, (word) => word[0].toUpperCase() + word.slice(1)).replace(/([^.!?…])$/, "$1.");

export const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

export const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)}\u00a0ms` : `${(ms / 1000).toFixed(1)}\u00a0s`);
