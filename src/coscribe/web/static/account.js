// @ts-check
/** One's own account. */

import { change, get, send } from "./api.js";
import { confirm, dialog } from "./dialogs.js";
import { button, currentPassword, download, field, fill, form, h, moment, say } from "./dom.js";
import { elsewhereSection } from "./elsewhere.js";
import { begin, load, session } from "./session.js";
import { tokensSection } from "./tokens.js";

/** @typedef {{go: (hash: string) => void, reload: (notice?: string) => Promise<void>}} Actions */

const NEW_PASSWORD = { type: "password", autocomplete: "new-password", required: true, minlength: 10, maxlength: 256 };

/** @param {Actions} actions */
export async function accountView(actions) {
  const account = await get("/account");
  const sessions = h("ul", { class: "rows" });
  const showSessions = async () => {
    const { items } = await get("/sessions");
    fill(sessions, ...items.map((/** @type {any} */ item) => sessionRow(item, showSessions)));
  };
  const [tokens, elsewhere] = await Promise.all([tokensSection(), elsewhereSection(account), showSessions()]);
  const node = h(
    "section",
    { class: "page settings" },
    h("h1", { tabindex: "-1" }, "Your account"),
    part("Profile", profileForm(account, actions)),
    part("E-mail", ...email(account)),
    part(account.hasPassword ? "Password" : "Set a password", passwordForm(account, actions)),
    part(
      "Where you are signed in",
      sessions,
      h(
        "div",
        { class: "actions" },
        button("Sign out everywhere", () => signOutEverywhere(actions)),
      ),
    ),
    elsewhere && part("Signing in elsewhere", elsewhere),
    part("API tokens", ...tokens),
    part("Your data", ...data(account, actions)),
  );
  return { title: "Your account", node };
}

/** @param {string} title @param {...import("./dom.js").Child} content */
export function part(title, ...content) {
  return h("section", { class: "card" }, h("h2", {}, title), ...content);
}

/** @param {any} account @param {Actions} actions */
function profileForm(account, actions) {
  const discoverable = h("input", {
    type: "checkbox",
    name: "discoverable",
    id: "discoverable",
    checked: account.discoverable,
  });
  return form({
    submit: "Save the profile",
    fields: [
      field("Your name", {
        name: "displayName",
        value: account.displayName,
        required: true,
        maxlength: 128,
        autocomplete: "name",
      }),
      field("Handle", {
        name: "handle",
        value: account.handle,
        required: true,
        maxlength: 41,
        autocapitalize: "none",
        spellcheck: "false",
      }),
      field("Colour", {
        name: "color",
        type: "color",
        value: account.color,
        required: true,
        hint: "Of your name, where others see you.",
      }),
      h(
        "div",
        { class: "check" },
        discoverable,
        h("label", { for: "discoverable" }, "Others can find me by searching"),
      ),
    ],
    action: async (values) => {
      const handle = values.handle.trim().replace(/^@/, "").toLowerCase();
      const json = {
        displayName: values.displayName.trim(),
        handle,
        color: values.color,
        discoverable: discoverable.checked,
      };
      await change("PATCH", "/account", json);
      await actions.reload("Your profile is saved.");
    },
  });
}

/** @param {any} account */
function email(account) {
  const state = h("p", {});
  const show = (/** @type {string | null} */ unverified) => {
    const verified = account.email
      ? [h("strong", {}, account.email), " ", h("span", { class: "badge good" }, "verified")]
      : [];
    const open = unverified
      ? [
          h("strong", {}, unverified),
          " ",
          h("span", { class: "badge warn" }, "not verified: open the link in the mail"),
        ]
      : [];
    const both = verified.length && open.length ? [h("br")] : [];
    fill(
      state,
      ...(verified.length + open.length
        ? [...verified, ...both, ...open]
        : ["No address yet. With one you can reset your password and be invited by mail."]),
    );
  };
  show(account.unverifiedEmail);
  const entry = form({
    submit: "Send a link to it",
    fields: [
      field(account.email ? "Another address" : "Address", {
        name: "email",
        type: "email",
        autocomplete: "email",
        required: true,
      }),
      currentPassword(account.hasPassword),
    ],
    action: async (values, element) => {
      const asked = values.email.trim();
      const { detail } = await change("PUT", "/account/email", {
        email: asked,
        currentPassword: values.currentPassword ?? "",
      });
      element.reset();
      show(asked.toLowerCase());
      say(detail);
    },
  });
  return [state, entry];
}

/** @param {any} account @param {Actions} actions */
function passwordForm(account, actions) {
  return form({
    submit: account.hasPassword ? "Change the password" : "Set the password",
    fields: [
      h("input", {
        type: "text",
        autocomplete: "username",
        value: account.handle,
        hidden: true,
        "aria-hidden": "true",
      }),
      currentPassword(account.hasPassword),
      field("New password", {
        name: "newPassword",
        ...NEW_PASSWORD,
        hint: "At least 10 characters. You will be signed out everywhere else.",
      }),
    ],
    action: async (values) => {
      await begin(
        "/account/password",
        { currentPassword: values.currentPassword ?? "", newPassword: values.newPassword },
        "PUT",
      );
      await actions.reload("Your password is changed.");
    },
  });
}

/** @param {any} item @param {() => unknown} refresh */
function sessionRow(item, refresh) {
  const end = async () => {
    await change("DELETE", `/sessions/${encodeURIComponent(item.sessionId)}`);
    await refresh();
    say("That session has ended.");
  };
  const used = h("p", { class: "meta" }, item.address || "address not known", ", used ", moment(item.usedAt));
  const last = item.current
    ? h("span", { class: "badge good" }, "this one")
    : button("End", end, { "aria-label": `End the session of ${browser(item.client)}` });
  return h("li", {}, h("div", { class: "grow" }, h("span", { class: "name" }, browser(item.client)), used), last);
}

/** A browser's name for itself, in short. @param {string} client */
function browser(client) {
  const names = ["Edg", "OPR", "Firefox", "Chrome", "Safari"];
  const found = names.find((name) => client.includes(`${name}/`));
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) => client.includes(name));
  const shown = { Edg: "Edge", OPR: "Opera" }[found ?? ""] ?? found;
  return shown ? `${shown}${system ? ` on ${system}` : ""}` : client || "a program";
}

/** @param {Actions} actions */
async function signOutEverywhere(actions) {
  if (
    !(await confirm(
      "Sign out everywhere?",
      "Every session ends, this one too. API tokens stay.",
      "Sign out everywhere",
    ))
  )
    return;
  await change("DELETE", "/sessions");
  await actions.reload("You are signed out everywhere.");
}

/** @param {any} account @param {Actions} actions */
function data(account, actions) {
  const exportIt = async () =>
    download(await (await send("GET", "/account/export")).blob(), `coscribe-${account.handle}.json`);
  return [
    h("p", {}, "Everything that is stored about you, without the texts: those are exported document by document."),
    h(
      "div",
      { class: "actions" },
      button("Export my data", exportIt),
      button("Delete my account", () => deleteAccount(account, actions), { class: "danger" }),
    ),
  ];
}

/** @param {any} account @param {Actions} actions */
function deleteAccount(account, actions) {
  const text =
    "Your account goes for good, and documents that nobody else has. What you wrote in other documents stays, by nobody.";
  return dialog("Delete your account?", (close) => [
    h("p", {}, text),
    form({
      submit: "Delete my account",
      class: "stack dangerous",
      fields: [currentPassword(account.hasPassword)],
      action: async (values) => {
        await change("POST", "/account/delete", { currentPassword: values.currentPassword ?? null });
        close();
        session.link = null;
        await load();
        actions.go("#/");
        say("Your account is deleted.");
      },
    }),
  ]);
}
