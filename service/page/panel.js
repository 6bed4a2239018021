// The side panel (a sheet on narrow screens): a source's passage in its document, or a whole document.

import { api } from "./api.js";
import { unitSpan } from "./codepoints.js";
import { el, hiddenText, plural, when } from "./dom.js";
import { placeOf, sureButton } from "./parts.js";

const AROUND = 1500; // characters shown before and after a passage
const HEAD = 20_000; // characters of a document shown at first

const wide = matchMedia("(min-width: 72rem)");

const NOWHERE = [0, 0];

/** Lines of parsed text as elements, with a passage and the claims in it marked. `text` starts at `base` of the document. */
function lines(text, base, passage, claims = []) {
  const within = (spans, point) => spans.some(([start, end]) => start <= point && point < end);
  const edges = [passage, ...claims].flat();
  const made = [];
  let at = base;
  for (const line of text.split("\n")) {
    const kind = line.startsWith("#") ? "heading" : line.startsWith("|") ? "cells" : null;
    const inLine = edges.map((edge) => Math.min(Math.max(edge - at, 0), line.length));
    const cuts = [...new Set([0, ...inLine, line.length])].sort((a, b) => a - b);
    const parts = cuts.slice(1).map((cut, i) => {
      const [piece, point] = [line.slice(cuts[i], cut), at + cuts[i]];
      if (within(claims, point)) return el("mark", { class: "claim" }, piece);
      return within([passage], point) ? el("mark", {}, piece) : piece;
    });
    made.push(el("div", { class: kind }, parts));
    at += line.length + 1;
  }
  return made;
}

/** Where a passage says word for word what it is cited for. */
function claimSpans(text, [from, to], claims) {
  return claims.flatMap((claim) => {
    const words = claim.split(" ").map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    const found = new RegExp(words.join("\\s+"), "u").exec(text.slice(from, to));
    return found ? [[from + found.index, from + found.index + found[0].length]] : [];
  });
}

export class Panel {
  constructor(root, { onDeleted }) {
    this._root = root;
    this._onDeleted = onDeleted;
    this._opener = null;
    this.turn = 0; // counts what was shown and closed: the same number, the same view
    root.addEventListener("cancel", (event) => (event.preventDefault(), this.close()));
    root.addEventListener("click", (event) => event.target === root && root.matches(":modal") && this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && root.open && !root.matches(":modal")) this.close();
    });
  }

  close() {
    this.turn += 1;
    if (!this._root.open) return;
    this._root.close();
    if (this._opener?.isConnected) this._opener.focus();
    this._opener = null;
  }

  /** Show a source's passage, in its document when that version is still there. */
  async showSource(source, claims, opener) {
    const place = placeOf(source);
    const passage = el("div", { class: "passage", tabindex: "0", role: "region", "aria-label": "Passage" });
    const whole = [0, source.text.length];
    passage.append(...lines(source.text, 0, whole, claimSpans(source.text, whole, claims)));
    const note = el("p", { class: "soft", role: "status" });
    const mine = this._open(
      opener,
      el("span", { class: "stone" }, hiddenText("Source "), String(source.label)),
      source.title,
      place ? el("p", { class: "place" }, place) : null,
      claims.length
        ? el("div", { class: "claims" }, el("h3", {}, "Cited for"), claims.map((claim) => el("p", {}, claim)))
        : null,
      passage,
      note,
      provenance(source),
    );
    try {
      const { text } = await api.document(source.document_id, source.version);
      if (mine !== this.turn) return;
      if (typeof text === "string") this._inContext(passage, text, unitSpan(text, source.start, source.end), claims);
    } catch {
      if (mine === this.turn) note.textContent = "The document has changed or is gone; this is the passage as it was read.";
    }
  }

  _inContext(passage, text, [from, to], claims) {
    const begin = from > AROUND ? text.indexOf("\n", from - AROUND) + 1 : 0;
    const stop = to + AROUND < text.length ? text.lastIndexOf("\n", to + AROUND) : text.length;
    const [first, last] = [Math.min(begin, from), Math.max(stop, to)];
    const cut = () => el("div", { class: "soft" }, "…");
    passage.replaceChildren(
      ...(first > 0 ? [cut()] : []),
      ...lines(text.slice(first, last), first, [from, to], claimSpans(text, [from, to], claims)),
      ...(last < text.length ? [cut()] : []),
    );
    const shown = passage.querySelector(".claim") ?? passage.querySelector("mark");
    if (shown) passage.scrollTop = shown.offsetTop - passage.offsetTop - passage.clientHeight / 3;
  }

  /** Show a document's parsed text and offer to delete it. */
  async showDocument(document, opener) {
    const body = el("div", { class: "passage", tabindex: "0", role: "region", "aria-label": "Text", "aria-busy": "true" });
    const note = el("p", { class: "soft", role: "status" });
    const mine = this._open(
      opener,
      null,
      document.title,
      el("p", { class: "place" }, [plural(document.chunk_count ?? 0, "passage"), `updated ${when(document.updated_at)}`].join(", ")),
      body,
      note,
      provenance(document),
      this._deleteButton(document, note),
    );
    try {
      const { text = "" } = await api.document(document.id, document.version);
      if (mine !== this.turn) return;
      const show = (length) => {
        body.replaceChildren(...lines(text.slice(0, length), 0, NOWHERE));
        if (length < text.length) {
          body.append(el("button", { type: "button", class: "quiet", onclick: () => show(text.length) }, "Show the rest"));
        }
      };
      show(HEAD);
    } catch (error) {
      if (mine === this.turn) note.textContent = error.message;
    } finally {
      body.removeAttribute("aria-busy");
    }
  }

  /** Show what waits to be decided, a card each. */
  showApprovals(cards, opener) {
    this._open(opener, null, "Waiting for a decision", ...cards.map((card) => card.root));
  }

  /** Show something else; gives its `turn`. */
  show(opener, title, ...content) {
    return this._open(opener, null, title, ...content);
  }

  _deleteButton(document, note) {
    return sureButton("Delete this document", "Delete it for good", async () => {
      try {
        await api.deleteDocument(document.id);
        this.close();
        this._onDeleted(document);
      } catch (error) {
        note.textContent = error.message;
      }
    });
  }

  _open(opener, badge, title, ...content) {
    this._opener = opener;
    const close = el("button", { type: "button", class: "quiet", onclick: () => this.close() }, "Close");
    const heading = el("h2", { id: "panel-title", tabindex: "-1" }, title);
    this._root.replaceChildren(
      el("header", { class: "panel-head" }, badge, heading, close),
      el("div", { class: "panel-body" }, content),
    );
    if (!this._root.open) {
      if (wide.matches) this._root.show();
      else this._root.showModal();
    }
    heading.focus();
    return (this.turn += 1);
  }
}

function provenance(thing) {
  const scores = Object.entries(thing.scores ?? {}).map(([leg, score]) => `${leg} ${score.toFixed(3)}`);
  const rows = {
    URI: thing.uri,
    Collection: thing.collection,
    Version: thing.version?.slice(0, 12),
    Span: thing.end === undefined ? "" : `${thing.start}–${thing.end}`,
    Trust: thing.trust,
    Score: [thing.score?.toFixed(3), ...scores].filter(Boolean).join(" · "),
    ...thing.metadata,
  };
  const shown = Object.entries(rows).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return el(
    "details",
    { class: "provenance" },
    el("summary", {}, "Where this comes from"),
    el("dl", {}, shown.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
  );
}
