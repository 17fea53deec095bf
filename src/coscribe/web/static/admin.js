// @ts-check
/** For administrators: accounts, invitations to make one, all documents. */

import { change, get, textOf } from "./api.js";
import { confirm, showOnce } from "./dialogs.js";
import { documentActions, menu } from "./documents.js";
import { button, field, fill, form, h, moment, say } from "./dom.js";
import { session } from "./session.js";

/** @typedef {{go: (hash: string) => void, reload: (notice?: string) => Promise<void>}} Actions */

/** @param {string} which @param {Actions} actions */
export async function adminView(which, actions) {
  const isDocuments = which === "documents";
  const content = isDocuments ? await documents(actions) : await people(actions);
  const tabs = h(
    "nav",
    { class: "tabs", "aria-label": "What to administer" },
    h("a", { href: "#/admin", "aria-current": !isDocuments && "page" }, "People"),
    h("a", { href: "#/admin/documents", "aria-current": isDocuments && "page" }, "All documents"),
  );
  const title = "Administration";
  return { title, node: h("section", { class: "page" }, h("h1", { tabindex: "-1" }, title), tabs, ...content) };
}

/**
 * A list that is searched and paged.
 * @param {string} path
 * @param {string} label
 * @param {string} empty
 * @param {(item: any, refresh: () => Promise<void>) => Node} row
 */
async function searched(path, label, empty, row) {
  const rows = h("ul", { class: "rows" });
  const below = h("div", { class: "below" });
  const search = h("input", { type: "search", placeholder: label, "aria-label": label });
  let turn = 0;

  /** @param {string} cursor */
  async function load(cursor) {
    const mine = ++turn;
    const found = await get(`${path}?${new URLSearchParams({ query: search.value.trim(), cursor })}`);
    if (mine !== turn) return;
    if (!cursor) rows.replaceChildren();
    rows.append(...found.items.map((/** @type {any} */ item) => row(item, () => load(""))));
    fill(
      below,
      !rows.children.length && h("p", { class: "empty" }, empty),
      found.nextCursor && button("Show more", () => load(found.nextCursor)),
    );
  }

  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => load("").catch((error) => say(textOf(error))), 200);
  });
  await load("");
  return [h("div", { class: "bar" }, search), rows, below];
}

/** @param {Actions} actions */
async function people(actions) {
  const waiting = h("div", {});
  const showWaiting = async () => fill(waiting, ...(await invitations(showWaiting)));
  const list = await searched("/admin/users", "Find people", "Nobody is called that.", (user, refresh) =>
    userRow(user, actions, refresh),
  );
  await showWaiting();
  return [...list, inviteForm(showWaiting), waiting];
}

/** @param {any} user @param {Actions} actions @param {() => Promise<void>} refresh */
function userRow(user, actions, refresh) {
  const path = `/admin/users/${encodeURIComponent(user.userId)}`;
  const isMe = user.userId === session.who.userId;
  const set = async (/** @type {object} */ json, /** @type {string} */ said) => {
    await change("PATCH", path, json);
    say(said);
    await (isMe ? actions.reload() : refresh());
  };
  const name = user.displayName;
  const lock = async () => {
    const text = `${name} loses every session, token and live connection at once. Their documents stay.`;
    if (await confirm(`Lock ${name}?`, text, "Lock")) await set({ locked: true }, `${name} is locked.`);
  };
  const demote = async () => {
    if (await confirm(`Take ${name}'s administration away?`, "They stay a member of this server.", "Take away"))
      await set({ administrator: false }, `${name} does not administer any more.`);
  };
  const signOut = async () => {
    if (
      !(await confirm(
        `Sign ${name} out?`,
        "Every session of theirs ends, and their API tokens are revoked.",
        "Sign out",
      ))
    )
      return;
    await change("POST", `${path}/sign-out`);
    say(`${name} is signed out everywhere.`);
  };
  const entries = [
    user.administrator
      ? button("Take administration away", demote)
      : button("Make administrator", () => set({ administrator: true }, `${name} administers this server now.`)),
    button("Sign out everywhere", signOut),
    user.status === "locked"
      ? button("Unlock", () => set({ locked: false }, `${name} is unlocked.`))
      : button("Lock", lock, { class: "danger" }),
  ];
  const badges = [
    user.administrator && h("span", { class: "badge owner" }, "administrator"),
    user.status === "locked" && h("span", { class: "badge warn" }, "locked"),
  ];
  const about = h(
    "p",
    { class: "meta" },
    ...badges,
    h("span", {}, `@${user.handle}`),
    user.email && h("span", {}, user.email),
    h("span", {}, "since ", moment(user.createdAt)),
  );
  return h(
    "li",
    {},
    h("div", { class: "grow" }, h("span", { class: "name" }, name, isMe ? " (you)" : ""), about),
    menu(`Actions for ${name}`, entries),
  );
}

/** @param {() => Promise<void>} refresh */
function inviteForm(refresh) {
  const entry = form({
    submit: "Invite",
    class: "inline",
    fields: [
      field("E-mail", {
        name: "email",
        type: "email",
        autocomplete: "off",
        hint: "Left empty, you get a link to pass on.",
      }),
    ],
    action: async (values, element) => {
      const made = await change("POST", "/admin/invitations", { email: values.email.trim() || null }, { once: true });
      element.reset();
      await refresh();
      if (made.url)
        await showOnce(
          "An invitation",
          "Whoever opens this link can make an account, once, within 14 days. It is shown only this once.",
          made.url,
        );
      else say("The invitation is on its way.");
    },
  });
  return h("section", { class: "card" }, h("h2", {}, "Invite somebody to this server"), entry);
}

/** @param {() => Promise<void>} refresh */
async function invitations(refresh) {
  const { items } = await get("/admin/invitations?limit=100");
  if (!items.length) return [];
  const rows = items.map((/** @type {any} */ item) => {
    const withdraw = async () => {
      await change("DELETE", `/admin/invitations/${encodeURIComponent(item.invitationId)}`);
      await refresh();
      say("Withdrawn.");
    };
    const about = h("p", { class: "meta" }, `by ${item.inviter || "an administrator"}, ends `, moment(item.expiresAt));
    return h(
      "li",
      {},
      h("div", { class: "grow" }, h("span", { class: "name" }, item.email ?? "A link"), about),
      button("Withdraw", withdraw),
    );
  });
  return [h("section", {}, h("h2", {}, "Invited, no account yet"), h("ul", { class: "rows" }, ...rows))];
}

/** @param {Actions} actions */
function documents(actions) {
  return searched("/admin/documents", "Find documents by name", "There is no such document.", (item, refresh) => {
    const state = item.status === "active" ? null : h("span", { class: "badge" }, item.status);
    const about = h(
      "p",
      { class: "meta" },
      state,
      h("span", {}, "edited ", moment(item.editedAt)),
      h("code", {}, item.documentId),
    );
    const name = h("div", { class: "grow" }, h("span", { class: "name" }, item.name), about);
    return h("li", {}, name, menu(`Actions for ${item.name}`, documentActions(item, actions, refresh, true)));
  });
}
