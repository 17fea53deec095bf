// @ts-check
/** What the links open that come by mail, from a person, from the console, or from where one signs in elsewhere. */

import { change, Problem, textOf } from "./api.js";
import { button, field, form, h, say } from "./dom.js";
import { begin, isSignedIn, load, session } from "./session.js";
import { account, accountFields, card } from "./welcome.js";

/** @typedef {import("./welcome.js").Actions} Actions */

/**
 * What the link opens that somebody came by.
 * @param {Actions} actions
 */
export async function linkView(actions) {
  const { kind, secret } = /** @type {{kind: string, secret: string}} */ (session.link);
  const over = () => (session.link = null);
  const later = button("Not now", () => (over(), actions.go("#/")));
  switch (kind) {
    case "setup":
      return setupView(secret, actions);
    case "invitation":
      return isSignedIn() ? invitationView(secret, actions, later) : invitedView();
    case "verify":
      over();
      return outcome("Your address is verified", "Invitations that were sent to it are among yours now.", () =>
        change("POST", "/account/email/verify", { secret }),
      );
    case "reset":
      return resetView(secret, actions);
    case "link": {
      over();
      const opened = await change("POST", "/links/open", { secret });
      actions.go(`#/documents/${encodeURIComponent(opened.documentId)}`);
      return card("Opening …");
    }
    case "linked":
      over();
      actions.go("#/account");
      say("You can sign in there from now on.");
      return card("Done");
    default:
      over();
      return card("That did not work", h("p", {}, errorText(secret)), home());
  }
}

function home() {
  return h(
    "div",
    { class: "actions" },
    h("a", { class: "button primary", href: "#/" }, isSignedIn() ? "To your documents" : "Sign in"),
  );
}

/** @param {string} title @param {string} text @param {() => Promise<unknown>} work */
async function outcome(title, text, work) {
  try {
    await work();
  } catch (error) {
    return card("That did not work", h("p", {}, textOf(error)), home());
  }
  return card(title, h("p", {}, text), home());
}

/** @param {string} secret @param {Actions} actions */
function setupView(secret, actions) {
  const entry = form({
    submit: "Create the administrator",
    fields: accountFields(),
    action: async (values) => {
      await begin("/setup", { ...account(values), secret });
      session.link = null;
      await actions.reload("Welcome! This server is yours now.");
    },
  });
  return card(
    "Set up this server",
    h("p", {}, "You are the first here. This account will administer the server."),
    entry,
  );
}

function invitedView() {
  const signUp = h("a", { class: "button primary", href: "#/sign-up" }, "Create an account");
  const signIn = h("a", { class: "button", href: "#/sign-in" }, "Sign in");
  return card(
    "You are invited",
    h("p", {}, "To accept, create an account, or sign in to the one you have."),
    h("div", { class: "actions" }, signUp, signIn),
  );
}

/** @param {string} secret @param {Actions} actions @param {Node} later */
function invitationView(secret, actions, later) {
  const accept = async () => {
    let accepted;
    try {
      accepted = await change("POST", "/invitations/open", { secret });
    } catch (error) {
      if (error instanceof Problem && error.status === 429) throw error;
      view.node.replaceWith(card("That did not work", h("p", {}, textOf(error)), home()).node);
      return;
    } finally {
      session.link = null;
    }
    actions.go(`#/documents/${encodeURIComponent(accepted.documentId)}`);
  };
  const text = `You are signed in as ${session.who.displayName}. Whoever accepts this invitation uses it up.`;
  const view = card(
    "You are invited",
    h("p", {}, text),
    h("div", { class: "actions" }, button("Accept", accept, { class: "primary" }), later),
  );
  return view;
}

/** @param {string} secret @param {Actions} actions */
function resetView(secret, actions) {
  const entry = form({
    submit: "Set the password",
    fields: [
      field("New password", {
        name: "newPassword",
        type: "password",
        autocomplete: "new-password",
        required: true,
        minlength: 10,
        maxlength: 256,
        autofocus: "",
        hint: "At least 10 characters. You will be signed out everywhere.",
      }),
    ],
    action: async ({ newPassword }) => {
      await change("POST", "/account/password/reset", { secret, newPassword });
      session.link = null;
      await load();
      actions.go("#/sign-in");
      say("Your password is changed. Sign in with it.");
    },
  });
  return card("Choose a new password", entry);
}

/** @type {Record<string, string>} */
const ERRORS = {
  sign_up_closed:
    "There is no account for you here yet, and accounts are by invitation. Ask somebody here to invite you.",
  account_locked: "This account is locked. Ask an administrator.",
  secret_invalid: "That took too long, or was done already. Please try again.",
  setup_required: "This server has no administrator yet. Open the link that it has printed.",
};

/** @param {string} code */
function errorText(code) {
  return (
    ERRORS[code] ??
    new Problem(400, { title: `Signing in elsewhere did not work (${code.slice(0, 64)})`, help: "Please try again." })
      .text
  );
}
