import { expect, test } from "vitest";
import { type Import, MAX_FILES, plan, runImports } from "../../src/documents/importing";
import { type Asked, FakeApi, problem } from "../support";

function file(name: string, text = "hello"): File {
  return new File([text], name, { type: "text/plain" });
}

async function imported(imports: Import[]): Promise<Import[]> {
  const latest = new Map(imports.map((each) => [each.key, each]));
  await runImports(imports, (next) => latest.set(next.key, next));
  return [...latest.values()];
}

test("each file has a result of its own", async () => {
  const api = new FakeApi().on("POST /documents/import", ({ query }: Asked) =>
    query.get("name") === "b.txt"
      ? problem(422, "invalid_text", { detail: "the body is not UTF-8: invalid start byte at 0" })
      : { documentId: `doc_${query.get("name")}` },
  );
  const results = await imported(plan([file("a.txt"), file("b.txt"), file("c.txt")]));
  expect(
    results.map(({ state, documentId, reason, isWorthAgain }) => [state, documentId, reason, isWorthAgain]),
  ).toEqual([
    ["done", "doc_a.txt", "", false],
    ["refused", "", expect.stringMatching(/^Only text in UTF-8 can be a document/), false],
    ["done", "doc_c.txt", "", false],
  ]);
  expect(new Set(api.asked.map(({ headers }) => headers["Idempotency-Key"])).size).toBe(3);
});

test("a file that is sent again is sent with its key", async () => {
  const api = new FakeApi().on("POST /documents/import", problem(429, "too_many_requests", {}, { "Retry-After": "0" }));
  const [refused] = await imported(plan([file("a.txt")]));
  expect(refused).toMatchObject({ state: "refused", isWorthAgain: true });
  api.on("POST /documents/import", { documentId: "doc_a" });
  const again = await imported(refused ? [{ ...refused, state: "waiting" }] : []);
  expect(again[0]).toMatchObject({ state: "done", documentId: "doc_a" });
  expect(new Set(api.asked.map(({ headers }) => headers["Idempotency-Key"])).size).toBe(1);
});

test("never more than two are on their way", async () => {
  let under = 0;
  let most = 0;
  new FakeApi().on("POST /documents/import", async () => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setTimeout(resolve, 1));
    under--;
    return { documentId: "doc" };
  });
  await imported(plan(Array.from({ length: 9 }, (_, index) => file(`${index}.txt`))));
  expect(most).toBe(2);
});

test("what cannot be read is said so, and nothing is sent", async () => {
  const api = new FakeApi();
  const folder = file("folder");
  folder.arrayBuffer = () => Promise.reject(new DOMException("a folder", "NotReadableError"));
  const [result] = await imported(plan([folder]));
  expect(result).toMatchObject({ state: "refused", isWorthAgain: false });
  expect(result?.reason).toContain("cannot be read");
  expect(api.asked).toEqual([]);
});

test("too many at a time: the rest can be tried again", () => {
  const planned = plan(Array.from({ length: MAX_FILES + 2 }, (_, index) => file(`${index}`)));
  expect(planned.filter(({ state }) => state === "waiting")).toHaveLength(MAX_FILES);
  expect(planned.at(-1)).toMatchObject({ state: "refused", isWorthAgain: true });
});

test("a long name is cut between characters", async () => {
  const api = new FakeApi().on("POST /documents/import", { documentId: "doc" });
  await imported(plan([file("😀".repeat(300))]));
  expect([...(api.asked[0]?.query.get("name") ?? "")]).toHaveLength(256);
});
