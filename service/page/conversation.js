// The conversation shown: asking, following runs, stopping, and coming back to a session.

import { api } from "./api.js";
import { announce, byId } from "./dom.js";
import { keepInAddress, runInAddress } from "./sessions.js";
import { runEvents } from "./stream.js";
import { Turn } from "./turn.js";

// A session's messages hold a run only once it has ended: until then the tab remembers which one it follows.
const RUN = "cairn.run";
const remember = (run) => sessionStorage.setItem(RUN, JSON.stringify(run));

function recall(sessionId) {
  const run = JSON.parse(sessionStorage.getItem(RUN));
  return run?.sessionId === sessionId ? run : null;
}

export class Conversation {
  /** `onBusy(busy)` follows whether an answer is on its way; `onRun()` is told when a run was started or has ended;
   *  `onRefused(question)` gets back what the service did not take. */
  constructor({ onSource, onMemory, onBusy, onRun, onRefused }) {
    this._turns = byId("turns");
    this._onBusy = onBusy;
    this._onRun = onRun;
    this._onRefused = onRefused;
    const onAfresh = (turn) => this.ask(turn.question, { cache: "bypass" });
    this._handlers = { onSource, onMemory, onAfresh, onRetry: (turn) => this._retry(turn) };
    this._shown = new AbortController();
    this._live = null;
    this.sessionId = null;
  }

  get isEmpty() {
    return !this._turns.firstChild;
  }

  get busy() {
    return this._live !== null;
  }

  /** Ask in the session shown; a first question opens one. `wishes` are further fields of the request. */
  async ask(message, wishes = {}) {
    if (this.busy || !message.trim()) return;
    const turn = this._add(message);
    turn.root.scrollIntoView({ block: "start" });
    const body = { message, ...wishes, ...(this.sessionId ? { session_id: this.sessionId } : {}) };
    await this._follow(turn, { body });
    this._onRun();
  }

  /** Ask the service to stop the run; its events say when it has. */
  stop() {
    if (!this._live || this._live.stopping) return;
    this._live.stopping = true;
    this._onBusy("stopping");
    if (this._live.runId) this._cancel(this._live.runId);
  }

  async _cancel(runId) {
    await api.cancel(runId).catch((error) => {
      if (error.status !== 409) announce(error.message); // 409: it is over, as its events say
    });
  }

  /** Show a session again, or with no id an empty page. Runs go on without the page. */
  async show(sessionId) {
    this._shown.abort();
    this._shown = new AbortController();
    const { signal } = this._shown;
    this._setLive(null);
    this.sessionId = sessionId;
    this._turns.replaceChildren();
    if (!sessionId) return;
    const { messages } = await api.session(sessionId);
    if (signal.aborted) return;
    const turns = this._restore(messages);
    const live = recall(sessionId);
    const goesOn = live && !turns.some(({ runId }) => runId === live.runId);
    const last = goesOn ? this._add(live.question) : null;
    const wanted = turns.find(({ runId }) => runId === runInAddress());
    if (wanted) keepInAddress(sessionId);
    (wanted?.turn.root ?? this._turns.lastElementChild)?.scrollIntoView({ block: "start" });
    await Promise.all([last && this._follow(last, { runId: live.runId }), this._replayAll(turns, signal)]);
  }

  _restore(messages) {
    const turns = [];
    for (const { role, content, run_id } of messages) {
      if (role === "user") {
        turns.push({ turn: this._add(content), runId: run_id });
      } else if (role === "assistant" && content && turns.length) {
        const { turn } = turns.at(-1);
        turn.restore(turn.text ? `${turn.text}\n\n${content}` : content);
      }
    }
    return turns;
  }

  /** One after the other, the newest first: it is what is looked at. */
  async _replayAll(turns, signal) {
    for (const { turn, runId } of turns.reverse()) {
      if (!signal.aborted) await this._replay(turn, runId, signal);
    }
  }

  /** Bring back a run's sources, tool calls and approvals, and follow one that waits. Without events the text stays. */
  _replay(turn, runId, signal) {
    return new Promise((done) => {
      const follow = async () => {
        for await (const event of runEvents({ runId, signal })) {
          turn.apply(event);
          if (event.type === "run.waiting") done();
        }
      };
      const ends = follow().then(() => turn.feedback?.load());
      ends.catch(() => {}).finally(done);
    });
  }

  _add(question) {
    const turn = new Turn(question, this._handlers);
    this._turns.append(turn.root);
    byId("empty").hidden = true;
    return turn;
  }

  async _follow(turn, { body, runId = null }) {
    const { signal } = this._shown;
    const live = { turn, runId, stopping: false, started: runId !== null };
    this._setLive(live);
    turn.begin();
    try {
      const onBreak = (is) => turn.broken(is);
      for await (const event of runEvents({ body, runId, signal, onBreak })) {
        if (event.type === "run.started") this._started(live, event);
        // A run that waits leaves the session free for other questions.
        if (event.type === "run.waiting") {
          if (this._live === live) this._setLive(null);
          this._onRun();
        }
        if (event.type === "run.resumed" && !this._live) this._setLive(live);
        const news = turn.apply(event);
        if (news) announce(news);
      }
    } catch (error) {
      if (signal.aborted) return;
      turn.refused = !live.started && !error.passing;
      turn.unheard = !live.started; // as far as is known, nothing of it reached the service
      turn.fail(error.message, { retry: turn.refused ? "Change the question" : "Try again" });
      announce(error.message);
    }
    if (this._live === live) this._setLive(null);
  }

  _started(live, { run_id, session_id }) {
    live.runId = run_id;
    live.started = true;
    if (live.stopping) this._cancel(run_id);
    remember({ sessionId: session_id, runId: run_id, question: live.turn.question });
    if (session_id === this.sessionId) return;
    this.sessionId = session_id;
    keepInAddress(session_id);
    this._onRun();
  }

  _retry(turn) {
    if (this.busy) return;
    if (turn.unheard) turn.root.remove();
    if (turn.refused) this._onRefused(turn.question);
    else this.ask(turn.question);
  }

  _setLive(live) {
    this._live = live;
    this._onBusy(live ? "busy" : "idle");
  }
}
