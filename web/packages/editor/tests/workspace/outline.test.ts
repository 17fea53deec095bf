import type { Entry, Kind, NodeState, TreeChange } from "@coscribe/client";
import { expect, test } from "vitest";
import { Outline, type Row, stepOf, typedAhead } from "../../src/workspace/outline";

/** A tree of which it is known how often a folder was looked into. */
class Files {
  readonly nodes = new Map<string, NodeState>();
  readonly looked: string[] = [];
  #listeners = new Set<(change: TreeChange) => void>();

  add(fileId: string, parentId: string, name: string, kind: Kind = "text"): void {
    const after = { parentId, name, kind, trashed: false, content: "", properties: [] };
    const before = this.nodes.get(fileId) ?? null;
    this.nodes.set(fileId, after);
    for (const listener of this.#listeners) listener({ changes: [{ fileId, before, after }], authors: [] });
  }

  children(folderId = ""): Entry[] {
    this.looked.push(folderId);
    const inside = [...this.nodes].filter(([, { parentId }]) => parentId === folderId);
    return inside.map(([fileId, { name, kind }]) => ({ fileId, name, kind }));
  }

  node(fileId: string): NodeState | null {
    return this.nodes.get(fileId) ?? null;
  }

  onChange(listener: (change: TreeChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function some(): Files {
  const files = new Files();
  files.add("d", "", "docs", "directory");
  files.add("s", "", "src", "directory");
  files.add("r", "s", "rooms", "directory");
  files.add("x", "r", "stairs.py");
  files.add("z", "", "a10.md");
  files.add("y", "", "a9.md");
  return files;
}

const namesOf = (rows: readonly Row[]) => rows.map(({ name, level }) => "/".repeat(level - 1) + name);

test("folders come first, numbers in order, and closed folders are not looked into", () => {
  const files = some();
  const outline = new Outline(files);
  expect(namesOf(outline.rows())).toEqual(["docs", "src", "a9.md", "a10.md"]);
  expect(files.looked).toEqual([""]);
  outline.setOpen("s", true);
  expect(namesOf(outline.rows())).toEqual(["docs", "src", "/rooms", "a9.md", "a10.md"]);
  expect(outline.rows()[2]).toMatchObject({ position: 1, size: 1, level: 2, isOpen: false });
  expect(outline.rows()).toBe(outline.rows());
});

test("only the folder in which something changed is sorted again", () => {
  const files = some();
  const outline = new Outline(files, ["s", "r"]);
  outline.follow();
  outline.rows();
  files.looked.length = 0;
  files.add("x", "r", "steps.py");
  expect(namesOf(outline.rows())).toEqual(["docs", "src", "/rooms", "//steps.py", "a9.md", "a10.md"]);
  expect(files.looked).toEqual(["r"]);
  files.looked.length = 0;
  files.add("x", "s", "steps.py");
  expect(namesOf(outline.rows())).toEqual(["docs", "src", "/rooms", "/steps.py", "a9.md", "a10.md"]);
  expect(files.looked.toSorted()).toEqual(["r", "s"]);
});

test("a file is revealed by opening what it is in", () => {
  const outline = new Outline(some());
  outline.reveal("x");
  expect(outline.rows().map(({ fileId }) => fileId)).toContain("x");
  expect(outline.open.toSorted()).toEqual(["r", "s"]);
});

test("keys go as in every tree", () => {
  const outline = new Outline(some(), ["s"]);
  const rows = outline.rows(); // docs src /rooms a9 a10
  expect(stepOf("ArrowDown", rows, 4, 9)).toEqual({ to: 4 });
  expect(stepOf("ArrowUp", rows, 0, 9)).toEqual({ to: 0 });
  expect(stepOf("PageDown", rows, 1, 2)).toEqual({ to: 3 });
  expect(stepOf("End", rows, 0, 2)).toEqual({ to: 4 });
  expect(stepOf("ArrowRight", rows, 0, 2)).toEqual({ open: true });
  expect(stepOf("ArrowRight", rows, 1, 2)).toEqual({ to: 2 });
  expect(stepOf("ArrowRight", rows, 3, 2)).toBeNull();
  expect(stepOf("ArrowLeft", rows, 1, 2)).toEqual({ open: false });
  expect(stepOf("ArrowLeft", rows, 2, 2)).toEqual({ to: 1 });
  expect(stepOf("ArrowLeft", rows, 3, 2)).toEqual({ to: 3 });
  expect(stepOf("q", rows, 0, 2)).toBeNull();
});

test("typing goes to names: one letter on to the next, several to the first that fits", () => {
  const rows = new Outline(some()).rows(); // docs src a9 a10
  expect(typedAhead("a", rows, 0)).toBe(2);
  expect(typedAhead("a", rows, 2)).toBe(3);
  expect(typedAhead("aa", rows, 3)).toBe(2);
  expect(typedAhead("A1", rows, 2)).toBe(3);
  expect(typedAhead("q", rows, 2)).toBeNull();
});

test("ten thousand files in a closed folder cost nothing, in an open one little", () => {
  const files = new Files();
  files.add("big", "", "big", "directory");
  for (let number = 0; number < 10_000; number++) files.add(`f${number}`, "big", `file${number}.txt`);
  const outline = new Outline(files);
  expect(outline.rows()).toHaveLength(1);
  outline.setOpen("big", true);
  expect(outline.rows()).toHaveLength(10_001);
  expect(outline.rows()[10_000]?.name).toBe("file9999.txt");
  expect(files.looked).toEqual(["", "big"]);
});
