// @ts-check
/** The list of documents, and the invitations that wait for an answer. */

import { change, documentPath, get, newKey, send, textOf } from "./api.js";
import { ask, confirm } from "./dialogs.js";
import { button, download, fill, h, moment, say } from "./dom.js";

/** What each list asks for. @type {Record<string, {text: string, query: string, empty: string}>} */
const LISTS = {
  all: { text: "All", query: "", empty: "No documents yet. Create the first one, or import text files." },
  mine: { text: "Mine", query: "which=mine", empty: "You own no documents yet." },
  shared: { text: "Shared with me", query: "which=shared", empty: "Nobody has shared a document with you yet." },
  recent: { text: "Recent", query: "which=recent", empty: "What you open is listed here." },
  archived: { text: "Archived", query: "status=archived", empty: "Nothing is archived." },
  trash: { text: "Trash", query: "status=trashed", empty: "The trash is empty." },
};

/** @typedef {{go: (hash: string) => void}} Actions */

/** @param {string} which @param {Actions} actions */
export async function documentsView(which, actions) {
  const name = which in LISTS ? which : "all";
  const list = LISTS[name];
  const rows = h("ul", { class: "rows" });
  const below = h("div", { class: "below" });
  const inbox = h("div", {});
  let query = "";
  let turn = 0;

  async function refresh() {
    const mine = ++turn;
    const found = await page(list.query, query, "");
    if (mine !== turn) return;
    rows.replaceChildren();
    await show(found);
  }

  /** @param {any} found */
  async function show(found) {
    rows.append(...found.items.map((/** @type {any} */ each) => row(each, actions, refresh)));
    const empty = query ? `No document has “${query}” in its name.` : list.empty;
    const more = button("Show more", async () => show(await page(list.query, query, found.nextCursor)));
    fill(below, !rows.children.length && h("p", { class: "empty" }, empty), found.nextCursor && more);
  }

  const search = h("input", { type: "search", placeholder: "Find by name", "aria-label": "Find by name" });
  let timer = 0;
  search.addEventListener("input", () => {
    query = search.value.trim();
    clearTimeout(timer);
    timer = setTimeout(() => refresh().catch((error) => say(textOf(error))), 200);
  });

  const tabs = Object.entries(LISTS).map(([key, { text }]) =>
    h("a", { href: key === "all" ? "#/" : `#/list/${key}`, "aria-current": key === name && "page" }, text),
  );
  const create = button("New document", () => createDocument(actions), { class: "primary" });
  const node = h(
    "section",
    { class: "page" },
    inbox,
    h(
      "div",
      { class: "bar" },
      h("h1", { tabindex: "-1" }, "Documents"),
      h("div", { class: "actions" }, importButton(refresh), create),
    ),
    h("div", { class: "bar" }, h("nav", { class: "tabs", "aria-label": "Which documents" }, ...tabs), search),
    rows,
    below,
  );
  const showInbox = async () => fill(inbox, ...(await invitations(actions, showInbox)));
  const look = () => {
    if (document.visibilityState === "visible") showInbox().catch(() => {});
  };
  addEventListener("focus", look);
  await Promise.all([refresh(), showInbox()]);
  return { title: "Documents", node, leave: () => removeEventListener("focus", look) };
}

/** @param {string} list @param {string} query @param {string} cursor */
function page(list, query, cursor) {
  const more = new URLSearchParams(list);
  if (query) more.set("query", query);
  if (cursor) more.set("cursor", cursor);
  return get(`/documents?${more}`);
}

/** @param {any} item @param {Actions} actions @param {() => unknown} refresh */
function row(item, actions, refresh) {
  const href = `#/documents/${encodeURIComponent(item.documentId)}`;
  const isGone = item.status === "trashed";
  const title = isGone ? h("span", { class: "name" }, item.name) : h("a", { class: "name", href }, item.name);
  const when = isGone ? ["in the trash since ", moment(item.trashedAt)] : ["edited ", moment(item.editedAt)];
  const role = item.role ? h("span", { class: `badge ${item.role}` }, item.role) : null;
  const state = item.status === "archived" ? h("span", { class: "badge" }, "archived") : null;
  return h(
    "li",
    {},
    h("div", { class: "grow" }, title, h("p", { class: "meta" }, role, state, h("span", {}, ...when))),
    menu(`Actions for ${item.name}`, documentActions(item, actions, refresh)),
  );
}

/** @param {string} label @param {Node[]} entries */
export function menu(label, entries) {
  return h(
    "details",
    { class: "menu" },
    h("summary", { "aria-label": label }, "⋯"),
    h("div", { class: "entries" }, ...entries),
  );
}

/**
 * What one may do with a document, by role and state.
 * @param {any} item
 * @param {Actions} actions
 * @param {() => unknown} refresh
 * @param {boolean} [isManager] an administrator may, without a role
 */
export function documentActions(item, actions, refresh, isManager = item.role === "owner") {
  const path = (/** @type {string[]} */ ...below) => documentPath(item.documentId, ...below);
  const set = (/** @type {string} */ what, /** @type {string} */ said) => async () => {
    await change("POST", path(what));
    await refresh();
    say(said);
  };
  const entries = [];
  if (item.status === "active" && (item.role === "owner" || item.role === "editor"))
    entries.push(button("Rename", () => rename(item, refresh)));
  if (item.status !== "trashed" && item.role) {
    entries.push(
      button("Duplicate", () => duplicate(item, actions)),
      button("Export", () => exportDocument(item.documentId)),
    );
  }
  if (isManager) {
    if (item.status === "active")
      entries.push(button("Archive", set("archive", "Archived: everybody can read it, nobody can edit it.")));
    if (item.status !== "active") entries.push(button("Restore", set("restore", "Restored.")));
    if (item.status !== "trashed") entries.push(button("Move to trash", set("trash", "Moved to the trash.")));
    if (item.status === "trashed")
      entries.push(button("Delete for good", () => deleteForGood(item, refresh), { class: "danger" }));
  } else if (item.role) {
    entries.push(button("Leave", () => leaveDocument(item, refresh)));
  }
  return entries;
}

/** @param {Actions} actions */
function createDocument(actions) {
  return ask(
    "New document",
    { label: "Name", value: "Untitled", submit: "Create", input: { maxlength: 256 } },
    async (name) => {
      const made = await change("POST", "/documents", { name }, { once: true });
      actions.go(`#/documents/${encodeURIComponent(made.documentId)}`);
    },
  );
}

/** @param {any} item @param {(name: string) => unknown} done */
export function rename(item, done) {
  return ask(
    "Rename",
    { label: "Name", value: item.name, submit: "Rename", input: { maxlength: 256 } },
    async (name) => {
      const present = await send("GET", documentPath(item.documentId));
      const headers = { "If-Match": present.headers.get("ETag") ?? "" };
      await change("PATCH", documentPath(item.documentId), { name }, { headers });
      await done(name);
    },
  );
}

/** @param {any} item @param {Actions} actions */
async function duplicate(item, actions) {
  const made = await change("POST", documentPath(item.documentId, "duplicate"), undefined, { once: true });
  actions.go(`#/documents/${encodeURIComponent(made.documentId)}`);
}

/** @param {any} item @param {() => unknown} refresh */
async function deleteForGood(item, refresh) {
  const text = `“${item.name}” goes with its whole history, for everybody. This cannot be taken back.`;
  if (!(await confirm("Delete for good?", text, "Delete for good"))) return;
  await change("DELETE", documentPath(item.documentId));
  await refresh();
  say("Deleted.");
}

/** @param {any} item @param {() => unknown} refresh */
async function leaveDocument(item, refresh) {
  const text = `You will not see “${item.name}” any more, until somebody lets you in again.`;
  if (!(await confirm("Leave this document?", text, "Leave"))) return;
  await change("POST", documentPath(item.documentId, "leave"));
  await refresh();
}

/** @param {string} documentId */
export async function exportDocument(documentId) {
  const response = await send("GET", documentPath(documentId, "content"), { headers: { Accept: "text/plain" } });
  const [, name] = /filename\*=UTF-8''(\S+)/.exec(response.headers.get("Content-Disposition") ?? "") ?? [];
  download(await response.blob(), name ? decodeURIComponent(name) : "document.txt");
}

/** @param {() => unknown} refresh */
function importButton(refresh) {
  const input = h("input", {
    type: "file",
    multiple: true,
    accept: "text/*,.md,.txt,.csv,.json,.tex,.py,.js",
    hidden: true,
  });
  const choose = button("Import", () => input.click());
  input.addEventListener("change", async () => {
    const chosen = [...input.files];
    input.value = "";
    const refused = [];
    for (const [index, file] of chosen.entries()) {
      say(`Importing ${index + 1} of ${chosen.length}: ${file.name}`);
      try {
        const headers = { "Idempotency-Key": newKey() };
        await send("POST", `/documents/import?${new URLSearchParams({ name: file.name.slice(0, 256) })}`, {
          body: await file.arrayBuffer(),
          headers,
        });
      } catch (error) {
        refused.push(`${file.name}: ${textOf(error)}`);
      }
    }
    const done = chosen.length - refused.length;
    say([done ? `${done} imported.` : "", ...refused].join(" ").trim());
    await Promise.resolve(refresh()).catch((error) => say(textOf(error)));
  });
  return h("span", {}, choose, input);
}

/** @param {Actions} actions @param {() => unknown} refresh @returns {Promise<Node[]>} */
async function invitations(actions, refresh) {
  const { items } = await get("/invitations");
  return items.map((/** @type {any} */ item) => {
    const path = `/invitations/${encodeURIComponent(item.invitationId)}`;
    const accept = async () => {
      const accepted = await change("POST", `${path}/accept`);
      actions.go(`#/documents/${encodeURIComponent(accepted.documentId)}`);
    };
    const decline = async () => {
      await change("POST", `${path}/decline`);
      await refresh();
      say("Declined.");
    };
    const text = [
      h("strong", {}, item.inviter),
      " invites you to ",
      h("strong", {}, `“${item.documentName}”`),
      ` as ${item.role}.`,
    ];
    const buttons = h(
      "div",
      { class: "actions" },
      button("Accept", accept, { class: "primary" }),
      button("Decline", decline),
    );
    return h("section", { class: "card invitation", "aria-label": "Invitation" }, h("p", {}, ...text), buttons);
  });
}
