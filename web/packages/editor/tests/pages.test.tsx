import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { setArrival } from "../src/arrival";
import { WELCOME_NAME } from "../src/welcome_text";
import {
  ACCOUNT,
  ANN,
  type Asked,
  DOCUMENT,
  expectAccessible,
  FakeApi,
  page,
  problem,
  SERVER,
  showApp,
} from "./support";

const SOON = { timeout: 10_000 };
const ADMIN = { ...ANN, administrator: true };
const TOKEN = {
  tokenId: "tok_1",
  name: "release bot",
  prefix: "cst_ab",
  scope: "edit",
  documentId: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  expiresAt: "2126-01-01T00:00:00.000Z",
  usedAt: null,
  revokedAt: null,
};
const SESSION = {
  sessionId: "ses_1",
  kind: "browser",
  client: "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0",
  address: "127.0.0.1",
  createdAt: "2026-01-01T00:00:00.000Z",
  usedAt: "2026-01-01T00:00:00.000Z",
  expiresAt: "2026-03-01T00:00:00.000Z",
  current: false,
};

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi();
});

function signedIn(who: object = ANN): FakeApi {
  return api
    .on("GET /session", who)
    .on("GET /account", ACCOUNT)
    .on("GET /documents", page(DOCUMENT))
    .on("GET /account/tokens", page(TOKEN))
    .on("GET /sessions", page(SESSION))
    .on("GET /admin/users", page({ ...ACCOUNT, status: "active" }))
    .on("GET /admin/documents", page(DOCUMENT));
}

const heading = (name: string) => screen.findByRole("heading", { level: 1, name }, SOON);

test.each([
  ["/sign-in", "Sign in"],
  ["/account", "Sign in"],
  ["/sign-up", "Create an account"],
  ["/reset", "Forgot your password?"],
  ["/setup", "This link does not work any more"],
  ["/verify", "This link does not work any more"],
  ["/invite", "This link does not work any more"],
  ["/link", "This link does not work any more"],
  ["/nowhere", "There is no such page"],
])("%s, for nobody, is “%s”", async (at, title) => {
  showApp(at);
  await heading(title);
  expect(document.title).toBe(`${title} · Coscribe`);
  await expectAccessible();
});

test.each([
  ["/", "Documents"],
  ["/?list=trash", "Documents"],
  ["/account", "Your account"],
  ["/account/sessions", "Signing in"],
  ["/account/tokens", "API tokens"],
  ["/admin/users", "Administration"],
  ["/admin/invitations", "Administration"],
  ["/admin/documents", "Administration"],
  ["/admin/events", "Administration"],
  ["/admin/keys", "Administration"],
  ["/admin/nothing", "There is no such page"],
])("%s, for an administrator, is “%s”", async (at, title) => {
  signedIn(ADMIN);
  showApp(at);
  await heading(title);
  await waitFor(() => expect(screen.queryByLabelText("Loading")).toBeNull());
  await expectAccessible();
});

test("administration is not shown to others", async () => {
  signedIn();
  showApp("/admin/users");
  await heading("There is no such page");
  expect(api.count("GET /admin/users")).toBe(0);
});

test("signing in shows what was asked for; what is wrong is said, and what was typed stays", async () => {
  api.on("POST /session", problem(401, "wrong_credentials", { detail: "name or password is wrong" }));
  showApp("/account/tokens");
  await heading("Sign in");
  await userEvent.type(screen.getByRole("textbox", { name: /Handle or e-mail/ }), " ann ");
  await userEvent.type(screen.getByLabelText(/^Password/, { selector: "input" }), "wrong password{enter}");
  expect((await screen.findByRole("alert")).textContent).toContain("Name or password is wrong.");
  const password = screen.getByLabelText(/^Password/, { selector: "input" });
  await waitFor(() => expect(document.activeElement).toBe(password));
  expect(password.getAttribute("aria-invalid")).toBe("true");
  api.on("POST /session", () => {
    signedIn();
    return { sessionId: "ses_1", userId: "usr_ann", csrfToken: "csrf-1" };
  });
  await userEvent.clear(password);
  await userEvent.type(password, "correct horse{enter}");
  await heading("API tokens");
  expect(api.all("POST /session").map(({ body }) => body)).toEqual([
    { name: "ann", password: "wrong password", cookie: true },
    { name: "ann", password: "correct horse", cookie: true },
  ]);
});

test("somebody invited makes an account with the invitation's secret, where accounts need one", async () => {
  api.on("GET /server", { ...SERVER, openSignUp: false }).on("POST /accounts", () => {
    signedIn();
    return { sessionId: "ses_1", userId: "usr_ann", csrfToken: "csrf-1" };
  });
  setArrival({ kind: "invitation", secret: "csi_1" });
  showApp("/invite");
  await userEvent.click(await screen.findByRole("link", { name: "Create an account" }, SOON));
  await heading("Create an account");
  await userEvent.type(screen.getByRole("textbox", { name: /Your name/ }), "Ann Example");
  await userEvent.type(screen.getByRole("textbox", { name: /^Handle/ }), "@Ann");
  await userEvent.type(screen.getByLabelText(/^Password/, { selector: "input" }), "correct horse{enter}");
  await heading("Documents");
  expect(api.all("POST /accounts")[0]?.body).toMatchObject({
    handle: "ann",
    displayName: "Ann Example",
    email: null,
    invitation: "csi_1",
  });
});

test("an invitation asks first, and is kept while the server is in trouble", async () => {
  signedIn().on("POST /invitations/open", problem(503, "overloaded", { retry: "same", detail: "too busy" }));
  setArrival({ kind: "invitation", secret: "csi_1" });
  showApp("/invite");
  const accept = await screen.findByRole("button", { name: "Accept" }, SOON);
  expect(api.count("POST /invitations/open")).toBe(0);
  await userEvent.click(accept);
  await screen.findByText(/Too busy/);
  api.on("POST /invitations/open", problem(410, "secret_invalid", { detail: "it was used already" }));
  await userEvent.click(accept);
  await heading("This link does not work any more");
  expect(screen.getByText(/It was used already/)).toBeTruthy();
});

test("setting up the server with the secret of the console", async () => {
  api.on("GET /server", { ...SERVER, needsSetup: true }).on("POST /setup", problem(410, "secret_invalid"));
  setArrival({ kind: "setup", secret: "cset_1" });
  showApp("/setup");
  await heading("Set up this server");
  await userEvent.type(screen.getByRole("textbox", { name: /Your name/ }), "Ann");
  await userEvent.type(screen.getByRole("textbox", { name: /^Handle/ }), "ann");
  await userEvent.type(screen.getByLabelText(/^Password/, { selector: "input" }), "correct horse{enter}");
  await screen.findByRole("alert");
  expect(api.all("POST /setup")[0]?.body).toMatchObject({ secret: "cset_1", handle: "ann" });
});

test("before there is an administrator nobody can sign in, and the page says what to do", async () => {
  api.on("GET /server", { ...SERVER, needsSetup: true });
  showApp("/");
  await heading("Almost ready");
});

test("a link to a new password", async () => {
  api.on("POST /account/password/reset", null);
  setArrival({ kind: "reset", secret: "csr_1" });
  showApp("/reset");
  await heading("Choose a new password");
  await userEvent.type(screen.getByLabelText(/^New password/, { selector: "input" }), "correct horse{enter}");
  await heading("Sign in");
  expect(api.all("POST /account/password/reset")[0]?.body).toEqual({ secret: "csr_1", newPassword: "correct horse" });
});

test("an address is verified once", async () => {
  api.on("POST /account/email/verify", null);
  setArrival({ kind: "verify", secret: "csv_1" });
  showApp("/verify");
  await heading("Your address is verified");
  expect(api.count("POST /account/email/verify")).toBe(1);
});

test("a new account finds a welcome document, made once whatever happens", async () => {
  signedIn()
    .on("GET /account", { ...ACCOUNT, createdAt: new Date().toISOString() })
    .on("GET /documents", page())
    .on("POST /documents/import", problem(403, "quota_exceeded"));
  showApp("/");
  await waitFor(() => expect(api.count("POST /documents/import")).toBe(1), SOON);
  const [asked] = api.all("POST /documents/import");
  expect([asked?.headers["Idempotency-Key"], asked?.query.get("name")]).toEqual(["welcome", WELCOME_NAME]);
  await heading("Documents");
});

test("an account that is not new, or has documents, is left alone", async () => {
  signedIn().on("GET /documents", page());
  showApp("/");
  await screen.findByText(/No documents yet/, undefined, SOON);
  expect(api.count("POST /documents/import")).toBe(0);
});

test("documents are searched, and arrow keys go through them", async () => {
  const other = { ...DOCUMENT, documentId: "doc_2", name: "Recipes" };
  signedIn().on("GET /documents", ({ query }: Asked) => (query.get("query") ? page(other) : page(DOCUMENT, other)));
  showApp("/");
  const first = await screen.findByRole("link", { name: "Minutes of March" }, SOON);
  first.focus();
  await userEvent.keyboard("{ArrowDown}");
  expect(document.activeElement?.textContent).toBe("Recipes");
  await userEvent.keyboard("{ArrowUp}/");
  expect(document.activeElement).toBe(screen.getByRole("searchbox", { name: "Find by name" }));
  await userEvent.keyboard("rec");
  await waitFor(() => expect(screen.queryByRole("link", { name: "Minutes of March" })).toBeNull(), SOON);
  expect(api.all("GET /documents").at(-1)?.query.get("query")).toBe("rec");
});

test("a document is restored from the trash, and deleted for good only after a question", async () => {
  const gone = { ...DOCUMENT, status: "trashed", trashedAt: DOCUMENT.editedAt };
  signedIn()
    .on("GET /documents", ({ query }: Asked) => (query.get("status") === "trashed" ? page(gone) : page()))
    .on("POST /documents/doc_1/restore", DOCUMENT)
    .on("DELETE /documents/doc_1", null);
  showApp("/?list=trash");
  const menu = await screen.findByRole("button", { name: "Actions for Minutes of March" }, SOON);
  await userEvent.click(menu);
  await userEvent.click(await screen.findByRole("menuitem", { name: "Delete for good" }));
  const question = await screen.findByRole("dialog", { name: "Delete for good?" });
  await userEvent.click(within(question).getByRole("button", { name: "Cancel" }));
  expect(api.count("DELETE /documents/doc_1")).toBe(0);
  await userEvent.click(menu);
  await userEvent.click(await screen.findByRole("menuitem", { name: "Restore" }));
  await screen.findByText("Restored.");
  expect(api.count("POST /documents/doc_1/restore")).toBe(1);
});

test("a new document: a refusal is shown in the dialog, and Escape closes it", async () => {
  signedIn().on("POST /documents", problem(403, "quota_exceeded", { detail: "2000 documents" }));
  showApp("/");
  await userEvent.click(await screen.findByRole("button", { name: "New document" }, SOON));
  const dialog = await screen.findByRole("dialog", { name: "New document" });
  await userEvent.type(within(dialog).getByRole("textbox"), "x{enter}");
  expect((await within(dialog).findByRole("alert")).textContent).toContain("2000 documents.");
  await expectAccessible();
  await userEvent.keyboard("{Escape}");
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
});

test("an invitation in the inbox is accepted or declined", async () => {
  const invitation = { invitationId: "inv_1", documentName: "Plans", inviter: "Bob", role: "editor" };
  signedIn()
    .on("GET /invitations", page(invitation))
    .on("POST /invitations/inv_1/decline", () => {
      api.on("GET /invitations", page());
      return null;
    });
  showApp("/");
  await userEvent.click(await screen.findByRole("button", { name: "Decline" }, SOON));
  await waitFor(() => expect(screen.queryByText(/invites you/)).toBeNull());
});

test("without a server the list says so, and the account is still here", async () => {
  localStorage.setItem("coscribe.account", JSON.stringify({ userId: "usr_ann", displayName: "Ann Example" }));
  api.isGone = true;
  showApp("/");
  await screen.findByText(/No connection/, undefined, SOON);
  expect(screen.getByRole("button", { name: "You are Ann Example, offline" })).toBeTruthy();
  await expectAccessible();
});

test("a token is shown once, and revoked after a question", async () => {
  signedIn()
    .on("POST /account/tokens", { ...TOKEN, secret: "cst_secret" })
    .on("DELETE /account/tokens/tok_1", null);
  showApp("/account/tokens");
  await userEvent.type(await screen.findByRole("textbox", { name: /^Name/ }, SOON), "bot");
  await userEvent.click(screen.getByRole("button", { name: "Create a token" }));
  const shown = await screen.findByRole("textbox", { name: "Your new token" });
  expect((shown as HTMLInputElement).value).toBe("cst_secret");
  expect(api.all("POST /account/tokens")[0]?.body).toEqual({ name: "bot", scope: "edit", days: 90, documentId: null });
  await userEvent.click(screen.getByRole("button", { name: "Done" }));
  await userEvent.click(screen.getByRole("button", { name: "Revoke release bot" }));
  const question = await screen.findByRole("dialog", { name: "Revoke “release bot”?" });
  await userEvent.click(within(question).getByRole("button", { name: "Revoke" }));
  await waitFor(() => expect(api.count("DELETE /account/tokens/tok_1")).toBe(1));
});
