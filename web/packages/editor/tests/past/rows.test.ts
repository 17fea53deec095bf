import { expect, test } from "vitest";
import { type KnownFolder, rowsOf } from "../../src/past/past_tree";

function entry(path: string, kind: "directory" | "text" = "text") {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return { fileId: path, path, name, kind, content: "", properties: {} };
}

test("folders first, what is in an open one behind it; what is on its way is left out", () => {
  const known = new Map<string, KnownFolder>([
    ["", [entry("a.md"), entry("empty", "directory"), entry("late", "directory"), entry("src", "directory")]],
    ["empty", []],
    ["src", [entry("src/b.py")]],
    ["gone", "There is nothing at that path."],
  ]);
  const shown = rowsOf(known, new Set(["empty", "late", "src", "gone"])).map((row) =>
    "said" in row ? `${row.level} ${row.said}` : `${row.level} ${row.entry.name}`,
  );
  expect(shown).toEqual(["1 empty", "2 Nothing was in here.", "1 late", "1 src", "2 b.py", "1 a.md"]);
  expect(rowsOf(new Map([["", "Refused."]]), new Set())).toEqual([{ level: 1, folder: "", said: "Refused." }]);
  expect(rowsOf(new Map(), new Set())).toEqual([]);
});
