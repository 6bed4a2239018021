// The documents in the rail: their list, and uploads on their way into it, shown where the user is.

import { api } from "./api.js";
import { announce, byId, el, fillList } from "./dom.js";

const PAGE = 50;
const AT_ONCE = 2;
const ADDED_MS = 4000;

export class Library {
  constructor({ onOpen, onChange }) {
    this._onOpen = onOpen;
    this._onChange = onChange;
    this._waiting = [];
    this._running = 0;
    byId("files").addEventListener("change", ({ target }) => {
      this.add(target.files);
      target.value = "";
    });
    for (const id of ["add-documents", "attach"]) byId(id).addEventListener("click", () => byId("files").click());
    this._acceptDrops();
  }

  /** Load the list from its start. */
  load() {
    const row = (document) => {
      const onclick = ({ currentTarget }) => this._onOpen(document, currentTarget);
      return el("button", { type: "button", title: document.uri, onclick }, document.title || document.uri);
    };
    const empty = "None yet. Add files, or drop them anywhere.";
    return fillList(byId("documents"), (cursor) => api.documents(PAGE, cursor), row, empty);
  }

  /** Upload files, a few at once, each with its own progress and outcome. */
  add(files) {
    this._place();
    for (const file of files) {
      const item = el("li", { class: "upload" });
      byId("uploads").append(item);
      this._waiting.push({ file, item });
      this._say(item, file, "waiting");
    }
    this._next();
  }

  _next() {
    while (this._running < AT_ONCE && this._waiting.length) {
      this._running += 1;
      this._upload(this._waiting.shift()).finally(() => {
        this._running -= 1;
        this._next();
      });
    }
  }

  async _upload({ file, item }) {
    const bar = el("progress", { max: "1", value: "0", "aria-label": `Upload of ${file.name}` });
    const state = this._say(item, file, "sending", bar);
    try {
      await api.upload(file, (part) => {
        bar.value = part;
        if (part < 1) return;
        bar.removeAttribute("value"); // sent; how long reading takes is not known
        state.textContent = "reading";
      });
      // In the rail the list shows it; elsewhere nothing would.
      this._say(item, file, "added");
      setTimeout(() => item.remove(), this._place() ? 0 : ADDED_MS);
      announce(`${file.name} was added.`);
      await this.load();
      this._onChange();
    } catch (error) {
      const again = () => (item.remove(), this.add([file]));
      this._place();
      item.classList.add("failed");
      this._say(
        item,
        file,
        error.message,
        el("button", { type: "button", class: "quiet", onclick: again }, "Try again"),
        el("button", { type: "button", class: "quiet", onclick: () => item.remove() }, "Dismiss"),
      );
      announce(`${file.name} could not be added: ${error.message}`);
    }
  }

  /** Put the uploads into the rail or, while that is closed, above the question box. Gives whether the rail is seen. */
  _place() {
    const seen = getComputedStyle(byId("rail")).visibility === "visible";
    const before = byId(seen ? "documents" : "composer");
    if (before.previousElementSibling !== byId("uploads")) before.before(byId("uploads"));
    return seen;
  }

  _say(item, file, text, ...controls) {
    const state = el("span", { class: "soft" }, text);
    item.replaceChildren(el("span", { class: "upload-name" }, file.name), state, ...controls);
    return state;
  }

  _acceptDrops() {
    for (const type of ["dragover", "dragleave", "drop"]) {
      addEventListener(type, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        byId("main").classList.toggle("dropping", type === "dragover");
        if (type === "drop") this.add(event.dataTransfer.files);
      });
    }
  }
}
