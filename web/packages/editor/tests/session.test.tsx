import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";
import { get, remember } from "../src/api/request";
import { useSession } from "../src/session";
import { ANN, type Asked, FakeApi, NOBODY, problem, Surroundings } from "./support";

const REMEMBERED = "coscribe.account";

function here() {
  return renderHook(() => useSession(), { wrapper: ({ children }) => <Surroundings>{children}</Surroundings> }).result;
}

test("who is signed in, and only the id and the name of them is remembered", async () => {
  new FakeApi().on("GET /session", ANN);
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("signed-in"));
  expect(session.current.account).toEqual({
    userId: "usr_ann",
    displayName: "Ann Example",
    color: "#1864ab",
    administrator: false,
  });
  expect(JSON.parse(localStorage.getItem(REMEMBERED) ?? "")).toEqual({ userId: "usr_ann", displayName: "Ann Example" });
});

test("without a server the last account is here, without its powers, until the server says who is", async () => {
  localStorage.setItem(REMEMBERED, JSON.stringify({ userId: "usr_ann", displayName: "Ann", administrator: true }));
  const api = new FakeApi().on("GET /session", { ...ANN, administrator: true });
  api.isGone = true;
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("offline"));
  expect(session.current.account).toMatchObject({ userId: "usr_ann", administrator: false });
  api.isGone = false;
  act(() => void dispatchEvent(new Event("online")));
  await waitFor(() => expect(session.current.status).toBe("signed-in"));
  expect(session.current.account?.administrator).toBe(true);
});

test("a server in trouble is no server", async () => {
  localStorage.setItem(REMEMBERED, JSON.stringify({ userId: "usr_ann", displayName: "Ann" }));
  new FakeApi().on("GET /server", problem(503, "storage_unavailable", { retry: "rejoin" }));
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("offline"));
});

test("without a server and without an account nobody is here", async () => {
  localStorage.setItem(REMEMBERED, "not json");
  new FakeApi().isGone = true;
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("unreachable"));
  expect(session.current.problem?.text).toContain("cannot be reached");
});

test("a session that ended elsewhere ends here, and is forgotten", async () => {
  const api = new FakeApi().on("GET /session", ANN);
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("signed-in"));
  api.on("GET /session", NOBODY).on("GET /documents", problem(401, "session_ended"));
  await act(() => get("/documents").catch(() => {}));
  await waitFor(() => expect(session.current.status).toBe("signed-out"));
  expect(session.current.endedFor).toBe("Ann Example");
  expect(localStorage.getItem(REMEMBERED)).toBeNull();
});

test("signing out tells the server and leaves nothing", async () => {
  const api = new FakeApi().on("GET /session", ANN).on("DELETE /session", null);
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("signed-in"));
  api.on("GET /session", NOBODY);
  await act(() => session.current.signOut());
  expect([session.current.status, session.current.endedFor, api.count("DELETE /session")]).toEqual([
    "signed-out",
    "",
    1,
  ]);
  expect(localStorage.getItem(REMEMBERED)).toBeNull();
});

test("another tab has signed in as somebody else", async () => {
  const api = new FakeApi().on("GET /session", ANN);
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("signed-in"));
  api.on("GET /session", { ...ANN, userId: "usr_bob", displayName: "Bob" });
  act(() => void dispatchEvent(new StorageEvent("storage", { key: REMEMBERED })));
  await waitFor(() => expect(session.current.account?.userId).toBe("usr_bob"));
});

test("the socket's token is of the account, or else of the guest's link, and never asked for by nobody", async () => {
  const api = new FakeApi()
    .on("POST /session/access-token", { accessToken: "of-ann", expiresIn: 300 })
    .on("POST /links/open", { accessToken: "of-guest", documentId: "doc_1" });
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("signed-out"));
  const { accessToken } = session.current;
  await expect(accessToken()).rejects.toMatchObject({ code: "sign_in_required" });
  expect(api.count("POST /session/access-token")).toBe(0);
  const guest = { documentId: "doc_1", documentName: "Minutes", linkRole: "viewer", secret: "csl_1" } as const;
  act(() => session.current.enterAsGuest(guest));
  expect(await accessToken()).toBe("of-guest");
  expect(api.all("POST /links/open")[0]?.body).toEqual({ secret: "csl_1" });
  api.on("GET /session", ANN);
  await act(() => session.current.reload());
  expect(await accessToken()).toBe("of-ann");
  expect(session.current.accessToken).toBe(accessToken);
});

test("a guest is still one after a reload of the tab", async () => {
  sessionStorage.setItem("coscribe.guest", JSON.stringify({ documentId: "doc_1", secret: "csl_1" }));
  new FakeApi();
  expect(here().current.guest?.documentId).toBe("doc_1");
});

/** A server that is back before anybody has asked who is signed in: the socket may ask for its token first. */
test("without a server nobody has a CSRF token, and gets one with the first request that changes something", async () => {
  remember(NOBODY);
  localStorage.setItem(REMEMBERED, JSON.stringify({ userId: "usr_ann", displayName: "Ann" }));
  const api = new FakeApi()
    .on("GET /session", ANN)
    .on("POST /session/access-token", ({ headers }: Asked) =>
      headers["X-CSRF-Token"] === "csrf-1" ? { accessToken: "of-ann", expiresIn: 300 } : problem(403, "csrf_failed"),
    );
  api.isGone = true;
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("offline"));
  api.isGone = false;
  expect(await session.current.accessToken()).toBe("of-ann");
});

test("what was assumed is not believed: a token of somebody else is not asked for", async () => {
  remember(NOBODY);
  localStorage.setItem(REMEMBERED, JSON.stringify({ userId: "usr_ann", displayName: "Ann" }));
  const api = new FakeApi()
    .on("GET /session", { ...ANN, userId: "usr_bob" })
    .on("POST /session/access-token", problem(403, "csrf_failed"));
  api.isGone = true;
  const session = here();
  await waitFor(() => expect(session.current.status).toBe("offline"));
  api.isGone = false;
  await expect(session.current.accessToken()).rejects.toMatchObject({ code: "csrf_failed" });
  expect(api.count("POST /session/access-token")).toBe(1);
});
