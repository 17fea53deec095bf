/** The slider over a whole tree, on a server that answers what a workspace was. */

import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";
import { attributionOf } from "../../src/history/attribution";
import { pieceOfLine } from "../../src/past/blame";
import { saidOf } from "../../src/past/work_timeline";
import { ANN, type Asked, DOCUMENT, expectAccessible, FakeApi, page, problem, showApp } from "../support";

const SOON = { timeout: 10_000 };
const ITEM = { ...DOCUMENT, documentId: "w1", kind: "workspace", name: "Lighthouse" };
const AUTHOR = { userId: "usr_ann", displayName: "Ann Example", color: "#1864ab" };
const WORK = {
  author: AUTHOR,
  firstSequence: 1,
  lastSequence: 5,
  begunAt: "2026-01-01T10:00:00.000Z",
  endedAt: "2026-01-01T10:05:00.000Z",
  operations: 5,
  files: [{ fileId: "f", path: "src/b.py", fromVersion: 0, toVersion: 2, operations: 2, inserted: 7, deleted: 3 }],
  tree: [
    { serverSequenceId: 5, fileId: "f", verb: "renamed", path: "src/a.py", newPath: "src/b.py" },
    { serverSequenceId: 1, fileId: "d", verb: "created", path: "src", newPath: "" },
  ],
  more: 0,
  isCut: false,
};

/** src/a.py since 2, "one" since 3, src/b.py since 5. */
function entries({ query }: Asked) {
  const at = query.has("at") ? Number(query.get("at")) : 5;
  const path = query.get("path") ?? "";
  const name = at >= 5 ? "b.py" : "a.py";
  const file = { fileId: "f", name, path: `src/${name}`, kind: "text", content: "", properties: {} };
  const folder = { fileId: "d", name: "src", path: "src", kind: "directory", content: "", properties: {} };
  const items = path === "" ? (at >= 1 ? [folder] : []) : at >= 2 ? [file] : [];
  return { items, serverSequenceId: at };
}

function content({ query }: Asked) {
  const at = Number(query.get("at"));
  const name = at >= 5 ? "b.py" : "a.py";
  if (query.get("fileId") !== "f" || at < 2) return problem(404, "file_not_found");
  const entry = { fileId: "f", name, path: `src/${name}`, kind: "text", content: "", properties: {} };
  return { entry, text: at >= 3 ? "one" : "", documentVersion: 1 };
}

let api: FakeApi;
beforeEach(() => {
  api = new FakeApi()
    .on("GET /session", ANN)
    .on("GET /documents/w1", ITEM)
    .on("GET /workspace/w1/fs/list", entries)
    .on("GET /workspace/w1/history/file", content)
    .on("GET /workspace/w1/history/timeline", { items: [WORK], nextBefore: null });
});

const files = () => screen.getByRole("navigation", { name: "Files, as they were" });
const slider = () => screen.getByRole("slider", { name: "Moment" });

test("the slider goes through the whole tree, and through a file that had another name", async () => {
  showApp("/w/w1/history");
  await userEvent.click(await screen.findByRole("button", { name: "src" }, SOON));
  await userEvent.click(await within(files()).findByRole("button", { name: "b.py" }));
  await waitFor(() => expect(screen.getByTestId("past-text").textContent).toContain("one"));
  expect(screen.getByText("As it is now")).toBeTruthy();
  fireEvent.change(slider(), { target: { value: "4" } });
  const renamed = await within(files()).findByRole("button", { name: "a.py" });
  expect(renamed.getAttribute("aria-current")).toBe("true");
  await screen.findByText("src/a.py");
  expect(screen.getByTestId("past-text").textContent).toContain("one");
  await expectAccessible();
  fireEvent.change(slider(), { target: { value: "1" } });
  await screen.findByText("There was no such file yet.");
  fireEvent.change(slider(), { target: { value: "0" } });
  await screen.findByText("Before anything was made");
  await within(files()).findByText("Nothing was in here.");
  await userEvent.click(await screen.findByRole("button", { name: /^Ann Example/ }));
  await within(files()).findByRole("button", { name: "src" });
  expect(screen.getByText("As it is now")).toBeTruthy();
});

test("a file is restored to the moment that is shown, after a question", async () => {
  api.on("POST /workspace/w1/history/restore", { sequence: 5, treeOperations: 1, texts: 0 });
  showApp("/w/w1/history?at=4&file=f");
  await screen.findByText("src/a.py", {}, SOON);
  await userEvent.click(await screen.findByRole("button", { name: "This moment" }, SOON));
  const zip = await screen.findByRole("menuitem", { name: "Download as a zip file" });
  expect(zip.getAttribute("href")).toBe("/api/workspace/w1/history/archive?at=4&format=zip");
  await userEvent.click(screen.getByRole("menuitem", { name: "Restore this file…" }));
  expect(api.count("POST /workspace/w1/history/restore")).toBe(0);
  await userEvent.click(await screen.findByRole("button", { name: "Restore" }));
  await waitFor(() => expect(api.count("POST /workspace/w1/history/restore")).toBe(1));
  expect(api.all("POST /workspace/w1/history/restore")[0]?.body).toEqual({ path: "src/a.py", sequence: 4 });
});

test("and so is the folder that it is in", async () => {
  api.on("POST /workspace/w1/history/restore", { sequence: 5, treeOperations: 1, texts: 0 });
  showApp("/w/w1/history?at=4");
  await userEvent.click(await screen.findByRole("button", { name: "src" }, SOON));
  await userEvent.click(screen.getByRole("button", { name: "This moment" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Restore the folder “src”…" }));
  await userEvent.click(await screen.findByRole("button", { name: "Restore" }));
  await waitFor(() => expect(api.count("POST /workspace/w1/history/restore")).toBe(1));
  expect(api.all("POST /workspace/w1/history/restore")[0]?.body).toEqual({ path: "src", sequence: 4 });
});

test("two moments are compared: which files, and of each what", async () => {
  api.on("GET /workspace/w1/history/differences", ({ query }: Asked) => {
    expect([query.get("from"), query.get("to")]).toEqual(["2", "5"]);
    const moved = { fileId: "f", kind: "moved", node: "text", path: "src/a.py", newPath: "src/b.py" };
    return { items: [{ ...moved, changedContent: true }], more: 0 };
  });
  showApp("/w/w1/history?at=2");
  await userEvent.click(await screen.findByRole("button", { name: "Compare" }, SOON));
  await screen.findByText("1 file differs.");
  const differing = screen.getByRole("navigation", { name: "Files that differ" });
  await userEvent.click(within(differing).getByRole("button", { name: /moved src\/b\.py/ }));
  await screen.findByText("They differ in one place.", {}, SOON);
  await screen.findByText("After 2: src/a.py");
  await screen.findByText("After 5: src/b.py");
  await expectAccessible();
  const compare = screen.getByRole("region", { name: "Compare two moments" });
  await userEvent.click(within(compare).getByRole("button", { name: "Close" }));
  await screen.findByRole("slider", { name: "Moment" });
});

test("a column says who wrote a line, when, and how", async () => {
  const runs = [
    { length: 1, authorId: "disk", version: 1, at: Date.UTC(2026, 0, 2), kind: "disk" as const },
    { length: 2, authorId: "usr_ann+tok_1", version: 2, at: Date.UTC(2026, 0, 3), kind: "agent" as const },
  ];
  const authors = [
    { userId: "disk", displayName: "Disk", color: "#767676" },
    { userId: "usr_ann+tok_1", displayName: "release bot", color: "#1864ab" },
  ];
  api.on("GET /workspace/w1/history/blame", { version: 2, runs, authors });
  showApp("/w/w1/history?file=f");
  await userEvent.click(await screen.findByRole("button", { name: "Who wrote this" }, SOON));
  await screen.findByText("release bot (program)", {}, SOON);
  const attribution = attributionOf({ version: 2, runs, authors }, "one");
  expect(pieceOfLine(attribution, 0, 1)?.authorId).toBe("usr_ann+tok_1");
  expect(pieceOfLine(attribution, 0, 0)?.authorId).toBe("disk");
  expect(pieceOfLine(attribution, 3, 3)).toBeNull();
});

test("a fork has a name, and is of the moment that is shown", async () => {
  api.on("POST /workspace/w1/history/fork", { ...ITEM, documentId: "w2" }).on("GET /documents", page());
  showApp("/w/w1/history?at=3");
  await userEvent.click(await screen.findByRole("button", { name: "This moment" }, SOON));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Fork into a new workspace…" }));
  await userEvent.click(await screen.findByRole("button", { name: "Fork" }, SOON));
  await waitFor(() => expect(api.count("POST /workspace/w1/history/fork")).toBe(1));
  expect(api.all("POST /workspace/w1/history/fork")[0]?.body).toEqual({ name: "Lighthouse (as at 3)", sequence: 3 });
});

test("it is for editors", async () => {
  api.on("GET /documents/w1", { ...ITEM, role: "viewer" });
  showApp("/w/w1/history");
  await screen.findByRole("heading", { level: 1, name: "The history is for editors" }, SOON);
  expect(api.count("GET /workspace/w1/history/timeline")).toBe(0);
});

test("what was done is said in words", () => {
  expect(saidOf(WORK as never)).toEqual(["renamed src/a.py to b.py", "created src", "wrote in src/b.py: +7 −3"]);
});
