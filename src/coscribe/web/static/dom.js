// @ts-check
/** Building the page. Text is always text: nothing here turns a string into markup. */

import { Problem, textOf } from "./api.js";

/** @typedef {Node | string | null | undefined | false} Child */

/** What is no attribute. The values of inputs are: so a form goes back to them when it is emptied. */
const PROPERTIES = new Set(["checked", "disabled", "hidden", "readOnly", "required", "open", "multiple"]);
let lastId = 0;

/**
 * An element. Functions become listeners (`onclick`), the rest attributes.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name) || (name === "value" && tag === "textarea"))
      /** @type {any} */ (element)[name] = value;
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...present(children));
  return element;
}

/** @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function present(children) {
  return /** @type {(Node | string)[]} */ (
    children.filter((child) => child !== null && child !== undefined && child !== false)
  );
}

/** Says something to everybody, whether they see the page or hear it. @param {string} text */
export function say(text) {
  const here = [...document.querySelectorAll("dialog[open] > .toast")].pop() ?? document.getElementById("status");
  const status = /** @type {HTMLElement} */ (here);
  status.textContent = text;
  status.classList.add("shown");
  clearTimeout(Number(status.dataset.timer));
  status.dataset.timer = String(setTimeout(() => status.classList.remove("shown"), 6000));
}

/**
 * A button that does one thing at a time and says what went wrong.
 * @param {string} text
 * @param {(event: Event) => unknown} action
 * @param {Record<string, any>} [attributes]
 */
export function button(text, action, attributes = {}) {
  const element = h("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", async (/** @type {Event} */ event) => {
    if (element.getAttribute("aria-disabled") === "true") return;
    element.setAttribute("aria-disabled", "true");
    try {
      await action(event);
    } catch (error) {
      say(textOf(error));
    } finally {
      element.removeAttribute("aria-disabled");
    }
  });
  return element;
}

/**
 * A labelled input.
 * @param {string} label
 * @param {Record<string, any>} attributes of the input; `hint` explains it, `element` is another input to use
 */
export function field(label, { hint, element, ...attributes }) {
  const id = `f${++lastId}`;
  const input = element ?? h("input", { type: "text", ...attributes });
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  const optional = input.required || input.type === "search" || input.tagName === "SELECT" ? "" : " (optional)";
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label, optional && h("span", { class: "quiet" }, optional)),
    input,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}

/** What those who have a password are asked for again. @param {boolean} hasPassword */
export function currentPassword(hasPassword) {
  const input = { name: "currentPassword", type: "password", autocomplete: "current-password", required: true };
  return hasPassword && field("Your present password", input);
}

/** @param {string} name @param {[string, string][]} options value and text @param {string} value @param {Record<string, any>} [more] */
export function select(name, options, value, more = {}) {
  const choices = options.map(([key, text]) => h("option", { value: key, selected: key === value }, text));
  return h("select", { name, ...more }, ...choices);
}

/**
 * A form that sends once, shows what was refused and keeps what was typed.
 * @param {{submit: string, fields: Child[], action: (values: Record<string, string>, form: HTMLFormElement) => unknown, class?: string}} options
 * @returns {HTMLFormElement}
 */
export function form({ submit, fields, action, ...more }) {
  const alert = h("p", { class: "alert", role: "alert", hidden: true });
  const send = h("button", { type: "submit", class: "primary" }, submit);
  const element = h("form", { class: more.class ?? "stack" }, ...fields, alert, send);
  element.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (send.getAttribute("aria-disabled") === "true") return;
    send.setAttribute("aria-disabled", "true");
    alert.hidden = true;
    for (const input of element.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    try {
      const values = Object.fromEntries(new FormData(element));
      await action(/** @type {Record<string, string>} */ (values), element);
    } catch (error) {
      alert.textContent = textOf(error);
      alert.hidden = false;
      markInvalid(element, error);
    } finally {
      send.removeAttribute("aria-disabled");
    }
  });
  return element;
}

/** The fields that each refusal is about. @type {Record<string, string[]>} */
const ABOUT = {
  handle_taken: ["handle"],
  password_refused: ["newPassword", "password"],
  wrong_credentials: ["currentPassword", "password"],
  reauthentication_required: ["currentPassword"],
};

/** @param {HTMLFormElement} element @param {unknown} error */
function markInvalid(element, error) {
  if (!(error instanceof Problem)) return;
  const names = [...(ABOUT[error.code] ?? []), ...error.errors.flatMap((each) => each.in)];
  for (const name of names) {
    const input = element.elements.namedItem(name);
    if (input instanceof HTMLElement) {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
  }
}

/** A moment, as far away as it is. @param {string} iso */
export function moment(iso) {
  const date = new Date(iso);
  return h("time", { datetime: iso, title: date.toLocaleString() }, away(date.getTime() - Date.now()));
}

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** @param {number} milliseconds */
function away(milliseconds) {
  /** @type {[Intl.RelativeTimeFormatUnit, number][]} */
  const units = [
    ["year", 31_536_000_000],
    ["month", 2_592_000_000],
    ["day", 86_400_000],
    ["hour", 3_600_000],
    ["minute", 60_000],
  ];
  for (const [unit, length] of units) {
    if (Math.abs(milliseconds) >= length) return RELATIVE.format(Math.round(milliseconds / length), unit);
  }
  return "just now";
}

/** Gives a file to the person. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** @param {string} text */
export async function copy(text) {
  await navigator.clipboard.writeText(text);
  say("Copied.");
}
