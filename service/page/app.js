// The page: puts its parts together and listens to the keyboard.

import { api, Problem, UNREACHABLE } from "./api.js";
import { ApprovalCard } from "./approval.js";
import { Conversation } from "./conversation.js";
import { byId, el } from "./dom.js";
import { offerToForget, onLateKey } from "./key.js";
import { Library } from "./library.js";
import { Panel } from "./panel.js";
import { loadSessions, markCurrent, sessionInAddress } from "./sessions.js";

const EXAMPLES = 3;
const KNOCK_MS = 3000;
const PENDING_MS = 5000;

const message = byId("message");
const panel = new Panel(byId("panel"), { onDeleted: () => refresh() });
const library = new Library({
  onOpen: (document, opener) => panel.showDocument(document, opener),
  onChange: () => showExamples(),
});
let memoryPanel = null;
/** Its part of the page is loaded when it is asked for. */
async function memory() {
  const { MemoryPanel } = await import("./memory.js").catch(() => Promise.reject(new Problem(UNREACHABLE)));
  return (memoryPanel ??= new MemoryPanel(panel));
}

const onSource = (source, claims, opener) => panel.showSource(source, claims, opener);
const conversation = new Conversation({
  onSource,
  onMemory: (id, opener) => attempt(async () => (await memory()).showRecord(id, opener)),
  onBusy: showBusy,
  onRun: () => attempt(() => Promise.all([loadSessions(), countPending()])),
  onRefused: (question) => {
    message.value = question;
    fitMessage();
    message.focus();
  },
});

/** Do something that needs the service; when it is away, say so until it is back. */
async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.status === 0) waitForService();
    else if (error.name !== "AbortError") showError(error);
    return undefined;
  }
}

const refresh = () => attempt(() => Promise.all([countPending(), loadSessions(), library.load().then(() => showExamples())]));

function showError(error) {
  if ([...document.querySelectorAll("#main > .passing p")].some((shown) => shown.textContent === error.message)) return;
  const notice = el("div", { class: "notice passing", role: "alert" }, el("p", {}, error.message));
  notice.append(el("button", { type: "button", onclick: () => notice.remove() }, "Close"));
  byId("main").prepend(notice);
}

let knocking = 0;

function waitForService() {
  byId("offline").hidden = false;
  clearTimeout(knocking);
  knocking = setTimeout(knock, KNOCK_MS);
}

async function knock() {
  clearTimeout(knocking);
  try {
    await api.ready();
  } catch {
    waitForService();
    return;
  }
  byId("offline").hidden = true;
  await refresh();
  if (conversation.isEmpty) await showAddressed();
}

async function countPending() {
  const { items, next_cursor, forbidden } = await api.approvals();
  if (forbidden) clearInterval(watch);
  byId("open-approvals").hidden = !items.length;
  byId("open-approvals").lastChild.textContent = items.length + (next_cursor ? "+" : "");
}

async function showPending({ currentTarget }) {
  const { items } = await api.approvals();
  panel.showApprovals(items.map((item) => new ApprovalCard(item, onSource)), currentTarget);
}

function showBusy(state) {
  const focused = document.activeElement;
  byId("ask").hidden = state !== "idle";
  byId("stop").hidden = state === "idle";
  byId("stop").disabled = state === "stopping";
  byId("stop").textContent = state === "stopping" ? "Stopping" : "Stop";
  if (state === "busy" && focused === byId("ask")) byId("stop").focus();
  if (state === "idle" && focused === byId("stop")) message.focus();
}

/** Questions that this service can answer: examples of its reading tools, and its documents. */
async function showExamples() {
  if (!conversation.isEmpty) return;
  const [tools, documents] = await Promise.all([api.tools(), api.documents(EXAMPLES)]);
  const asked = tools.items.filter(({ effect }) => effect === "read").flatMap(({ examples }) => (examples ?? []).slice(0, 1));
  const about = documents.items.map(({ title }) => `What is in ${title}?`);
  const questions = [...asked.slice(0, EXAMPLES - Math.min(about.length, 1)), ...about].slice(0, EXAMPLES);
  const signs = questions.map((question) =>
    el("button", { type: "button", class: "sign", onclick: () => ask(question) }, question),
  );
  if (!signs.length || !(documents.items.length || documents.forbidden)) {
    signs.unshift(el("button", { type: "button", class: "sign", onclick: () => byId("files").click() }, "Add your first document"));
  }
  byId("examples").replaceChildren(...signs.map((sign) => el("li", {}, sign)));
}

async function ask(question) {
  panel.close();
  await conversation.ask(question);
}

/** A session that is not there is no place to ask in: say so on an empty page. */
async function leaveMissing(error) {
  if (error.status !== 404) throw error;
  history.replaceState(null, "", "#");
  byId("empty").hidden = false;
  await conversation.show(null);
  throw error;
}

async function showAddressed() {
  panel.close();
  showRail(false);
  markCurrent();
  document.querySelectorAll("#main > .passing").forEach((notice) => notice.remove());
  const id = sessionInAddress();
  byId("empty").hidden = Boolean(id);
  await attempt(() => conversation.show(id).catch(leaveMissing));
  if (!sessionInAddress()) await attempt(showExamples);
}

function showRail(open) {
  const was = byId("rail").classList.toggle("open", open);
  byId("open-rail").setAttribute("aria-expanded", String(was));
  byId("main").inert = open;
  if (open) byId("close-rail").focus();
}

function fitMessage() {
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = message.value.trim();
  if (!question || conversation.busy) return;
  message.value = "";
  fitMessage();
  ask(question);
});
message.addEventListener("input", fitMessage);
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("composer").requestSubmit();
});
byId("open-approvals").addEventListener("click", (event) => attempt(() => showPending(event)));
const watch = setInterval(() => document.hidden || countPending().catch(() => {}), PENDING_MS);
byId("open-memory").addEventListener("click", ({ currentTarget }) => attempt(async () => (await memory()).showTimeline(currentTarget)));
byId("stop").addEventListener("click", () => conversation.stop());
byId("try-now").addEventListener("click", knock);
byId("open-rail").addEventListener("click", () => showRail(true));
byId("close-rail").addEventListener("click", () => (showRail(false), byId("open-rail").focus()));
addEventListener("click", ({ target }) => {
  const inside = target.closest("#rail, #open-rail");
  if (!inside || target.closest("#rail a, #documents button, #open-memory")) showRail(false);
});
addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || !byId("rail").classList.contains("open")) return;
  showRail(false);
  byId("open-rail").focus();
});
addEventListener("hashchange", showAddressed);
onLateKey(() => {
  document.querySelectorAll("#main > .passing").forEach((notice) => notice.remove());
  refresh();
  if (sessionInAddress() && conversation.isEmpty) showAddressed();
});

offerToForget();

refresh();
showAddressed();
