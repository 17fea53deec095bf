// @ts-check
/** Signing in and up, for those who are not signed in. */

import { change } from "./api.js";
import { button, field, form, h } from "./dom.js";
import { begin, session } from "./session.js";

/** @typedef {{go: (hash: string) => void, reload: (notice?: string) => Promise<void>}} Actions */

/** @param {string} title @param {...import("./dom.js").Child} content */
export function card(title, ...content) {
  return { title, node: h("section", { class: "card narrow" }, h("h1", { tabindex: "-1" }, title), ...content) };
}

/** @param {string} text @param {...import("./dom.js").Child} more */
function notice(text, ...more) {
  return h("p", { class: "notice" }, text, ...more);
}

/** What a link allows that is kept until one has signed in. */
function reasonToEnter() {
  if (session.link?.kind === "invitation") return notice("You are invited. Sign in, or create an account, to accept.");
  if (session.link?.kind === "link") return notice("Sign in to keep the shared document among yours.");
  return null;
}

function maySignUp() {
  return !session.server.needsSetup && (session.server.openSignUp || session.link?.kind === "invitation");
}

/** @param {Actions} actions */
export function signInView(actions) {
  if (session.server.needsSetup) return setupMissingView();
  const entry = form({
    submit: "Sign in",
    fields: [
      field("Handle or e-mail", {
        name: "name",
        autocomplete: "username",
        required: true,
        autofocus: "",
        autocapitalize: "none",
        spellcheck: "false",
      }),
      field("Password", { name: "password", type: "password", autocomplete: "current-password", required: true }),
    ],
    action: async ({ name, password }) => {
      await begin("/session", { name, password });
      await actions.reload();
    },
  });
  const signUp = maySignUp()
    ? h("p", {}, "New here? ", h("a", { href: "#/sign-up" }, "Create an account"))
    : h("p", { class: "quiet" }, "Accounts here are by invitation: ask somebody who has one to invite you.");
  const forgot = h("p", {}, h("a", { href: "#/forgot" }, "Forgot your password?"));
  return card("Sign in", reasonToEnter(), entry, ...providers(), h("div", { class: "links" }, signUp, forgot));
}

/** Buttons to sign in elsewhere. */
function providers() {
  const offered = /** @type {{name: string, label: string}[]} */ (session.server.providers);
  if (!offered.length) return [];
  const buttons = offered.map(({ name, label }) =>
    button(`Continue with ${label}`, async () => {
      const invitation = session.link?.kind === "invitation" ? session.link.secret : null;
      const { url } = await change("POST", `/session/external/${encodeURIComponent(name)}`, { invitation });
      location.assign(url);
    }),
  );
  return [h("p", { class: "or" }, "or"), h("div", { class: "stack" }, ...buttons)];
}

function setupMissingView() {
  return card(
    "Almost ready",
    h("p", {}, "This server has no administrator yet."),
    h("p", {}, "Open the link that ", h("code", {}, "coscribe serve"), " has printed in its terminal. It works once."),
    h(
      "p",
      { class: "quiet" },
      "No link in sight? Start the server again: it prints a new one until there is an administrator.",
    ),
  );
}

export function accountFields() {
  return [
    field("Your name", { name: "displayName", autocomplete: "name", required: true, maxlength: 128, autofocus: "" }),
    field("Handle", {
      name: "handle",
      autocomplete: "username",
      required: true,
      maxlength: 41,
      autocapitalize: "none",
      spellcheck: "false",
      hint: "Others find and invite you by it: letters, digits, dot, dash, underscore.",
    }),
    field("E-mail", {
      name: "email",
      type: "email",
      autocomplete: "email",
      hint: "For invitations, and to reset your password. A link is sent there first.",
    }),
    field("Password", {
      name: "password",
      type: "password",
      autocomplete: "new-password",
      required: true,
      minlength: 10,
      maxlength: 256,
      hint: "At least 10 characters. A few unusual words are best.",
    }),
  ];
}

/** @param {Record<string, string>} values */
export function account({ displayName, handle, email, password }) {
  const clean = handle.trim().replace(/^@/, "").toLowerCase();
  return { displayName: displayName.trim(), handle: clean, email: email.trim() || null, password };
}

/** @param {Actions} actions */
export function signUpView(actions) {
  if (session.server.needsSetup) return setupMissingView();
  const toSignIn = h("p", {}, "You have an account? ", h("a", { href: "#/sign-in" }, "Sign in"));
  if (!maySignUp()) {
    return card(
      "Create an account",
      notice("Accounts here are by invitation: ask somebody who has one to invite you."),
      toSignIn,
    );
  }
  const entry = form({
    submit: "Create account",
    fields: accountFields(),
    action: async (values) => {
      const isInvited = session.link?.kind === "invitation";
      await begin("/accounts", { ...account(values), invitation: isInvited ? session.link?.secret : null });
      if (isInvited) session.link = null;
      actions.go("#/");
      await actions.reload(values.email ? "Welcome! A link to verify your address is on its way." : "Welcome!");
    },
  });
  return card("Create an account", reasonToEnter(), entry, ...providers(), h("div", { class: "links" }, toSignIn));
}

export function forgotView() {
  const told = h("p", { class: "notice", role: "status", hidden: true });
  const entry = form({
    submit: "Send the link",
    fields: [field("E-mail", { name: "email", type: "email", autocomplete: "email", required: true, autofocus: "" })],
    action: async ({ email }) => {
      told.textContent = (await change("POST", "/account/password/ask-reset", { email: email.trim() })).detail;
      told.hidden = false;
    },
  });
  const text = "Type the address that you have verified. A link to choose a new password goes there.";
  return card(
    "Forgot your password?",
    h("p", {}, text),
    entry,
    told,
    h("div", { class: "links" }, h("a", { href: "#/sign-in" }, "Back to signing in")),
  );
}
