import { Text } from "@codemirror/state";
import { expect, test } from "vitest";
import { rangeOf } from "../../src/editor/spot";

test("a place in code points is one in UTF-16 units; beyond the text it is what is nearest", () => {
  const text = Text.of(["one", "a🙂b lamp"]);
  expect(rangeOf(text, { line: 1, column: 1, length: 2 })).toEqual({ from: 1, to: 3 });
  expect(rangeOf(text, { line: 2, column: 4, length: 4 })).toEqual({ from: 9, to: 13 });
  expect(text.sliceString(9, 13)).toBe("lamp");
  expect(rangeOf(text, { line: 9, column: 90, length: 5 })).toEqual({ from: 13, to: 13 });
  expect(rangeOf(text, { line: 0, column: 0, length: 0 })).toEqual({ from: 0, to: 0 });
});
