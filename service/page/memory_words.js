// How a remembered record is spoken of.

import { el, when } from "./dom.js";

const TRUST = { stated: "stated by a person", inferred: "inferred by a model", imported: "imported", untrusted: "untrusted" };
const STATUS = { proposed: "proposed", rejected: "rejected", superseded: "replaced by another", retracted: "taken back" };
const CHANGES = { rolled_back: "rolled back", superseded: "replaced" };

export const trustOf = ({ trust }) => TRUST[trust] ?? trust;

/** What a record says. The text may be written from right to left, and is nobody's but its own. */
export const said = ({ id, text }) => el("span", { class: "said", dir: "auto", "data-memory": id }, text);

export const aboutWhom = ({ subject }) => (subject.type === "tenant" ? "all of us" : `${subject.type} ${subject.id}`);

/** Why it does not count now, or ""; until when it does, if there is an end. */
export function standing({ status, valid_from, valid_until, expires_at }) {
  if (status !== "active") return STATUS[status] ?? status;
  const end = [valid_until, expires_at].filter(Boolean).sort()[0];
  if (end) return new Date(end) <= new Date() ? "no longer valid" : `until ${when(end)}`;
  return valid_from && new Date(valid_from) > new Date() ? `from ${when(valid_from)} on` : "";
}

/** What made a version, and when. */
export function madeBy({ version, change, changed_by, restores, created_at }) {
  const did = CHANGES[change] ?? change;
  const to = change === "rolled_back" ? (restores ? ` to version ${restores}` : " to nothing") : "";
  return [`Version ${version}`, `${did}${to} by ${changed_by}`, when(created_at)].join(" · ");
}

/** In a line: since when, what kind, how much it is trusted, whether it counts. */
export function line(record, mine) {
  const since = `${record.version > 1 ? "changed" : "since"} ${when(record.created_at)}`;
  return [since, record.kind, trustOf(record), mine ? "" : `about ${aboutWhom(record)}`, standing(record)].filter(Boolean).join(" · ");
}
