// One question and the way to its answer: a fold over the events of a run.

import { AnswerText } from "./answer.js";
import { ApprovalCard } from "./approval.js";
import { unitSpan } from "./codepoints.js";
import { el, hiddenText, plural, seconds, sentence } from "./dom.js";
import { Feedback } from "./feedback.js";
import { placeOf, pretty, sourceItem } from "./parts.js";
import { cachedStep, found, recalledStep, retrievalStep, toolStep } from "./steps.js";

export class Turn {
  /** `onSource(source, claim, opener)` opens a source and `onMemory(id, opener)` what is remembered; `onRetry(turn)` asks
   *  again, `onAfresh(turn)` for an answer that was not given before. */
  constructor(question, handlers) {
    this.question = question;
    this._handlers = handlers;
    this._answer = new AnswerText((label) => this._marker(label));
    this._way = el("ol", { class: "way", "aria-label": "The way to the answer" });
    this._cited = el("ul", { class: "sources", "aria-label": "Sources" });
    this._read = el("div");
    this._end = el("div", { class: "end" });
    this.root = el(
      "article",
      { class: "turn", "aria-label": question.slice(0, 120) },
      el("h2", { class: question.length > 240 ? "question long" : "question" }, question),
      this._way,
      this._answer.root,
      this._cited,
      this._read,
      this._end,
    );
    this._clear();
  }

  get text() {
    return this._answer.text;
  }

  _clear() {
    this._sources = new Map();
    this._spans = new Map();
    this._calls = new Map();
    this._approvals = new Map();
    this._usage = null;
    this._model = "";
    this._cached = false;
    this.feedback = null;
    this._since = Date.now();
    for (const part of [this._way, this._cited, this._read, this._end]) part.replaceChildren();
    this._answer.reset();
  }

  /** Show an answer whose events are not here yet. */
  restore(text) {
    this._answer.reset(text);
  }

  /** The run was asked for and nothing is known yet. */
  begin() {
    this._clear();
    this._resumed();
  }

  /** Take in the run's next event; gives what is worth announcing, if anything. */
  apply(event) {
    const handler = HANDLERS[event.type];
    return handler ? this[handler](event) : undefined;
  }

  _started({ model, created_at }) {
    this.begin();
    this._model = model;
    this._since = Date.parse(created_at) || Date.now();
  }

  _retrieved(event) {
    for (const source of event.sources) this._sources.set(source.label, source);
    this._way.append(retrievalStep(event, this.question));
    return `${found(event)}.`;
  }

  _recalled(event) {
    if (event.memories.length) this._way.append(recalledStep(event, this._handlers.onMemory));
  }

  _given(event) {
    const onAfresh = () => this._handlers.onAfresh(this);
    this._way.append(cachedStep(event, { question: this.question, since: this._since, onAfresh }));
    this._cached = true;
    return "Answered before.";
  }

  _called(event) {
    const call = toolStep(event);
    this._calls.set(event.call_id, call);
    this._way.append(call.step);
    return `Calling ${event.name}.`;
  }

  _returned({ call_id, name, ok, content, failure, duration_ms }) {
    const call = this._calls.get(call_id);
    if (!call) return undefined;
    call.step.dataset.state = ok ? "done" : "failed";
    call.state.textContent = ok ? ` · ${seconds(duration_ms)}` : ` · ${(failure ?? "failed").replaceAll("_", " ")}`;
    call.body.append(el("h3", {}, ok ? "Result" : "Failure"), el("pre", { tabindex: "0" }, pretty(content)));
    return ok ? undefined : `${name} failed.`;
  }

  _requested(asked) {
    const card = new ApprovalCard(asked, this._handlers.onSource);
    this._approvals.set(asked.approval_id, card);
    const call = this._calls.get(asked.call_id);
    if (call) call.state.textContent = " · waits";
    (call?.step ?? this._way).append(card.root);
  }

  _waits() {
    this._answer.draw();
    this.root.dataset.state = "waiting";
    this.root.removeAttribute("aria-busy");
    this._end.replaceChildren(el("p", { class: "soft" }, "Waits until somebody has decided."));
    return "The run waits for a decision.";
  }

  _decided(said) {
    this._approvals.get(said.approval_id)?.decided(said);
    const call = this._calls.get(said.call_id);
    if (call) call.state.textContent = " · calling";
  }

  _resumed() {
    this.root.dataset.state = "running";
    this.root.setAttribute("aria-busy", "true");
    this._end.replaceChildren();
  }

  _restarted() {
    this._spans.clear();
    this._cited.replaceChildren();
    this._answer.reset();
  }

  _delta({ delta }) {
    this._answer.append(delta);
  }

  _citation({ label, start, end }) {
    if (!this._spans.has(label)) {
      this._spans.set(label, []);
      const source = this._sources.get(label);
      if (source) this._cited.append(this._sourceItem(source));
    }
    this._spans.get(label).push([start, end]);
  }

  _used(usage) {
    this._usage = usage;
  }

  _completed({ run_id, answer, duration_ms }) {
    if (answer !== this._answer.text) this._answer.reset(answer);
    this._finish("completed");
    const words = [this._model && !this._cached && `Answered by ${this._model}`, seconds(duration_ms)];
    if (this._usage?.output_tokens) words.push(plural(this._usage.input_tokens + this._usage.output_tokens, "token"));
    this.feedback = new Feedback(run_id);
    this._end.append(el("p", { class: "soft" }, words.filter(Boolean).join(" · ")), this.feedback.root);
    const cited = this._spans.size ? ` ${plural(this._spans.size, "source")}.` : "";
    return `${plain(answer)}${cited}`;
  }

  _failed({ detail, retryable }) {
    this.fail(detail, { retry: retryable ? "Try again" : "Ask again" });
    return `The answer failed: ${detail}`;
  }

  _cancelled({ effects }) {
    this._finish("cancelled");
    const done = effects?.length ? ` Already done: ${effects.join(", ")}.` : "";
    this._end.append(el("p", { class: "soft" }, `Stopped.${done}`));
    return "Stopped.";
  }

  /** The connection is lost (or back): the answer goes on when it is there again. */
  broken(is) {
    this._end.replaceChildren(...(is ? [el("p", { class: "soft" }, "The connection was lost. Picking up the thread…")] : []));
  }

  /** End without an answer, with a plain sentence and a way on. */
  fail(detail, { retry = "Try again" } = {}) {
    this._finish("failed");
    this._end.append(
      el(
        "div",
        { class: "failure" },
        el("p", {}, sentence(detail)),
        el("button", { type: "button", onclick: () => this._handlers.onRetry(this) }, retry),
      ),
    );
  }

  _finish(state) {
    this._answer.draw();
    this.root.dataset.state = state;
    this.root.removeAttribute("aria-busy");
    this._end.replaceChildren();
    for (const card of this._approvals.values()) card.close();
    for (const { step } of this._calls.values()) if (step.dataset.state === "calling") step.dataset.state = "failed";
    const rest = [...this._sources.values()].filter(({ label }) => !this._spans.has(label));
    if (!rest.length) return;
    const title = `${plural(rest.length, this._spans.size ? "more passage" : "passage")} read, not cited`;
    this._read.replaceChildren(
      el(
        "details",
        { class: "read" },
        el("summary", {}, title),
        el("ul", { class: "sources" }, rest.map((source) => this._sourceItem(source))),
      ),
    );
  }

  _marker(label) {
    const source = this._sources.get(label);
    if (!source) return null;
    return el(
      "button",
      {
        type: "button",
        class: "cite",
        title: [source.title, placeOf(source)].filter(Boolean).join(" – "),
        onclick: ({ currentTarget }) => this._open(source, currentTarget),
      },
      hiddenText("Source "),
      String(label),
    );
  }

  _sourceItem(source) {
    return sourceItem(source, (opener) => this._open(source, opener));
  }

  _open(source, opener) {
    const claims = (this._spans.get(source.label) ?? []).map(([start, end]) => {
      const [from, to] = unitSpan(this.text, start, end);
      return plain(this.text.slice(from, to));
    });
    this._handlers.onSource(source, claims, opener);
  }
}

/** Markdown without its marks, for speech and quotation. */
const plain = (text) => text.replace(/\[\d{1,3}(?:\s*,\s*\d{1,3})*\]|\*\*|`|^#{1,6}\s/gm, "").replace(/\s+/g, " ").trim();

const HANDLERS = {
  "run.started": "_started",
  "retrieval.completed": "_retrieved",
  "memory.recalled": "_recalled",
  "cache.hit": "_given",
  "tool.call": "_called",
  "tool.result": "_returned",
  "text.delta": "_delta",
  citation: "_citation",
  "approval.requested": "_requested",
  "run.waiting": "_waits",
  "approval.decided": "_decided",
  "run.resumed": "_resumed",
  "answer.restarted": "_restarted",
  usage: "_used",
  "run.completed": "_completed",
  "run.failed": "_failed",
  "run.cancelled": "_cancelled",
};
