// What a run waits for: the call, why a person has to agree, what led to it, and the decision.

import { api } from "./api.js";
import { announce, el, parse, when } from "./dom.js";
import { pretty, sourceItem } from "./parts.js";

const DID = { approved: "Approved", edited: "Edited and approved", rejected: "Rejected", expired: "Expired", cancelled: "Not needed" };

const button = (text, onclick, kind = "choice") => el("button", { type: "button", class: kind, onclick }, text);

/** From an event of the run, or from the API's approval. */
export class ApprovalCard {
  constructor(asked, onSource) {
    this._id = asked.approval_id ?? asked.id;
    this._name = asked.name ?? asked.tool;
    this._arguments = asked.arguments;
    this._onSource = onSource;
    this._body = el("div");
    this._note = el("p", { role: "alert" });
    const again = asked.kind === "outcome_unknown";
    this._reply = asked.kind === "hand_over";
    const who = [
      asked.asked_by && `Asked by ${asked.asked_by}`,
      asked.approvers.length && `Needs the role ${asked.approvers.join(" or ")}`,
      asked.expires_at && `Until ${when(asked.expires_at)}`,
    ];
    this._terms = el("p", { class: "soft" }, who.filter(Boolean).join(" · "));
    this._title = el("h3", { tabindex: "-1" }, this._reply ? "A person is asked" : again ? `Call ${this._name} again?` : `Approve ${this._name}?`);
    this.root = el(
      "section",
      { class: "approval", "aria-label": `Approval of ${this._name}` },
      this._title,
      el("p", {}, asked.reason, el("span", { class: "effect" }, asked.effect)),
      this._body,
      this._note,
      this._terms,
      this._origin(),
    );
    this._editable = !again;
    this._ask();
  }

  _origin() {
    const found = el("div", { class: "soft" });
    const ontoggle = async ({ target }) => {
      if (!target.open || found.firstChild) return;
      try {
        const { sources, record } = await api.approval(this._id);
        const items = sources.map((source) => sourceItem(source, (opener) => this._onSource(source, [], opener)));
        if (record !== null) found.append("The record now", el("pre", { tabindex: "0" }, pretty(record)));
        found.append(items.length ? el("ul", { class: "sources" }, items) : "No document to show.");
      } catch (error) {
        this._note.textContent = error.message;
      }
    };
    return el("details", { ontoggle }, el("summary", {}, "What led here"), found);
  }

  _ask() {
    this._show(
      this._arguments,
      this._reply
        ? button("Reply", () => this._answer(), "sign")
        : button("Approve", () => this._decide({ decision: "approve" }), "sign"),
      this._editable && !this._reply ? button("Edit", () => this._edit()) : null,
      button("Reject", () => this._reject()),
    );
  }

  _edit() {
    const field = el("textarea", { rows: "6" });
    field.value = pretty(this._arguments);
    this._form("Arguments", field, "Approve these", () => {
      try {
        this._decide({ decision: "edit", arguments: parse(field.value) });
      } catch (error) {
        this._note.textContent = `That is not JSON: ${error.message}`;
        field.focus();
      }
    });
  }

  _answer() {
    const field = el("textarea", { rows: "4", maxlength: "2000" });
    this._form("Your reply", field, "Send", () => this._decide({ decision: "approve", reason: field.value }));
  }

  _reject() {
    const field = el("textarea", { rows: "2", maxlength: "2000" });
    this._form("Why? The model reads it.", field, "Reject", () => this._decide({ decision: "reject", reason: field.value }));
  }

  _form(label, field, text, onsubmit) {
    const back = () => (this._ask(), this._body.querySelector("button").focus());
    const choices = el("div", { class: "choices" }, button(text, onsubmit, "sign"), button("Back", back));
    this._note.textContent = "";
    this._body.replaceChildren(el("label", {}, label, field), choices);
    field.focus();
  }

  _show(values, ...below) {
    this._note.textContent = "";
    const shown = el("pre", { tabindex: "0", "aria-label": "Arguments" }, pretty(values));
    this._body.replaceChildren(shown, el("div", { class: "choices" }, below));
  }

  async _decide(decision) {
    const focused = document.activeElement;
    this._body.inert = true;
    try {
      this._tell(await api.decide(this._id, decision));
    } catch (error) {
      if (error.approval) this._tell(error.approval);
      else this._note.textContent = error.message;
    }
    this._body.inert = false;
    if (this._note.textContent) focused.focus();
  }

  _tell({ status, decided_by, decision, arguments: proposed }) {
    this.decided({ decision: status, decided_by, reason: decision?.reason, arguments: decision?.arguments ?? proposed });
    this._title.focus();
    announce(this._title.textContent);
  }

  /** The run has ended: nothing is left to decide. */
  close() {
    if (!this.root.dataset.state) this.decided({ decision: "cancelled", arguments: this._arguments });
  }

  /** Show what came of it: the event of the run. */
  decided({ decision, decided_by, reason, arguments: values }) {
    this.root.dataset.state = decision;
    this._terms.remove();
    this._title.textContent = `${DID[decision]}${decided_by ? ` by ${decided_by}` : ""}`;
    this._show(values, reason ? `“${reason}”` : null);
  }
}
