// @ts-check
/** Other places where one signs in, linked with one's account. */

import { change, get } from "./api.js";
import { dialog } from "./dialogs.js";
import { button, currentPassword, fill, form, h, moment, say } from "./dom.js";
import { session } from "./session.js";

/**
 * A list of them; null where this server offers none and none is linked.
 * @param {any} account
 * @returns {Promise<Node | null>}
 */
export async function elsewhereSection(account) {
  const offered = /** @type {{name: string, label: string}[]} */ (session.server.providers);
  const list = h("ul", { class: "rows" });

  async function show() {
    const { items } = await get("/account/external");
    const linked = new Map(items.map((/** @type {any} */ each) => [each.provider ?? each.issuer, each]));
    const rows = offered.map(({ name, label }) => row(name, label, linked.get(name), account, show));
    const others = items.filter((/** @type {any} */ each) => !offered.some(({ name }) => name === each.provider));
    fill(list, ...rows, ...others.map((/** @type {any} */ each) => h("li", { class: "quiet" }, each.issuer)));
  }

  await show();
  return list.children.length ? list : null;
}

/** @param {string} name @param {string} label @param {any} identity @param {any} account @param {() => unknown} refresh */
function row(name, label, identity, account, refresh) {
  const path = `/account/external/${encodeURIComponent(name)}`;
  const link = async (/** @type {object} */ json) => location.assign((await change("POST", path, json)).url);
  const unlink = async (/** @type {object} */ json) => {
    await change("DELETE", path, json);
    await refresh();
    say(`You do not sign in with ${label} any more.`);
  };
  const about = h("p", { class: "meta" }, ...(identity ? ["linked ", moment(identity.linkedAt)] : ["not linked"]));
  const text = identity ? "Unlink" : "Link";
  const act = button(text, () => reauthenticated(`${text} ${label}`, account, identity ? unlink : link));
  return h("li", {}, h("div", { class: "grow" }, h("span", { class: "name" }, label), about), act);
}

/** @param {string} title @param {any} account @param {(json: object) => Promise<void>} action */
function reauthenticated(title, account, action) {
  if (!account.hasPassword) return action({});
  return dialog(title, (close) => [
    form({
      submit: title,
      fields: [currentPassword(true)],
      action: async ({ currentPassword: typed }) => {
        await action({ currentPassword: typed });
        close();
      },
    }),
  ]);
}
