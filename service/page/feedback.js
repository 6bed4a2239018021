// Whether an answer was right: two buttons under it, and a word on what was wrong with it.

import { api } from "./api.js";
import { announce, el } from "./dom.js";

const WORDS = { right: "Right", wrong: "Wrong" };

export class Feedback {
  constructor(runId) {
    this._runId = runId;
    this._buttons = Object.entries(WORDS).map(([verdict, word]) =>
      el("button", { type: "button", class: "quiet", "aria-pressed": "false", "data-verdict": verdict, onclick: () => this._say(verdict) }, word),
    );
    this._more = el("div");
    this._note = el("p", { class: "soft", role: "alert" });
    const group = el("div", { class: "verdict", role: "group", "aria-label": "Was this right?" }, this._buttons);
    this.root = el("div", { class: "feedback" }, group, this._more, this._note);
  }

  /** Show what was said before, if anything was. */
  async load() {
    const { feedback } = await api.run(this._runId);
    if (feedback) this._show(feedback);
  }

  _show({ verdict, comment }) {
    for (const button of this._buttons) button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    this._more.replaceChildren(...(comment ? [el("p", { class: "soft" }, `“${comment}”`)] : []));
  }

  async _say(verdict, comment = "") {
    this._note.textContent = "";
    try {
      this._show(await api.feedback(this._runId, { verdict, comment }));
    } catch (error) {
      this._note.textContent = error.message;
      return false;
    }
    if (verdict === "wrong" && !comment) this._ask();
    announce(verdict === "right" ? "You called it right." : "You called it wrong.");
    return true;
  }

  _ask() {
    const field = el("textarea", { rows: "2", maxlength: "2000" });
    const close = () => {
      this._more.replaceChildren();
      this._buttons[1].focus();
    };
    const send = async () => {
      const said = field.value.trim();
      if (!said) close();
      else if (await this._say("wrong", said)) this._buttons[1].focus();
    };
    this._more.replaceChildren(
      el("label", {}, "What is wrong with it?", field),
      el(
        "div",
        { class: "choices" },
        el("button", { type: "button", class: "choice", onclick: send }, "Send"),
        el("button", { type: "button", class: "quiet", onclick: close }, "Leave it at that"),
      ),
    );
    field.focus();
  }
}
