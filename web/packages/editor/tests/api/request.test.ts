import { afterEach, expect, test, vi } from "vitest";
import { Problem, textOf } from "../../src/api/problem";
import { change, get, getAll, path, query, remember, send, whenSignedOut } from "../../src/api/request";
import { FakeApi, NOBODY, problem } from "../support";

afterEach(() => {
  remember({ userId: "", csrfToken: null });
  whenSignedOut(() => {});
});

async function refusal(request: Promise<unknown>): Promise<Problem> {
  const error = await request.then(
    () => new Error("it was not refused"),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(Problem);
  return error;
}

test("the CSRF token goes with what changes something, and with nothing else", async () => {
  const api = new FakeApi().on("POST /documents", { documentId: "doc_1" });
  remember({ userId: "usr_ann", csrfToken: "csrf-1" });
  await get("/documents");
  await change("POST", "/documents", { name: "x" });
  expect(api.asked.map(({ headers }) => headers["X-CSRF-Token"])).toEqual([undefined, "csrf-1"]);
});

test("a token that another tab has replaced is replaced here too, if it is still the same person", async () => {
  const api = new FakeApi()
    .on("GET /session", { ...NOBODY, userId: "usr_ann", csrfToken: "csrf-2" })
    .on("POST /documents", ({ headers }: { headers: Record<string, string> }) =>
      headers["X-CSRF-Token"] === "csrf-2" ? { documentId: "doc_1" } : problem(403, "csrf_failed"),
    );
  remember({ userId: "usr_ann", csrfToken: "csrf-1" });
  expect(await change("POST", "/documents", { name: "x" })).toEqual({ documentId: "doc_1" });
  expect(api.count("POST /documents")).toBe(2);
});

test("nothing is ever sent as somebody else", async () => {
  const api = new FakeApi()
    .on("GET /session", { ...NOBODY, userId: "usr_bob", csrfToken: "csrf-of-bob" })
    .on("POST /documents", problem(403, "csrf_failed"));
  remember({ userId: "usr_ann", csrfToken: "csrf-1" });
  expect((await refusal(change("POST", "/documents", { name: "x" }))).code).toBe("csrf_failed");
  expect(api.all("POST /documents").map(({ headers }) => headers["X-CSRF-Token"])).toEqual(["csrf-1"]);
});

test("while nobody knows whether it arrived, it is sent again with the same key; three times in all", async () => {
  vi.useFakeTimers();
  const api = new FakeApi().on("POST /documents", problem(503, "overloaded", { retry: "same" }));
  const refused = refusal(change("POST", "/documents", { name: "x" }, { once: "key-1" }));
  await vi.runAllTimersAsync();
  expect((await refused).status).toBe(503);
  expect(api.all("POST /documents").map(({ headers }) => headers["Idempotency-Key"])).toEqual([
    "key-1",
    "key-1",
    "key-1",
  ]);
});

test("without a key it is not sent again, and with one not after a refusal", async () => {
  const api = new FakeApi()
    .on("POST /documents", problem(503, "overloaded", { retry: "same" }))
    .on("POST /groups", problem(403, "permission_denied"));
  await refusal(change("POST", "/documents", { name: "x" }));
  await refusal(change("POST", "/groups", { name: "x" }, { once: "key-1" }));
  expect([api.count("POST /documents"), api.count("POST /groups")]).toEqual([1, 1]);
});

test("a session that has ended is told", async () => {
  new FakeApi().on("GET /documents", problem(401, "session_ended"));
  const told = vi.fn();
  whenSignedOut(told);
  await refusal(get("/documents"));
  expect(told).toHaveBeenCalledOnce();
});

test("no answer is a problem with a next step", async () => {
  new FakeApi().isGone = true;
  const error = await refusal(get("/documents"));
  expect([error.status, error.isUncertain, error.isUnreachable]).toEqual([0, true, true]);
  expect(error.text).toBe("The server cannot be reached. Check the connection, then try again.");
});

test("all pages of a list", async () => {
  new FakeApi().on("GET /things", ({ query }: { query: URLSearchParams }) =>
    query.get("cursor") === "b" ? { items: [3], nextCursor: "" } : { items: [1, 2], nextCursor: "b" },
  );
  expect(await getAll("/things")).toEqual([1, 2, 3]);
});

test("paths and queries are escaped; what is empty is left out", () => {
  expect(path("documents", "a/b ?", "links")).toBe("/documents/a%2Fb%20%3F/links");
  expect(query({ query: "a&b", cursor: "", limit: 3 })).toBe("?query=a%26b&limit=3");
  expect(query({ query: "" })).toBe("");
});

test("text goes as text", async () => {
  const api = new FakeApi();
  await send("POST", "/documents/import", { text: "hello" });
  expect(api.asked[0]?.headers["Content-Type"]).toBe("text/plain; charset=utf-8");
});

test("problems in words", () => {
  expect(new Problem(429, {}, 3).text).toBe("That was a little too often. Please try again in 3 seconds.");
  expect(new Problem(429, {}, 100).text).toContain("2 minutes");
  expect(new Problem(429, {}, 1).text).toContain("a second");
  expect(new Problem(409, { title: "x", detail: "handle taken", help: "Choose another handle." }).text).toBe(
    "Handle taken. Choose another handle.",
  );
  const errors = [{ in: ["body", "displayName"], message: "too long" }];
  expect(new Problem(422, { code: "invalid_request", errors }).text).toBe("Display name: too long.");
  expect(textOf(new Error("boom"))).toBe("Something went wrong here: Error: boom");
});
