// The service's HTTP API, and its errors as sentences.

import { parse, sentence } from "./dom.js";
import { anotherKey, bearer, currentKey } from "./key.js";

/** What the service said went wrong (RFC 9457), or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor({ status = 0, title = "", detail = "", code = "", approval }) {
    super(sentence(detail || title || `The service answered with ${status}`));
    Object.assign(this, { status, code, approval });
  }

  /** The same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const UNREACHABLE = { status: 0, code: "unreachable", detail: "The service cannot be reached." };
const WITHOUT_KEY = { status: 401, code: "unauthenticated", detail: "The service answers only with a key." };
const NONE = { items: [], next_cursor: null, forbidden: true };

export function problemFrom(status, text) {
  try {
    const body = JSON.parse(text);
    if (body && typeof body === "object") return new Problem({ ...body, status });
  } catch {
    // Not every proxy speaks JSON.
  }
  return new Problem({ status });
}

async function request(path, options = {}) {
  for (;;) {
    const key = currentKey();
    let response;
    try {
      response = await fetch(path, { ...options, headers: { ...options.headers, ...bearer(key) }, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(UNREACHABLE);
    }
    if (response.ok) return response;
    if (response.status !== 401) throw problemFrom(response.status, await response.text());
    if (!(await anotherKey(key))) throw new Problem(WITHOUT_KEY);
  }
}

export const getJson = async (path, options) => parse(await (await request(path, options)).text());

/** A list that the page can do without: for a key that may not see it, it is empty. */
const optional = (list) => list.catch((error) => (error.status === 403 ? NONE : Promise.reject(error)));
const JSON_BODY = { "Content-Type": "application/json" };
export const part = encodeURIComponent;
export const sendJson = (path, body) => getJson(path, { method: "POST", headers: JSON_BODY, body: JSON.stringify(body) });
export const remove = (path) => request(path, { method: "DELETE" });

export const api = {
  ready: () => request("readyz"),
  tools: () => optional(getJson("v1/tools")),
  sessions: (limit, cursor) => getJson(`v1/sessions?limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`),
  session: (id) => getJson(`v1/sessions/${part(id)}`),
  documents: (limit, cursor) =>
    optional(getJson(`v1/documents?limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`)),
  document: (id, version) => getJson(`v1/documents/${part(id)}${version ? `?version=${part(version)}` : ""}`),
  deleteDocument: (id) => remove(`v1/documents/${part(id)}`),
  run: (id, signal) => getJson(`v1/runs/${part(id)}`, { signal }),
  approvals: () => optional(getJson("v1/approvals?status=pending&limit=50")),
  approval: (id) => getJson(`v1/approvals/${part(id)}`),
  decide: (id, decision) => sendJson(`v1/approvals/${part(id)}`, decision),
  feedback: (runId, said) => sendJson(`v1/runs/${part(runId)}/feedback`, said),
  cancel: (runId) => request(`v1/runs/${part(runId)}/cancel`, { method: "POST" }),

  /** Start a run; its body is the event stream. */
  chat: (body, signal) =>
    request("v1/chat/stream", {
      method: "POST",
      headers: { ...JSON_BODY, Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal,
    }),

  /** A run's events after `seq`, replayed and followed. */
  events: (runId, seq, signal) =>
    request(`v1/runs/${part(runId)}/events`, {
      headers: { Accept: "text/event-stream", ...(seq === null ? {} : { "Last-Event-ID": String(seq) }) },
      signal,
    }),

  /** Upload one file. `onSent` is told the part that has left, from 0 to 1. Resolves to the service's answer. */
  async upload(file, onSent) {
    for (;;) {
      const key = currentKey();
      const { status, text } = await post(file, key, onSent);
      if (status >= 200 && status < 300) return JSON.parse(text);
      if (status !== 401) throw problemFrom(status, text);
      if (!(await anotherKey(key))) throw new Problem(WITHOUT_KEY);
    }
  },
};

/** Post a file; unlike fetch, XMLHttpRequest tells how much of it has left. */
function post(file, key, onSent) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const call = new XMLHttpRequest();
    call.open("POST", "v1/documents");
    for (const [name, value] of Object.entries(bearer(key))) call.setRequestHeader(name, value);
    call.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onSent(event.loaded / event.total);
    });
    call.upload.addEventListener("load", () => onSent(1));
    call.addEventListener("load", () => resolve({ status: call.status, text: call.responseText }));
    call.addEventListener("error", () => reject(new Problem(UNREACHABLE)));
    call.send(form);
  });
}
