// One record: what it says, where it came from, how it came about; going back to a version, and forgetting it.

import { announce, el, hiddenText, plural } from "./dom.js";
import { memory } from "./memory_api.js";
import { aboutWhom, madeBy, said, standing, trustOf } from "./memory_words.js";
import { pretty, sureButton } from "./parts.js";
import { wordDiff } from "./word_diff.js";

const MARKS = { same: (text) => text, gone: (text) => el("del", {}, text), new: (text) => el("ins", {}, text) };
const CONTENT = ["status", "slot", "trust", "valid_from", "valid_until", "expires_at"];

const button = (text, onclick, kind = "quiet") => el("button", { type: "button", class: kind, onclick }, text);
const capital = (word) => word[0].toUpperCase() + word.slice(1);
const name = (field) => field.replaceAll("_", " ");

export class RecordView {
  /** `ways` leads on: see MemoryPanel. */
  constructor(id, ways) {
    this._id = id;
    this._ways = ways;
    this._versions = [];
    this._cursor = null;
  }

  /** Load it and show it; `news` says what has just been done. */
  async show(news = "") {
    const turn = this._ways.turn();
    let page;
    try {
      page = await memory.history(this._id);
    } catch (error) {
      this._ways.toTimeline(turn, error.status === 410 ? "That was forgotten." : error.message);
      return;
    }
    if (this._ways.turn() !== turn) return;
    [this._versions, this._cursor] = [page.items, page.next_cursor];
    const [head] = this._versions;
    this._note = el("p", { class: "soft", role: "alert" }, news);
    this._list = el("ol", { class: "timeline", "aria-label": "Versions" });
    const text = el("p", { class: "memory-text" }, said(head));
    const value = head.value ? el("pre", { tabindex: "0", "aria-label": "Value" }, pretty(head.value)) : null;
    this._ways.show(capital(head.kind), text, value, this._note, this._facts(head), el("h3", {}, "How it came about"), this._list, this._forget(head));
    this._draw();
  }

  _facts(head) {
    const run = head.run_id && button("Open the conversation", () => this._ways.toRun(head.run_id));
    const others = (ids) => ids.map((id) => button("Open it", () => this._ways.toRecord(id)));
    const rows = {
      About: aboutWhom(head),
      Trust: trustOf(head),
      Counts: standing(head),
      Slot: head.slot,
      Author: head.author,
      "Came from": [run, ...head.sources.map((source) => this._source(source))].filter(Boolean),
      Replaces: others(head.supersedes),
      "Replaced by": others(head.superseded_by ? [head.superseded_by] : []),
      "Shared with": head.acl.join(", "),
    };
    const shown = Object.entries(rows).filter(([, value]) => value?.length);
    return el("dl", { class: "facts" }, shown.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
  }

  _source({ id, trust }) {
    return el("div", {}, id, el("span", { class: "soft" }, ` ${trust} `), button("Take back all from it", () => this._ways.toUndo({ source: id })));
  }

  _draw() {
    const last = this._versions.length - 1;
    const rows = this._versions.map((version, i) => {
      const before = this._versions[i + 1];
      // What the oldest one shown differs in is known with the next page.
      const changed = before ? this._changes(before, version) : i === last && this._cursor ? null : el("p", {}, said(version));
      return el("li", {}, el("p", { class: "soft" }, madeBy(version)), changed, i ? this._goBack(version) : null);
    });
    if (this._cursor) rows.push(el("li", {}, button("Show more", () => this._more())));
    this._list.replaceChildren(...rows);
  }

  async _more() {
    await this._trying(async () => {
      const { items, next_cursor } = await memory.history(this._id, this._cursor);
      const shown = this._versions.length;
      this._versions.push(...items);
      this._cursor = next_cursor;
      this._draw();
      this._list.children[shown].querySelector("button")?.focus();
    });
  }

  _changes(before, after) {
    const fields = CONTENT.filter((field) => before[field] !== after[field]);
    const told = fields.map((field) => `${name(field)}: ${before[field] ?? "none"} → ${after[field] ?? "none"}`);
    const pieces = wordDiff(before.text, after.text).map(([kind, text]) => MARKS[kind](text));
    return [
      el("p", { class: "said diff", dir: "auto" }, pieces),
      told.length ? el("p", { class: "soft" }, told.join(" · ")) : null,
    ];
  }

  _goBack({ version }) {
    const [head] = this._versions;
    const act = () =>
      this._trying(async (turn) => {
        const { count } = await memory.rollBackRecord(this._id, version, head.version);
        const news = count ? `It says again what version ${version} said.` : `It says what version ${version} said.`;
        announce(news);
        if (this._ways.turn() === turn) await this.show(news);
      });
    return button(["Go back to this", hiddenText(` version ${version}`)], act, "choice small");
  }

  _forget(head) {
    const forget = () =>
      this._trying(async (turn) => {
        await memory.forget(this._id, head.version);
        // What the answers shown owed to it goes, too.
        for (const shown of document.querySelectorAll("#turns [data-memory]")) {
          if (shown.dataset.memory === this._id) shown.textContent = "[forgotten]";
        }
        this._ways.toTimeline(turn, "It is forgotten.");
      });
    const all = head.version > 1 ? `All ${plural(head.version, "version")} are erased` : "It is erased";
    return el("div", { class: "choices" }, sureButton("Forget it", "Forget it for good", forget), el("span", { class: "soft" }, `${all}; nothing brings it back.`));
  }

  /** Do something to what was seen; if something else stands by now, show that. */
  async _trying(action) {
    const turn = this._ways.turn();
    try {
      await action(turn);
    } catch (error) {
      if (this._ways.turn() !== turn) announce(error.message);
      else if (error.code === "memory_conflict") await this.show("It has changed meanwhile: this is how it stands.");
      else if (error.status === 410 || error.status === 404) this._ways.toTimeline(turn, error.message);
      else this._note.textContent = error.message;
    }
  }
}
