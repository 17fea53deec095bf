// @ts-check
/** The page: takes secrets out of the address, asks who is here, and shows what the address names. */

import { accountView } from "./account.js";
import { adminView } from "./admin.js";
import { change, textOf, whenSignedOut } from "./api.js";
import { linkView } from "./arrival.js";
import { confirm } from "./dialogs.js";
import { documentView, guestView } from "./document.js";
import { documentsView } from "./documents.js";
import { button, fill, h, say } from "./dom.js";
import { isSignedIn, load, session, takeFragment } from "./session.js";
import { forgotView, signInView, signUpView } from "./welcome.js";

/**
 * @typedef {object} View
 * @property {string} title
 * @property {Node} node
 * @property {() => boolean} [isDirty] whether something typed would be lost
 * @property {() => void} [leave]
 */

const ENTRANCES = /^#\/(sign-in|sign-up|forgot)$/;

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const header = /** @type {HTMLElement} */ (document.getElementById("header"));
/** @type {View | null} */
let view = null;
let place = "";
let turn = 0;

takeFragment();

addEventListener("hashchange", () => void moved());
addEventListener("beforeunload", (event) => {
  if (view?.isDirty?.()) event.preventDefault();
});
document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("click", (event) => closeMenus(/** @type {Node} */ (event.target)));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus(null);
});
whenSignedOut(() => {
  if (view?.isDirty?.()) return; // what was typed stays in sight; the view says why it was refused
  const wasSignedIn = isSignedIn();
  void restart(wasSignedIn ? "You have been signed out." : "");
});
void restart();

/** @param {Node | null} target */
function closeMenus(target) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (target && menu.contains(target)) continue;
    if (!target && menu.contains(document.activeElement)) menu.querySelector("summary")?.focus();
    menu.removeAttribute("open");
  }
}

async function moved() {
  if (view?.isDirty?.() && !(await mayLeave())) {
    history.replaceState(null, "", place);
    return;
  }
  takeFragment();
  await show();
}

function mayLeave() {
  const text = "What you have typed here is not saved. If you leave, it is lost.";
  return confirm("Leave without saving?", text, "Leave");
}

/** Asks anew who is here. @param {string} [notice] */
async function restart(notice = "") {
  try {
    await load();
  } catch (error) {
    showHeader();
    put({ title: "Not reachable", node: trouble(textOf(error), () => restart(notice)) });
    return;
  }
  await show();
  if (notice) say(notice);
}

async function show() {
  const mine = ++turn;
  view?.leave?.();
  view = null;
  if (isSignedIn() && ENTRANCES.test(location.hash)) history.replaceState(null, "", "#/");
  place = location.hash || location.pathname;
  showHeader();
  fill(main, h("p", { class: "loading" }, "Loading …"));
  /** @type {View} */
  let next;
  try {
    next = await choose();
  } catch (error) {
    next = { title: "That did not work", node: trouble(textOf(error), show) };
  }
  if (mine === turn) put(next);
  else next.leave?.();
}

/** @param {View} next */
function put(next) {
  view = next;
  fill(main, next.node);
  document.title = `${next.title} · Coscribe`;
  const start = main.querySelector("[autofocus]") ?? main.querySelector("h1") ?? main;
  if (start instanceof HTMLElement) start.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** @returns {View | Promise<View>} */
function choose() {
  const actions = { reload: restart, go, ask: restart };
  if (session.link?.kind === "link" && !isSignedIn() && !isEntering()) return guestView(session.link.secret);
  if (session.link && !(isEntering() && !isSignedIn())) return linkView(actions);
  const [name, argument = ""] = location.hash.replace(/^#\//, "").split("/");
  if (!isSignedIn()) {
    if (name === "sign-up") return signUpView(actions);
    if (name === "forgot") return forgotView();
    return signInView(actions);
  }
  if (name === "documents" && argument) return documentView(decodeURIComponent(argument), actions);
  if (name === "account") return accountView(actions);
  if (name === "admin" && session.who.administrator) return adminView(argument, actions);
  return documentsView(name === "list" ? argument : "all", actions);
}

/** Whether somebody with an invitation or a shared link is about to sign in or up. */
function isEntering() {
  const isForEntering = session.link?.kind === "link" || session.link?.kind === "invitation";
  return isForEntering && ENTRANCES.test(location.hash);
}

/** @param {string} hash */
function go(hash) {
  if (location.hash === hash || (hash === "#/" && location.hash === "")) void show();
  else location.hash = hash;
}

function showHeader() {
  const brand = h(
    "a",
    { class: "brand", href: "#/" },
    h("img", { src: "/assets/icon.svg", alt: "", width: 28, height: 28 }),
    "Coscribe",
  );
  if (!isSignedIn()) {
    fill(header, brand);
    return;
  }
  const [here = ""] = location.hash.replace(/^#\//, "").split("/");
  const link = (/** @type {string} */ name, /** @type {string} */ text) =>
    h(
      "a",
      { href: `#/${name}`, "aria-current": (here === "list" || here === "documents" ? "" : here) === name && "page" },
      text,
    );
  const pages = [link("", "Documents"), link("account", "Account")];
  if (session.who.administrator) pages.push(link("admin", "Administration"));
  const dot = h("span", { class: "dot" });
  dot.style.setProperty("background", session.who.color);
  const me = h("span", { class: "me" }, dot, session.who.displayName);
  fill(
    header,
    brand,
    h("nav", { "aria-label": "Pages" }, ...pages),
    me,
    button("Sign out", signOut, { class: "plain" }),
  );
}

async function signOut() {
  if (view?.isDirty?.() && !(await mayLeave())) return;
  await change("DELETE", "/session");
  view?.leave?.();
  view = null;
  history.replaceState(null, "", location.pathname);
  await restart("You are signed out.");
}

/** @param {string} text @param {() => unknown} again */
function trouble(text, again) {
  return h(
    "section",
    { class: "card empty" },
    h("h1", { tabindex: "-1" }, "That did not work"),
    h("p", {}, text),
    h(
      "div",
      { class: "actions" },
      button("Try again", again, { class: "primary" }),
      h("a", { href: "#/" }, "To the documents"),
    ),
  );
}
