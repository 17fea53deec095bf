// @ts-check
/** Sharing: members, invitations, links and bans of a document. Everything takes effect at once. */

import { change, documentPath, get, getAll, textOf } from "./api.js";
import { confirm, dialog, showOnce } from "./dialogs.js";
import { button, field, fill, form, h, moment, say, select } from "./dom.js";
import { session } from "./session.js";

/** @type {[string, string][]} */
const ROLES = [
  ["viewer", "can view"],
  ["editor", "can edit"],
  ["owner", "owns it"],
];

/** @typedef {{documentId: string, name: string, isOwner: boolean}} Shared */

/** @param {Shared} shared @param {{go: (hash: string) => void}} actions */
export function shareDialog(shared, actions) {
  return dialog(
    shared.isOwner ? `Share “${shared.name}”` : `People in “${shared.name}”`,
    (close) => new Sharing(shared, actions, close).nodes(),
    "wide",
  );
}

class Sharing {
  /** @param {Shared} shared @param {{go: (hash: string) => void}} actions @param {() => void} close */
  constructor(shared, actions, close) {
    this.shared = shared;
    this.actions = actions;
    this.close = close;
    this.members = h("ul", { class: "rows" });
    this.waiting = h("div", {});
    this.links = h("ul", { class: "rows" });
    this.banned = h("div", {});
  }

  /** @param {string[]} below */
  path(...below) {
    return documentPath(this.shared.documentId, ...below);
  }

  nodes() {
    void this.refresh();
    const people = h("section", {}, h("h3", {}, "Members"), this.members);
    if (!this.shared.isOwner) return [people];
    return [this.inviteForm(), people, this.waiting, this.linkSection(), this.banned];
  }

  async refresh() {
    try {
      const work = [this.showMembers()];
      if (this.shared.isOwner) work.push(this.showInvitations(), this.showLinks(), this.showBans());
      await Promise.all(work);
    } catch (error) {
      say(textOf(error));
    }
  }

  inviteForm() {
    const known = h("datalist", { id: "known-people" });
    const who = h("input", {
      type: "text",
      name: "who",
      required: true,
      list: "known-people",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      autofocus: "",
    });
    let timer = 0;
    who.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => suggest(who.value, known), 250);
    });
    return form({
      submit: "Invite",
      class: "inline",
      fields: [
        field("Invite", { element: who, hint: "A handle or an e-mail address, or several, with commas between." }),
        known,
        field("Role", { element: select("role", ROLES, "editor") }),
      ],
      action: async (values) => {
        const text = values.who.trim();
        if (/[,;\s]/.test(text)) await this.inviteMany(text, values.role);
        else
          await change(
            "POST",
            this.path("invitations"),
            { who: text.replace(/^@/, ""), role: values.role },
            { once: true },
          );
        who.value = "";
        await this.showInvitations();
        if (!/[,;\s]/.test(text)) say("Invited.");
      },
    });
  }

  /** @param {string} people @param {string} role */
  async inviteMany(people, role) {
    const { items } = await change("POST", this.path("invitations", "list"), { people, role }, { once: true });
    const count = items.filter((/** @type {any} */ each) => each.outcome === "invited").length;
    const others = items.filter((/** @type {any} */ each) => each.outcome !== "invited");
    const told = others.map((/** @type {any} */ each) => `${each.text}: ${each.outcome.replaceAll("_", " ")}`);
    say([`${count} invited.`, ...told].join(" "));
  }

  async showMembers() {
    const items = await getAll(this.path("members"));
    fill(this.members, ...items.map((member) => this.memberRow(member)));
  }

  /** @param {any} member */
  memberRow(member) {
    const isMe = member.memberId === session.who.userId;
    const dot = h("span", { class: "dot" });
    if (member.color) dot.style.setProperty("background", member.color);
    const kind = member.kind === "visitor" ? ", by a link" : member.kind === "group" ? ", a group" : "";
    const about = [member.handle ? `@${member.handle}` : "", kind, isMe ? " (you)" : ""].join("");
    const name = h(
      "div",
      { class: "grow" },
      h("span", { class: "name" }, dot, member.name),
      h("p", { class: "meta" }, about),
    );
    const path = this.path("members", member.memberId);
    if (!this.shared.isOwner || member.kind === "visitor") {
      const role = ROLES.find(([key]) => key === member.role)?.[1];
      const remove = this.shared.isOwner && button("Remove", () => this.remove(member, path));
      return h("li", {}, name, h("span", { class: `badge ${member.role}` }, role), remove);
    }
    const choices = member.kind === "group" ? ROLES.slice(0, 2) : ROLES;
    const role = select("role", choices, member.role, { "aria-label": `Role of ${member.name}` });
    role.addEventListener("change", async () => {
      try {
        await change("PUT", path, { role: role.value });
        say(`${member.name} ${ROLES.find(([key]) => key === role.value)?.[1]} now.`);
      } catch (error) {
        say(textOf(error));
      }
      await this.refresh();
    });
    return h(
      "li",
      {},
      name,
      role,
      isMe ? button("Leave", () => this.leave()) : button("Remove", () => this.remove(member, path)),
    );
  }

  /** @param {any} member @param {string} path */
  async remove(member, path) {
    if (
      !(await confirm(
        `Remove ${member.name}?`,
        "Their access ends at once; what they have not saved stays with them.",
        "Remove",
      ))
    )
      return;
    const left = await change("DELETE", path);
    await this.refresh();
    const still = left.remaining ?? left.byLink;
    if (still && member.kind !== "group")
      await this.offerBan(
        member,
        left.remaining ? "a group still lets them in" : "a link that they know would let them in again",
      );
    else say(`${member.name} is removed.`);
  }

  /** @param {any} member @param {string} why */
  async offerBan(member, why) {
    const text = `${member.name} is removed, but ${why}. You can keep them out until you change your mind.`;
    if (!(await confirm(`Keep ${member.name} out?`, text, "Keep out"))) return;
    await change("PUT", this.path("bans", member.memberId));
    await this.refresh();
  }

  async leave() {
    if (
      !(await confirm(
        "Leave this document?",
        "You will not see it any more, until somebody lets you in again.",
        "Leave",
      ))
    )
      return;
    await change("POST", this.path("leave"));
    this.close();
    this.actions.go("#/");
  }

  async showInvitations() {
    const items = await getAll(this.path("invitations"));
    const rows = items.map((item) => {
      const withdraw = async () => {
        await change("DELETE", this.path("invitations", item.invitationId));
        await this.showInvitations();
        say("Withdrawn.");
      };
      const who = item.user ? `${item.user.displayName} (@${item.user.handle})` : item.email;
      const until = h("p", { class: "meta" }, `as ${item.role}, ends `, moment(item.expiresAt));
      return h(
        "li",
        {},
        h("div", { class: "grow" }, h("span", { class: "name" }, who), until),
        button("Withdraw", withdraw),
      );
    });
    fill(
      this.waiting,
      rows.length > 0 && h("section", {}, h("h3", {}, "Invited, no answer yet"), h("ul", { class: "rows" }, ...rows)),
    );
  }

  linkSection() {
    const make = (/** @type {string} */ role) => async () => {
      const made = await change("POST", this.path("links"), { role }, { once: true });
      await this.showLinks();
      const what = role === "editor" ? "edit, with an account" : "view";
      await showOnce(
        "A link to share",
        `Whoever has it can ${what}, until you switch it off. It is shown only this once.`,
        made.url,
      );
    };
    const buttons = [button("New link to view", make("viewer")), button("New link to edit", make("editor"))];
    return h("section", {}, h("h3", {}, "Links"), this.links, h("div", { class: "actions" }, ...buttons));
  }

  async showLinks() {
    const { items } = await get(this.path("links"));
    const rows = items.map((/** @type {any} */ link) => {
      const off = async () => {
        if (!(await confirm("Switch this link off?", "Whoever has only the link is out at once.", "Switch off")))
          return;
        await change("DELETE", this.path("links", link.linkId));
        await this.refresh();
        say("The link is off.");
      };
      const text = link.role === "editor" ? "Whoever has it can edit" : "Whoever has it can view";
      const used = link.visitors === 1 ? "1 person came by it" : `${link.visitors} people came by it`;
      const about = h(
        "p",
        { class: "meta" },
        "made ",
        moment(link.createdAt),
        `, ${used}`,
        link.expiresAt && ", ends ",
        link.expiresAt && moment(link.expiresAt),
      );
      return h(
        "li",
        {},
        h("div", { class: "grow" }, h("span", { class: "name" }, text), about),
        button("Switch off", off),
      );
    });
    fill(this.links, ...(rows.length ? rows : [h("li", { class: "quiet" }, "No link is on.")]));
  }

  async showBans() {
    const items = await getAll(this.path("bans"));
    const rows = items.map(({ user }) => {
      const lift = async () => {
        await change("DELETE", this.path("bans", user.userId));
        await this.refresh();
      };
      return h(
        "li",
        {},
        h(
          "div",
          { class: "grow" },
          h("span", { class: "name" }, user.displayName),
          h("p", { class: "meta" }, `@${user.handle}`),
        ),
        button("Let in again", lift),
      );
    });
    fill(
      this.banned,
      rows.length > 0 && h("section", {}, h("h3", {}, "Kept out"), h("ul", { class: "rows" }, ...rows)),
    );
  }
}

/** People whose name begins like what is typed. @param {string} typed @param {Element} list */
async function suggest(typed, list) {
  const query = typed.trim().replace(/^@/, "");
  if (query.length < 2 || /[,;@\s]/.test(query)) return;
  try {
    const { items } = await get(`/users?${new URLSearchParams({ query, limit: "8" })}`);
    fill(list, ...items.map((/** @type {any} */ each) => h("option", { value: each.handle }, each.displayName)));
  } catch {
    fill(list); // only a help: without it one types on
  }
}
