// @ts-check
/** API tokens, for bots and agents. */

import { change, get } from "./api.js";
import { confirm, showOnce } from "./dialogs.js";
import { button, field, fill, form, h, moment, say, select } from "./dom.js";

/** @type {[string, string][]} */
const SCOPES = [
  ["read", "read"],
  ["edit", "read and edit"],
  ["manage", "all that you may do with documents"],
];

/** @returns {Promise<Node[]>} */
export async function tokensSection() {
  const list = h("ul", { class: "rows" });
  const documents = (await get("/documents?limit=100")).items.map((/** @type {any} */ each) => [
    each.documentId,
    each.name,
  ]);

  async function show() {
    const { items } = await get("/account/tokens");
    const rows = items.map((/** @type {any} */ token) => row(token, documents, show));
    fill(list, ...(rows.length ? rows : [h("li", { class: "quiet" }, "No tokens.")]));
  }

  const entry = form({
    submit: "Create a token",
    fields: [
      field("Name", {
        name: "name",
        required: true,
        maxlength: 128,
        hint: "What will use it, for example: release bot",
      }),
      field("It may", { element: select("scope", SCOPES, "edit") }),
      field("In", { element: select("documentId", [["", "all my documents"], ...documents], "") }),
      field("Days it lasts", { name: "days", type: "number", min: 1, max: 365, value: 90, required: true }),
    ],
    action: async (values, element) => {
      const json = {
        name: values.name,
        scope: values.scope,
        days: Number(values.days),
        documentId: values.documentId || null,
      };
      const made = await change("POST", "/account/tokens", json, { once: true });
      element.reset();
      await show();
      await showOnce(
        "Your new token",
        "Keep it where only your program reads it. It is shown only this once.",
        made.secret,
      );
    },
  });
  await show();
  return [h("p", {}, "A token lets a program do what you may do, and no more."), list, entry];
}

/** @param {any} token @param {[string, string][]} documents @param {() => unknown} refresh */
function row(token, documents, refresh) {
  const revoke = async () => {
    if (!(await confirm(`Revoke “${token.name}”?`, "Whatever uses it is out at once.", "Revoke"))) return;
    await change("DELETE", `/account/tokens/${encodeURIComponent(token.tokenId)}`);
    await refresh();
    say("Revoked.");
  };
  const isOver = token.revokedAt !== null || new Date(token.expiresAt).getTime() < Date.now();
  const end = token.revokedAt !== null ? ["revoked ", moment(token.revokedAt)] : ["ends ", moment(token.expiresAt)];
  const used = token.usedAt ? ["used ", moment(token.usedAt)] : ["not used yet"];
  const where =
    token.documentId === null
      ? "all documents"
      : (documents.find(([id]) => id === token.documentId)?.[1] ?? token.documentId);
  const about = h(
    "p",
    { class: "meta" },
    h("code", {}, `${token.prefix}…`),
    ` ${token.scope}, ${where}, `,
    ...end,
    ", ",
    ...used,
  );
  const last = isOver
    ? h("span", { class: "badge" }, "over")
    : button("Revoke", revoke, { "aria-label": `Revoke ${token.name}` });
  return h("li", {}, h("div", { class: "grow" }, h("span", { class: "name" }, token.name), about), last);
}
