// Taking back what came from somewhere, or since some time: first what would change, then the deed, which can be undone.

import { announce, el, plural } from "./dom.js";
import { memory } from "./memory_api.js";

const button = (text, onclick, kind = "choice") => el("button", { type: "button", class: kind, onclick }, text);

const FIELDS = {
  source: { text: "came from a source", label: "Source", attributes: { type: "text", maxlength: "500", placeholder: "https://…" } },
  run: { text: "came from a run", label: "Run", attributes: { type: "text", maxlength: "36" } },
  since: { text: "was written since a time", label: "Since", attributes: { type: "datetime-local", step: "1" } },
  snapshot: { text: "came after a snapshot", label: "Snapshot" },
};

export class UndoView {
  /** `given` names what to take back, as `{source: …}`; `ways` leads on: see MemoryPanel. */
  constructor(ways, given = null) {
    this._ways = ways;
    this._what = Object.keys(given ?? { source: "" })[0];
    this._value = given?.[this._what] ?? "";
    this._sure = given !== null;
    this._snapshots = [];
  }

  async show() {
    const onchange = () => ((this._what = this._select.value), this._ask());
    this._select = el("select", { id: "undo-what", onchange });
    this._select.append(...Object.entries(FIELDS).map(([value, { text }]) => el("option", { value, selected: value === this._what }, text)));
    this._field = el("div");
    this._plan = el("div", { role: "region", "aria-label": "What would change", "aria-live": "polite" });
    const submit = (event) => (event.preventDefault(), this._look());
    const form = el(
      "form",
      { class: "undo", onsubmit: submit },
      el("label", { for: "undo-what" }, "All that"),
      this._select,
      this._field,
      el("div", { class: "choices" }, el("button", { type: "submit", class: "choice" }, "Show what would change")),
    );
    const scope = el("p", { class: "soft" }, "Each record goes back to what it said before. It concerns all that you may change, and can be undone.");
    const turn = this._ways.show("Take back", scope, form, this._plan, this._snapshotForm());
    this._ask(this._value);
    if (this._sure) await this._look();
    await this._loadSnapshots(turn);
  }

  /** The field for what is chosen. */
  _ask(value = "") {
    const { label, attributes } = FIELDS[this._what];
    this._input = attributes ? el("input", { id: "undo-value", required: true, ...attributes }) : el("select", { id: "undo-value", required: true });
    if (!attributes) this._input.append(...this._snapshots.map((snapshot) => el("option", {}, snapshot.name)));
    this._input.addEventListener("input", () => this._plan.replaceChildren());
    if (value) this._input.value = value;
    this._plan.replaceChildren();
    this._field.replaceChildren(el("label", { for: "undo-value" }, label), this._input);
  }

  async _loadSnapshots(turn) {
    try {
      this._snapshots = (await memory.snapshots()).items;
    } catch {
      return; // without them there is no other way to name one
    }
    if (this._ways.turn() === turn && this._what === "snapshot") this._ask();
  }

  _wanted() {
    const value = this._input.value.trim();
    return { [this._what]: this._what === "since" ? new Date(value).toISOString() : value };
  }

  async _look() {
    if (!this._input.value.trim()) {
      this._tell(this._what === "snapshot" ? "There is no snapshot yet." : "Say which.");
      return;
    }
    const what = this._wanted();
    await this._trying(async () => {
      const { count, changes } = await memory.rollBack(what, true);
      const told = el("p", {}, count ? `${plural(count, "record")} would go back:` : "Nothing would change.");
      this._plan.replaceChildren(told, changeList(count, changes));
      if (count) this._plan.append(el("div", { class: "choices" }, button(`Take back ${plural(count, "record")}`, () => this._act(what), "danger")));
    });
  }

  _act(what) {
    return this._trying(async () => {
      const { count, operation } = await memory.rollBack(what, false);
      this._tell(`${plural(count, "record")} went back.`);
      if (operation) this._plan.append(el("div", { class: "choices" }, button("Undo this", () => this._undo(operation))));
    });
  }

  _undo(operation) {
    return this._trying(async () => {
      const { count } = await memory.rollBack({ operation }, false);
      this._tell(`Undone: ${plural(count, "record")} as before.`);
    });
  }

  _tell(text) {
    this._plan.replaceChildren(el("p", {}, text));
    announce(text);
  }

  /** Do something with the plan out of reach, and lead on from where its button was. */
  async _trying(action) {
    const acted = this._plan.contains(document.activeElement);
    this._plan.inert = true;
    try {
      await action();
    } catch (error) {
      this._tell(error.message);
    }
    this._plan.inert = false;
    if (acted && this._plan.isConnected) (this._plan.querySelector("button") ?? this._select).focus();
  }

  _snapshotForm() {
    const name = el("input", { id: "snapshot-name", required: true, maxlength: "128", autocomplete: "off" });
    const note = el("p", { class: "soft", role: "status" }, "A name for all that stands now, to come back to it later.");
    const onsubmit = async (event) => {
      event.preventDefault();
      try {
        const taken = await memory.snapshot(name.value.trim());
        this._snapshots.unshift(taken);
        if (this._what === "snapshot") this._ask();
        name.value = "";
        note.textContent = `The snapshot “${taken.name}” is taken.`;
      } catch (error) {
        note.textContent = error.message;
      }
    };
    return el(
      "form",
      { class: "undo", onsubmit },
      el("h3", {}, "Take a snapshot"),
      el("label", { for: "snapshot-name" }, "Name"),
      name,
      note,
      el("div", { class: "choices" }, el("button", { type: "submit", class: "choice" }, "Take it")),
    );
  }
}

function changeList(count, changes) {
  const item = ({ text, becomes }) =>
    el("li", {}, el("p", { class: "said", dir: "auto" }, el("del", {}, text)), el("p", { class: "said", dir: "auto" }, becomes === null ? el("span", { class: "soft" }, "nothing: it is taken back") : el("ins", {}, becomes)));
  const more = count > changes.length ? [el("li", { class: "soft" }, `and ${count - changes.length} more`)] : [];
  return el("ul", { class: "changes" }, changes.map(item), more);
}
