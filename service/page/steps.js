// The steps on the way to an answer: what was read, remembered, called, or had been answered before.

import { ago, el, plural, seconds } from "./dom.js";
import { pretty } from "./parts.js";

const brief = (values) =>
  typeof values === "string" ? values : Object.entries(values).map(([name, value]) => `${name} ${pretty(value)}`).join(", ");

export const found = ({ sources }) => (sources.length ? `Read ${plural(sources.length, "passage")}` : "Found no passage");

export function retrievalStep(event, question) {
  const { collection, query, duration_ms } = event;
  return el(
    "li",
    { class: "step" },
    el("span", { class: "did" }, found(event)),
    ` in ${collection}`,
    query && query !== question ? el("span", { class: "soft" }, ` for “${query}”`) : null,
    el("span", { class: "soft" }, ` · ${seconds(duration_ms)}`),
  );
}

/** A tool call, and the parts of it that its outcome changes. */
export function toolStep({ name, arguments: values, effect }) {
  const state = el("span", { class: "soft" }, " · calling");
  const body = el("div", { class: "call" }, el("h3", {}, "Arguments"), el("pre", { tabindex: "0" }, pretty(values)));
  const summary = el(
    "summary",
    {},
    el("span", { class: "did" }, name),
    el("span", { class: "arguments" }, ` ${brief(values)}`),
    effect && effect !== "read" ? el("span", { class: "effect" }, effect) : null,
    state,
  );
  const step = el("li", { class: "step tool", "data-state": "calling" }, el("details", {}, summary, body));
  return { step, state, body };
}

/** What was remembered that the model was shown; `onMemory(id, opener)` opens a record. */
export function recalledStep({ memories }, onMemory) {
  const record = ({ id, version, text }) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "recalled", onclick: ({ currentTarget }) => onMemory(id, currentTarget) },
        el("span", { "data-memory": id }, text),
        el("span", { class: "soft" }, ` version ${version}`),
      ),
    );
  const first = el("span", { class: "soft", "data-memory": memories[0].id }, memories[0].text);
  const more = memories.length > 1 ? el("span", { class: "soft" }, ` and ${memories.length - 1} more`) : null;
  return el(
    "li",
    { class: "step memory" },
    el(
      "details",
      {},
      el("summary", {}, el("span", { class: "did" }, "Remembered: "), first, more),
      el("ul", { "aria-label": "Remembered" }, memories.map(record)),
    ),
  );
}

/** That the answer was given before. */
export function cachedStep({ question: first, decided_by, age_seconds, decision }, { question, since, onAfresh }) {
  const together = decided_by === "concurrent";
  const told = together ? "Answered together with the same question" : `Answered before, ${ago(since - age_seconds * 1000)}`;
  return el(
    "li",
    { class: "step cached" },
    el(
      "details",
      {},
      el("summary", {}, el("span", { class: "did" }, told)),
      first === question ? null : el("p", {}, "To ", el("q", {}, first)),
      el("ul", { class: "soft", "aria-label": "Why it is given again" }, decision.map((step) => el("li", {}, step))),
    ),
    el("button", { type: "button", class: "quiet afresh", onclick: onAfresh }, "Ask afresh"),
  );
}
