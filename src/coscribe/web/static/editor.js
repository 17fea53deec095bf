// @ts-check
/** Editing: a textarea that saves. What was typed stays in it until it is saved, copied or thrown away on purpose. */

import { Problem, textOf } from "./api.js";
import { confirm } from "./dialogs.js";
import { button, copy, download, fill, h } from "./dom.js";
import { Draft } from "./draft.js";
import { carry } from "./text.js";

export class Editor {
  /**
   * @param {{documentId: string, name: string, text: string, version: number}} start
   * @param {() => void} done called when editing ends
   */
  constructor(start, done) {
    this.draft = new Draft(start.documentId, start.text, start.version);
    this.name = start.name;
    this.done = done;
    this.mayEdit = true;
    this.isSaving = false;
    this.area = h("textarea", {
      class: "text",
      "aria-label": `Text of ${start.name}`,
      spellcheck: "true",
      value: start.text,
    });
    this.status = h("span", { class: "state", role: "status" });
    this.notice = h("div", { class: "notice", role: "alert", hidden: true });
    const save = button("Save", () => this.save(), { class: "primary", title: "Ctrl+S" });
    const end = button("Done", () => this.finish());
    this.buttons = h(
      "div",
      { class: "actions" },
      save,
      end,
      button("Discard", () => this.discard()),
    );
    this.area.addEventListener("input", () => this.show());
    this.area.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.save();
    });
    this.show();
  }

  get isDirty() {
    return this.area.value !== this.draft.text;
  }

  show() {
    if (this.isSaving) return;
    this.status.textContent = this.isDirty ? "Not saved yet" : "Saved";
    this.status.dataset.state = this.isDirty ? "waiting" : "good";
  }

  /** @param {string} role that one has from here on */
  setRole(role) {
    const mayEdit = role === "owner" || role === "editor";
    if (mayEdit === this.mayEdit) return;
    this.mayEdit = mayEdit;
    if (mayEdit) this.notice.hidden = true;
    else this.warn("You may only view this document now. What you have typed stays here: copy it before you leave.");
  }

  /** The document is out of reach. */
  close() {
    this.warn("It cannot be saved now. What you have typed stays here: copy it before you leave.");
  }

  /**
   * Others have written. It is taken in at once where nothing is typed, else when this is saved.
   * @param {string} text
   * @param {number} version
   */
  take(text, version) {
    if (version <= this.draft.version || this.isSaving) return;
    if (this.isDirty) {
      this.status.textContent = "Not saved yet; what others have written meanwhile stays when you save";
      return;
    }
    const before = this.draft.text;
    this.draft.text = text;
    this.draft.version = version;
    this.adopt(before, text);
  }

  /** @param {string} text */
  warn(text) {
    const keep = [
      button("Copy my text", () => copy(this.area.value)),
      button("Download it", () => download(new Blob([this.area.value], { type: "text/plain" }), `${this.name}.txt`)),
    ];
    fill(this.notice, h("p", {}, text), h("div", { class: "actions" }, ...keep));
    this.notice.hidden = false;
  }

  /** @returns {Promise<boolean>} whether everything is saved now */
  async save() {
    if (this.isSaving) return false;
    this.isSaving = true;
    this.area.readOnly = true;
    this.status.textContent = "Saving …";
    this.status.dataset.state = "waiting";
    const typed = this.area.value;
    try {
      const merged = await this.draft.save(typed, (problem) => this.wait(problem));
      this.notice.hidden = true;
      if (merged === null) this.done();
      else this.adopt(typed, merged);
      return true;
    } catch (error) {
      this.refused(error);
      return false;
    } finally {
      this.isSaving = false;
      this.area.readOnly = this.draft.unsettled !== null;
      this.show();
    }
  }

  /** @param {Problem} problem */
  wait(problem) {
    this.status.textContent = "Not known yet whether it is saved; trying again";
    this.warn(`${problem.text} Nothing you typed is lost. It is being sent again until the server has answered.`);
  }

  /** @param {unknown} error */
  refused(error) {
    const ended =
      error instanceof Problem && error.status === 401 ? " You can sign in in another tab, then save here." : "";
    const what = this.draft.unsettled ? "It is not known whether it was saved." : "It was not saved.";
    this.warn(`${what} ${textOf(error)}${ended} What you have typed stays here.`);
  }

  /** The text with what others wrote, the caret where it was. @param {string} typed @param {string} merged */
  adopt(typed, merged) {
    if (typed === merged) return;
    const { selectionStart, selectionEnd, scrollTop } = this.area;
    this.area.value = merged;
    this.area.setSelectionRange(carry(typed, merged, selectionStart), carry(typed, merged, selectionEnd));
    this.area.scrollTop = scrollTop;
  }

  async finish() {
    if (!this.isDirty || (await this.save())) this.done();
  }

  async discard() {
    if (
      !this.isDirty ||
      (await confirm("Discard your changes?", "What you have typed since the last save is lost.", "Discard"))
    )
      this.done();
  }

  leave() {
    this.draft.giveUp();
  }
}
