import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { Dialogs } from "../../src/parts/dialogs";
import { ShareDialog } from "../../src/share/share_dialog";
import { Spoken } from "../../src/shell/say";
import { ANN, type Asked, DOCUMENT, expectAccessible, FakeApi, page, Surroundings } from "../support";

const BOB = { userId: "usr_bob", handle: "bob", displayName: "Bob Builder", color: "#2b8a3e" };
const MEMBERS = [
  { kind: "user", memberId: "usr_ann", name: "Ann Example", handle: "ann", color: "#1864ab", role: "owner" },
  { kind: "user", memberId: "usr_bob", name: "Bob Builder", handle: "bob", color: "#2b8a3e", role: "editor" },
];

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi()
    .on("GET /session", ANN)
    .on("GET /documents/doc_1", DOCUMENT)
    .on("GET /documents/doc_1/members", page(...MEMBERS));
});

async function open() {
  render(
    <Surroundings>
      <main>
        <ShareDialog documentId="doc_1" opened onClose={() => {}} />
        <Dialogs />
        <Spoken />
      </main>
    </Surroundings>,
  );
  return screen.findByRole("dialog");
}

test("everything that an owner shares with", async () => {
  api
    .on(
      "GET /documents/doc_1/links",
      page({ linkId: "lnk_1", role: "viewer", createdAt: DOCUMENT.createdAt, visitors: 1 }),
    )
    .on("GET /documents/doc_1/bans", page({ user: BOB }))
    .on(
      "GET /documents/doc_1/invitations",
      page({ invitationId: "inv_1", email: "c@example.org", role: "viewer", expiresAt: DOCUMENT.createdAt }),
    )
    .on(
      "GET /documents/doc_1/access-requests",
      page({ requestId: "req_1", person: BOB, message: "please", askedAt: DOCUMENT.createdAt }),
    );
  await open();
  for (const name of ["Members", "Links", "Kept out", "Invited, no answer yet", "Asking for access"]) {
    await screen.findByRole("heading", { name });
  }
  expect(screen.getByText("1 person came by it")).toBeTruthy();
  await expectAccessible();
});

test("others see who is in, and nothing to change", async () => {
  api.on("GET /documents/doc_1", { ...DOCUMENT, role: "editor" });
  await open();
  await screen.findByText("Bob Builder");
  expect(screen.queryByRole("button", { name: "Invite" })).toBeNull();
  expect(screen.queryByRole("combobox")).toBeNull();
  expect(api.count("GET /documents/doc_1/links")).toBe(0);
});

test("a person is found and invited by keyboard", async () => {
  api.on("GET /users", ({ query }: Asked) => (query.get("query") === "bui" ? page(BOB) : page()));
  await open();
  const who = await screen.findByRole("combobox", { name: /Invite/ });
  await userEvent.type(who, "bui");
  await screen.findByRole("option", { name: /Bob Builder/ });
  await userEvent.keyboard("{ArrowDown}{Enter}");
  expect((who as HTMLInputElement).value).toBe("bob");
  await userEvent.click(screen.getByRole("button", { name: "Invite" }));
  await waitFor(() => expect(api.count("POST /documents/doc_1/invitations")).toBe(1));
  expect(api.all("POST /documents/doc_1/invitations")[0]?.body).toEqual({ who: "bob", role: "editor" });
});

test("a pasted list: what came of each is said", async () => {
  api.on(
    "POST /documents/doc_1/invitations/list",
    page({ text: "bob", outcome: "invited" }, { text: "x", outcome: "not_found" }),
  );
  await open();
  await userEvent.type(await screen.findByRole("combobox", { name: /Invite/ }), "bob, x");
  await userEvent.click(screen.getByRole("button", { name: "Invite" }));
  await screen.findByText(/1 invited\.\s+x: nobody is called that\./);
});

test("a role is changed at once", async () => {
  api.on("PUT /documents/doc_1/members/usr_bob", { ...MEMBERS[1], role: "viewer" });
  await open();
  await userEvent.selectOptions(await screen.findByRole("combobox", { name: "Role of Bob Builder" }), "viewer");
  await screen.findByText("Bob Builder can view now.");
  expect(api.all("PUT /documents/doc_1/members/usr_bob")[0]?.body).toEqual({ role: "viewer" });
});

test("who is removed and could come back by a link can be kept out", async () => {
  api
    .on("DELETE /documents/doc_1/members/usr_bob", { remaining: null, byLink: "viewer" })
    .on("PUT /documents/doc_1/bans/usr_bob", {});
  await open();
  await userEvent.click(await screen.findByRole("button", { name: "Actions for Bob Builder" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Remove" }));
  await userEvent.click(within(await screen.findByRole("dialog", { name: "Remove Bob Builder?" })).getByText("Remove"));
  const offer = await screen.findByRole("dialog", { name: "Keep Bob Builder out?" });
  expect(offer.textContent).toContain("a link that they know");
  await userEvent.click(within(offer).getByRole("button", { name: "Keep out" }));
  await waitFor(() => expect(api.count("PUT /documents/doc_1/bans/usr_bob")).toBe(1));
});

test("a request is granted with a role", async () => {
  const request = { requestId: "req_1", person: BOB, message: "please", askedAt: DOCUMENT.createdAt };
  api
    .on("GET /documents/doc_1/access-requests", page(request))
    .on("POST /documents/doc_1/access-requests/req_1/grant", null);
  await open();
  await userEvent.click(await screen.findByRole("button", { name: "Let edit: Bob Builder" }));
  await screen.findByText("Bob Builder is in.");
  expect(api.all("POST /documents/doc_1/access-requests/req_1/grant")[0]?.body).toEqual({ role: "editor" });
});

test("a link with an end is made and shown once", async () => {
  api.on("POST /documents/doc_1/links", { linkId: "lnk_2", url: "https://notes.example/#link=csl_1" });
  await open();
  await userEvent.selectOptions(await screen.findByRole("combobox", { name: "How long" }), "for a week");
  await userEvent.click(screen.getByRole("button", { name: "Make a link" }));
  const shown = await screen.findByRole("textbox", { name: "A link to share" });
  expect((shown as HTMLInputElement).value).toBe("https://notes.example/#link=csl_1");
  expect(api.all("POST /documents/doc_1/links")[0]?.body).toEqual({ role: "viewer", expiresIn: 604_800 });
});

test("the document is handed over after a question", async () => {
  api.on("POST /documents/doc_1/transfer", {});
  await open();
  await userEvent.click(await screen.findByRole("button", { name: "Actions for Bob Builder" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Hand the document over" }));
  await userEvent.click(await screen.findByRole("button", { name: "Hand it over" }));
  await screen.findByText("Bob Builder owns it now.");
  expect(api.all("POST /documents/doc_1/transfer")[0]?.body).toEqual({ to: "usr_bob", role: "editor" });
});
