import type { TreeChange } from "@coscribe/client";
import { expect, test } from "vitest";
import { type Doing, Doings, doingText, wayBack } from "../../src/workspace/doings";

class Files {
  paths = new Map([["a", "docs/a.md"]]);
  trashed = new Set<string>();
  #tell: (change: TreeChange) => void = () => {};

  path(fileId: string): string | null {
    return this.paths.get(fileId) ?? null;
  }

  isTrashed(fileId: string): boolean {
    return this.trashed.has(fileId);
  }

  onChange(listener: (change: TreeChange) => void): () => void {
    this.#tell = listener;
    return () => {};
  }

  changed(authors: string[], changes: TreeChange["changes"] = []): void {
    this.#tell({ changes, authors });
  }
}

function watched() {
  const files = new Files();
  const doings = new Doings(files);
  const told: Doing[] = [];
  doings.follow((doing) => told.push(doing));
  doings.watch(["a"]);
  return { files, doings, told };
}

test("what others do to a file that is open is told, also to the folder that it is in", () => {
  const { files, doings, told } = watched();
  files.paths.set("a", "papers/a.md");
  files.changed(["usr_ben"]);
  expect(doings.all().get("a")).toEqual({ what: "moved", by: "usr_ben", from: "docs/a.md", to: "papers/a.md" });
  files.trashed.add("a");
  files.changed(["usr_ben", "usr_eve"]);
  expect(doings.all().get("a")).toMatchObject({ what: "deleted", by: "usr_eve" });
  files.trashed.delete("a");
  files.changed([], null);
  expect(doings.all().get("a")).toMatchObject({ what: "restored", by: "" });
  expect(told.map(({ what }) => what)).toEqual(["moved", "deleted", "restored"]);
  doings.dismiss("a");
  expect(doings.all().size).toBe(0);
});

test("what we do ourselves is not told, and ends what was", () => {
  const { files, doings, told } = watched();
  files.trashed.add("a");
  files.changed(["usr_ben"]);
  files.trashed.delete("a");
  files.changed([]);
  expect(doings.all().size).toBe(0);
  expect(told).toHaveLength(1);
});

test("a file that is closed is forgotten; nothing else is told of it", () => {
  const { files, doings, told } = watched();
  doings.watch([]);
  files.paths.set("a", "x.md");
  files.changed(["usr_ben"]);
  expect(told).toEqual([]);
});

test("each is a sentence", () => {
  const moved = (from: string, to: string): Doing => ({ what: "moved", by: "", from, to });
  expect(doingText(moved("a/x.md", "a/y.md"), "somebody")).toBe("Somebody has renamed “x.md” to “y.md”.");
  expect(doingText(moved("a/x.md", "b/x.md"), "Ben")).toBe("Ben has moved “a/x.md” to “b/x.md”.");
  expect(doingText({ ...moved("a/x.md", "a/x.md"), what: "deleted" }, "Ben")).toBe("Ben has deleted “x.md”.");
});

test("the way back begins with the highest folder that is in the trash", () => {
  const node = (parentId: string, trashed: boolean) => ({
    parentId,
    trashed,
    name: "n",
    kind: "directory" as const,
    content: "",
    properties: [],
  });
  const nodes = new Map([
    ["top", node("", true)],
    ["middle", node("top", false)],
    ["file", node("middle", true)],
  ]);
  expect(wayBack({ node: (id) => nodes.get(id) ?? null }, "file")).toEqual(["top", "file"]);
});
