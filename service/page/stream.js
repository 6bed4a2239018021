// A run's events over HTTP: server-sent events read from fetch, resumed when the connection breaks.

import { api, Problem } from "./api.js";
import { parse } from "./dom.js";

export const TERMINAL = new Set(["run.completed", "run.failed", "run.cancelled"]);

const SILENCE_MS = 60_000; // the service's heartbeats come more often; a longer silence is a dead connection
const TRIES = 8;
const WAIT_MS = 1000;

/** The data of each server-sent event in a body (https://html.spec.whatwg.org/#event-stream-interpretation). */
async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let silence;
  let rest = "";
  let data = [];
  try {
    for (;;) {
      silence = setTimeout(() => reader.cancel(), SILENCE_MS);
      const { value, done } = await reader.read();
      clearTimeout(silence);
      if (done) return;
      // A carriage return at the end may be half of a CRLF: it waits for the next piece.
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        }
      }
    }
  } finally {
    clearTimeout(silence);
    reader.cancel().catch(() => {});
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal.removeEventListener("abort", stop), resolve()), ms);
    signal.addEventListener("abort", stop);
  });
}

/** Until a run that waits for a person goes on. It holds no connection: a browser has only six. */
async function goesOn(runId, signal) {
  for (;;) {
    await pause(WAIT_MS, signal);
    try {
      if ((await api.run(runId, signal)).status !== "waiting_approval") return;
    } catch (error) {
      if (signal.aborted || !error.passing) throw error;
    }
  }
}

/**
 * Every event of a run, once and in order, up to its terminal one.
 *
 * Either `body` starts the run, or `runId` names one that exists. `onBreak(true)` is told when the connection is lost
 * and `onBreak(false)` when events flow again. Throws a Problem when the service refuses or stays away.
 */
export async function* runEvents({ body, runId = null, signal, onBreak = () => {} }) {
  let open = body ? () => api.chat(body, signal) : () => api.events(runId, null, signal);
  let seen = null;
  let failures = 0;
  let waits = false;
  for (;;) {
    try {
      const response = await open();
      runId ??= response.headers.get("X-Run-Id");
      for await (const data of frames(response.body)) {
        const event = parse(data);
        if (seen !== null && event.seq <= seen) continue;
        if (failures) onBreak(false);
        failures = 0;
        seen = event.seq;
        runId ??= event.run_id;
        waits = event.type === "run.waiting";
        yield event;
        if (TERMINAL.has(event.type)) return;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Problem && (!error.passing || runId === null)) throw error;
    }
    if (waits) {
      await goesOn(runId, signal);
      open = () => api.events(runId, seen, signal);
      continue;
    }
    failures += 1;
    if (runId === null || failures > TRIES) {
      throw new Problem({ code: "connection_lost", detail: "The connection was lost before the answer was complete." });
    }
    onBreak(true);
    await pause(Math.min(250 * 2 ** failures, 8000) * (0.75 + Math.random() / 2), signal);
    open = () => api.events(runId, seen, signal);
  }
}
