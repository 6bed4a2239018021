// Long-term memory over HTTP.

import { getJson, part, remove, sendJson } from "./api.js";

const PAGE = 30;

const query = (values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.map(([name, value]) => `${name}=${part(value)}`).join("&");
};

export const memory = {
  /** Records, the newest first; `mine`: only what is about the user who asks. */
  list: ({ mine, status, cursor }) =>
    getJson(`v1/memory?${query({ limit: PAGE, subject_type: mine ? "user" : "", status, cursor })}`),
  history: (id, cursor) => getJson(`v1/memory/${part(id)}/history?${query({ limit: PAGE, cursor })}`),
  rollBackRecord: (id, toVersion, seen) =>
    sendJson(`v1/memory/${part(id)}/rollback`, { to_version: toVersion, expected_version: seen }),
  decide: (id, decision, seen) => sendJson(`v1/memory/${part(id)}/decision`, { decision, expected_version: seen }),
  forget: (id, seen) => remove(`v1/memory/${part(id)}?${query({ expected_version: seen })}`),
  rollBack: (what, dryRun) => sendJson("v1/memory/rollback", { ...what, dry_run: dryRun }),
  snapshots: () => getJson("v1/memory/snapshots"),
  snapshot: (name) => sendJson("v1/memory/snapshots", { name }),
};
