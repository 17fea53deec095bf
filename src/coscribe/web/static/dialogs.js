// @ts-check
/** Dialogs, on the browser's own: they hold the focus, end with Escape and give the focus back. */

import { button, field, form, h } from "./dom.js";

/**
 * Opens a dialog and takes it out of the page when it closes.
 * @param {string} title
 * @param {(close: () => void) => Node[]} content
 * @param {string} [kind] a class
 * @returns {Promise<string>} when it has closed: its return value
 */
export function dialog(title, content, kind = "") {
  const element = /** @type {HTMLDialogElement} */ (h("dialog", { class: kind, "aria-labelledby": "dialog-title" }));
  const close = () => element.close();
  const cross = h("button", { type: "button", class: "cross", "aria-label": "Close", onclick: close }, "×");
  const bar = h("div", { class: "bar" }, h("h2", { id: "dialog-title", tabindex: "-1" }, title), cross);
  element.append(bar, ...content(close), h("div", { class: "toast", role: "status" }));
  document.body.append(element);
  return new Promise((resolve) => {
    element.addEventListener("close", () => {
      element.remove();
      resolve(element.returnValue);
    });
    element.showModal();
    (element.querySelector("[autofocus]") ?? bar.firstElementChild).focus();
  });
}

/** Asks before something that cannot be taken back. @param {string} title @param {string} text @param {string} yes */
export async function confirm(title, text, yes) {
  const answer = await dialog(title, (close) => [
    h("p", {}, text),
    h(
      "div",
      { class: "actions" },
      button("Cancel", close, { autofocus: "" }),
      button(yes, (event) => closest(event).close("yes"), { class: "danger" }),
    ),
  ]);
  return answer === "yes";
}

/**
 * Asks for something in a form; `action` may refuse.
 * @param {string} title
 * @param {{label: string, value?: string, submit: string, text?: string, input?: Record<string, any>}} options
 * @param {(value: string) => unknown} action
 */
export function ask(title, { label, value = "", submit, text, input = {} }, action) {
  return dialog(title, (close) => [
    ...(text ? [h("p", {}, text)] : []),
    form({
      submit,
      fields: [field(label, { name: "value", value, required: true, autofocus: "", autocomplete: "off", ...input })],
      action: async (values) => {
        await action(values.value);
        close();
      },
    }),
  ]);
}

/** Shows something that cannot be shown again. @param {string} title @param {string} text @param {string} secret */
export function showOnce(title, text, secret) {
  return dialog(title, (close) => {
    const shown = h("input", { type: "text", value: secret, readOnly: true, class: "secret", "aria-label": title });
    shown.addEventListener("focus", () => shown.select());
    const copyIt = async () => {
      await navigator.clipboard.writeText(secret);
      said.textContent = "Copied.";
    };
    const said = h("p", { class: "hint", role: "status" });
    const actions = [button("Copy", copyIt, { class: "primary", autofocus: "" }), button("Done", close)];
    return [h("p", {}, text), shown, said, h("div", { class: "actions" }, ...actions)];
  });
}

/** @param {Event} event */
function closest(event) {
  return /** @type {HTMLDialogElement} */ (/** @type {Element} */ (event.target).closest("dialog"));
}
