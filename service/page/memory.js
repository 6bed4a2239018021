// What is remembered, in the side panel: a timeline, what is proposed, and the ways from there.

import { api, part } from "./api.js";
import { announce, el, fillList, plural } from "./dom.js";
import { memory } from "./memory_api.js";
import { RecordView } from "./memory_record.js";
import { UndoView } from "./memory_undo.js";
import { line, said } from "./memory_words.js";

const button = (text, onclick, kind = "quiet") => el("button", { type: "button", class: kind, onclick }, text);

const sheet = el("link", { rel: "stylesheet", href: "page/memory.css" });
const styled = new Promise((done) => (sheet.onload = sheet.onerror = done));
document.head.append(sheet);
await styled;

const CHOICES = { mine: "About me", all: "All that I may read" };

export class MemoryPanel {
  constructor(panel) {
    this._panel = panel;
    this._opener = null;
    this._whose = "mine";
    this._past = false;
  }

  /** Show everything that is remembered, the newest first; `news` says what has just been done. */
  async showTimeline(opener, news = "") {
    this._opener = opener;
    const note = el("p", { class: "soft", role: "status" }, news);
    const proposals = el("div");
    const list = el("ol", { class: "timeline", "aria-label": "What is remembered" });
    const turn = this._panel.show(opener, "What is remembered", this._filter(), note, proposals, list, this._takeBack());
    if (news) announce(news);
    try {
      await Promise.all([this._loadProposals(proposals), this._loadTimeline(list)]);
    } catch (error) {
      if (this._panel.turn === turn) note.textContent = error.message;
    }
  }

  /** Show one record with its history. */
  async showRecord(id, opener) {
    this._opener = opener;
    await new RecordView(id, this._ways()).show();
  }

  /** The ways that lead on from a view. */
  _ways() {
    return {
      show: (title, ...content) => this._panel.show(this._opener, title, this._back(), ...content),
      turn: () => this._panel.turn,
      toTimeline: (turn, news) => this._next(turn, news),
      toRecord: (id) => this.showRecord(id, this._opener),
      toRun: (id) => this._goToRun(id),
      toUndo: (what) => new UndoView(this._ways(), what).show(),
    };
  }

  _back() {
    return el("div", {}, button("← All that is remembered", () => this.showTimeline(this._opener), "quiet back"));
  }

  _takeBack() {
    return el("div", { class: "choices" }, button("Take back…", () => this._ways().toUndo(), "choice"));
  }

  _filter() {
    const whose = el("select", { "aria-label": "Whose", onchange: () => ((this._whose = whose.value), this._again("select")) });
    whose.append(...Object.entries(CHOICES).map(([value, text]) => el("option", { value, selected: value === this._whose }, text)));
    const past = el("input", { type: "checkbox", onchange: () => ((this._past = past.checked), this._again("input")) });
    past.checked = this._past;
    return el("div", { class: "filter" }, whose, el("label", {}, past, " also what no longer counts"));
  }

  async _again(control) {
    const shown = this.showTimeline(this._opener);
    document.querySelector(`.filter ${control}`).focus();
    await shown;
  }

  get _mine() {
    return this._whose === "mine";
  }

  async _loadTimeline(list) {
    const status = this._past ? "" : "active";
    const load = async (cursor) => {
      const page = await memory.list({ mine: this._mine, status, cursor });
      return { ...page, items: page.items.filter((record) => record.status !== "proposed") };
    };
    await fillList(list, load, (record) => this._entry(record), "Nothing yet.");
  }

  _entry(record) {
    const open = ({ currentTarget }) => this.showRecord(record.id, this._opener ?? currentTarget);
    return el(
      "div",
      { class: "memory-entry", "data-status": record.status },
      el("button", { type: "button", class: "memory-text", onclick: open }, said(record)),
      el("p", { class: "soft" }, line(record, this._mine)),
      record.run_id ? button("The conversation it came from", () => this._goToRun(record.run_id)) : null,
    );
  }

  async _loadProposals(place) {
    const { items, next_cursor } = await memory.list({ mine: this._mine, status: "proposed" });
    if (!items.length) return;
    const count = next_cursor ? `The newest ${items.length}` : plural(items.length, "proposal");
    const cards = items.map((proposal) => el("li", {}, this._proposal(proposal)));
    place.append(el("h3", {}, `${count} to decide`), el("ul", { class: "proposals" }, cards));
  }

  _proposal(proposal) {
    const note = el("p", { role: "alert" });
    const card = el("section", { class: "approval", "aria-label": `Proposal: ${proposal.text.slice(0, 80)}` });
    const decide = (decision) => async () => {
      const turn = this._panel.turn;
      card.inert = true;
      try {
        await memory.decide(proposal.id, decision, proposal.version);
        this._next(turn, decision === "accept" ? "It is remembered." : "It was rejected.");
      } catch (error) {
        card.inert = false;
        note.textContent = error.message;
        if (error.status === 403) choices.remove();
        else if (error.status === 409 || error.status === 410) this._next(turn, "It has changed meanwhile.");
      }
    };
    const choices = el(
      "div",
      { class: "choices" },
      button("Accept", decide("accept"), "sign"),
      button("Reject", decide("reject"), "choice"),
      button("Its history", () => this.showRecord(proposal.id, this._opener)),
    );
    card.append(el("p", {}, said(proposal)), el("p", { class: "soft" }, line(proposal, this._mine)), choices, note);
    return card;
  }

  /** Show how things stand after something was done, unless somebody has gone on or closed the panel. */
  _next(turn, news) {
    if (this._panel.turn === turn) this.showTimeline(this._opener, news);
    else announce(news);
  }

  /** Go to the conversation that a record came from. */
  async _goToRun(id) {
    const turn = this._panel.turn;
    try {
      const { session_id } = await api.run(id);
      if (this._panel.turn !== turn) return;
      location.hash = `#s=${part(session_id)}&r=${part(id)}`;
    } catch (error) {
      const gone = error.status === 404;
      this._next(turn, gone ? "That conversation is not there any more, or is not yours." : error.message);
    }
  }
}
