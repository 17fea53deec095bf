// @ts-check
/** A document: its text as it is at this moment, and editing. */

import { change, documentPath, get, Problem, textOf } from "./api.js";
import { exportDocument, rename } from "./documents.js";
import { button, fill, h, say } from "./dom.js";
import { Editor } from "./editor.js";
import { Live } from "./live.js";
import { accessToken, session } from "./session.js";
import { shareDialog } from "./share.js";

const STATES = { connecting: "Connecting …", live: "Live", offline: "No connection; trying again" };

/** @typedef {{go: (hash: string) => void}} Actions */

/** @param {string} documentId @param {Actions} actions */
export async function documentView(documentId, actions) {
  let item;
  try {
    item = await get(documentPath(documentId));
  } catch (error) {
    if (error instanceof Problem && error.code === "file_not_found") return missingView();
    throw error;
  }
  const view = new DocumentView(documentId, item.name, accessToken);
  view.setRole(item.role ?? "viewer");
  const isOwner = item.role === "owner" || session.who.administrator;
  const renamed = (/** @type {string} */ name) => view.setName(name.trim());
  const more = [
    (item.role === "owner" || item.role === "editor") &&
      item.status === "active" &&
      button("Rename", () => rename({ documentId, name: view.name }, renamed)),
    item.role && button("Export", () => exportDocument(documentId)),
    button(isOwner ? "Share" : "People", () => shareDialog({ documentId, name: view.name, isOwner }, actions)),
  ];
  view.addActions(more);
  if (item.status === "archived") view.tell("This document is archived: everybody can read it, nobody can edit it.");
  if (item.status === "trashed") view.tell("This document is in the trash: only owners see it.");
  view.start();
  return view.asView();
}

/** A shared document, for somebody without an account. @param {string} secret */
export async function guestView(secret) {
  const open = () => change("POST", "/links/open", { secret });
  let opened;
  try {
    opened = await open();
  } catch (error) {
    session.link = null;
    throw error;
  }
  let token = opened.accessToken;
  const fresh = async () => {
    const taken = token ?? (await open()).accessToken;
    token = null;
    return taken;
  };
  const view = new DocumentView(opened.documentId, opened.documentName, fresh);
  view.setRole("viewer");
  const what =
    opened.linkRole === "editor"
      ? "You can read this as a guest; with an account you can edit it."
      : "You read this as a guest.";
  const links = [h("a", { href: "#/sign-in" }, "Sign in")];
  if (session.server.openSignUp) links.push(h("a", { href: "#/sign-up" }, "Create an account"));
  view.tell(what, ...links);
  view.start();
  return view.asView();
}

function missingView() {
  const text =
    "It may have been deleted, or you are not among its members. Ask whoever sent you here to share it with you.";
  const back = h("div", { class: "actions" }, h("a", { class: "button primary", href: "#/" }, "To your documents"));
  const title = "There is no such document for you";
  return {
    title,
    node: h("section", { class: "card empty" }, h("h1", { tabindex: "-1" }, title), h("p", {}, text), back),
  };
}

class DocumentView {
  /** @param {string} documentId @param {string} name @param {() => Promise<string>} token */
  constructor(documentId, name, token) {
    this.documentId = documentId;
    this.name = name;
    this.role = "viewer";
    this.version = -1;
    /** @type {Editor | null} */
    this.editor = null;
    this.drawing = 0;
    this.shown = document.createTextNode("");
    this.reader = h("pre", { class: "text", tabindex: "0", "aria-busy": "true" }, this.shown);
    this.state = h("span", { class: "state", role: "status" });
    this.people = h("ul", { class: "people", "aria-label": "Who is here" });
    this.notice = h("p", { class: "notice", hidden: true });
    this.heading = h("h1", { tabindex: "-1" });
    this.edit = button("Edit", () => this.startEditing(), { class: "primary", hidden: true });
    this.actions = h("div", { class: "actions" }, this.edit);
    this.bar = h("div", { class: "bar" }, this.heading, this.actions);
    this.meta = h("div", { class: "meta" }, this.state, this.people);
    this.place = h("div", { class: "place" }, this.reader);
    this.node = h("section", { class: "document" }, this.bar, this.meta, this.notice, this.place);
    this.setName(name);
    this.live = new Live(documentId, token, {
      text: (_, version) => this.setVersion(version),
      state: (state) => this.setState(state),
      role: (role) => this.setRole(role),
      people: (people) => this.setPeople(people),
      ended: (problem) => this.end(problem),
    });
  }

  start() {
    this.live.start();
  }

  asView() {
    return {
      title: this.name,
      node: this.node,
      isDirty: () => this.editor?.isDirty ?? false,
      leave: () => {
        this.live.stop();
        this.editor?.leave();
      },
    };
  }

  /** @param {import("./dom.js").Child[]} more */
  addActions(more) {
    this.actions.append(.../** @type {Node[]} */ (more.filter(Boolean)));
  }

  /** @param {string} text @param {...Node} links */
  tell(text, ...links) {
    fill(this.notice, text, ...links.flatMap((link) => [" ", link]));
    this.notice.hidden = false;
  }

  /** @param {string} name */
  setName(name) {
    this.name = name;
    this.heading.textContent = name;
    this.reader.setAttribute("aria-label", `Text of ${name}`);
    document.title = `${name} · Coscribe`;
  }

  /** @param {string} role */
  setRole(role) {
    if (role !== this.role && this.version >= 0)
      say(`You are ${role === "viewer" ? "a viewer" : `an ${role}`} of this document now.`);
    this.role = role;
    this.editor?.setRole(role);
    this.showButtons();
  }

  /** @param {keyof typeof STATES} state */
  setState(state) {
    const viewing = state === "live" && this.role === "viewer" ? ", view only" : "";
    this.state.textContent = STATES[state] + viewing;
    this.state.dataset.state = state === "live" ? "good" : "waiting";
  }

  /** @param {import("./live.js").Person[]} people */
  setPeople(people) {
    const unique = new Map(people.map((each) => [each.userId, each]));
    const chips = [...unique.values()].map((each) => {
      const dot = h("span", { class: "dot" });
      dot.style.setProperty("background", each.color);
      return h("li", {}, dot, each.displayName);
    });
    fill(this.people, ...chips);
  }

  /** @param {number} version */
  setVersion(version) {
    this.version = version;
    this.editor?.take(this.live.text.value, version);
    this.showButtons();
    if (!this.drawing) this.drawing = requestAnimationFrame(() => this.draw());
  }

  /** Changes only what differs, so that a selection elsewhere in the text stays. */
  draw() {
    this.drawing = 0;
    const [before, after] = [this.shown.data, this.live.text.value];
    const most = Math.min(before.length, after.length);
    let start = 0;
    while (start < most && before[start] === after[start]) start++;
    let end = 0;
    while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
    this.shown.replaceData(start, before.length - start - end, after.slice(start, after.length - end));
    this.reader.classList.toggle("blank", after === "");
    this.reader.removeAttribute("aria-busy");
  }

  showButtons() {
    this.edit.hidden = this.role === "viewer" || this.version < 0 || this.editor !== null;
  }

  startEditing() {
    const text = this.live.text.value;
    const editor = new Editor({ documentId: this.documentId, name: this.name, text, version: this.version }, () =>
      this.stopEditing(),
    );
    this.editor = editor;
    const { scrollTop } = this.reader;
    fill(this.place, editor.notice, editor.area);
    this.actions.prepend(editor.buttons);
    this.meta.prepend(editor.status);
    this.showButtons();
    editor.area.setSelectionRange(0, 0);
    editor.area.focus();
    editor.area.scrollTop = scrollTop;
  }

  stopEditing() {
    const editor = this.editor;
    if (!editor) return;
    this.editor = null;
    const { scrollTop } = editor.area;
    editor.buttons.remove();
    editor.status.remove();
    editor.leave();
    fill(this.place, this.reader);
    this.reader.scrollTop = scrollTop;
    this.showButtons();
    (this.edit.hidden ? this.reader : this.edit).focus();
  }

  /** @param {Problem} problem */
  end(problem) {
    this.role = "viewer";
    this.version = -1;
    this.showButtons();
    this.shown.data = "";
    fill(this.people);
    this.reader.removeAttribute("aria-busy");
    this.state.textContent = "Closed";
    this.state.dataset.state = "bad";
    this.tell(`You cannot see this document any more. ${textOf(problem)}`);
    this.editor?.close();
  }
}
