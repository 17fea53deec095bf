import { EditorSelection, EditorState, type Transaction, type TransactionSpec } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import { difference, editsOf, TypingRun } from "../../src/editor/binding";

function changed(text: string, spec: TransactionSpec): Transaction {
  return EditorState.create({ doc: text, extensions: EditorState.allowMultipleSelections.of(true) }).update(spec);
}

describe("editsOf", () => {
  test("are against the text before, left to right, with line feeds", () => {
    const { changes } = changed("one two", {
      changes: [
        { from: 4, to: 7, insert: "2" },
        { from: 0, insert: "a\r\nb" },
      ],
    });
    expect(editsOf(changes)).toEqual([
      { from: 0, to: 0, insert: "a\nb" },
      { from: 4, to: 7, insert: "2" },
    ]);
  });
});

describe("difference", () => {
  test.each([
    ["", "", null],
    ["same", "same", null],
    ["", "new", { from: 0, to: 0, insert: "new" }],
    ["abc", "abXc", { from: 2, to: 2, insert: "X" }],
    ["abcc", "abc", { from: 3, to: 4, insert: "" }],
    ["aaa", "aa", { from: 2, to: 3, insert: "" }],
  ])("of %j and %j", (before, after, expected) => {
    expect(difference(before, after)).toEqual(expected);
  });

  test.each([
    ["🙂", "🙃"], // the same first half
    ["🙂", "𝐂"], // nothing but a surrogate pair each
    ["a🙂b", "a🙃b"],
    ["𐐀", "🐀"], // the same second half
  ])("cuts no pair in two: %j and %j", (before, after) => {
    const edit = difference(before, after);
    expect(edit?.insert.isWellFormed()).toBe(true);
    expect(before.slice(0, edit?.from) + edit?.insert + before.slice(edit?.to)).toBe(after);
    expect(before.slice(edit?.from, edit?.to).isWellFormed()).toBe(true);
  });
});

describe("TypingRun", () => {
  const clock = { now: 0 };
  const run = () => new TypingRun(() => clock.now);
  const typed = (at: number, text: string, userEvent = "input.type") =>
    changed("x".repeat(50), { changes: { from: at, insert: text }, userEvent });
  const goesOn = (typing: TypingRun, transaction: Transaction) =>
    typing.goesOn(transaction, editsOf(transaction.changes));

  test("goes on where the last key was typed", () => {
    const typing = run();
    expect(goesOn(typing, typed(3, "a"))).toBe(false);
    expect(goesOn(typing, typed(4, "b"))).toBe(true);
    expect(goesOn(typing, typed(9, "c"))).toBe(false);
  });

  test("ends with a pause, a new line, another kind of edit, a paste", () => {
    const typing = run();
    goesOn(typing, typed(3, "a"));
    clock.now += 10_000;
    expect(goesOn(typing, typed(4, "b"))).toBe(false);
    expect(goesOn(typing, typed(5, "\n"))).toBe(false);
    expect(goesOn(typing, changed("xxxxxxx", { changes: { from: 5, to: 6 }, userEvent: "delete.backward" }))).toBe(
      false,
    );
    expect(goesOn(typing, changed("xxxxxxx", { changes: { from: 4, to: 5 }, userEvent: "delete.backward" }))).toBe(
      true,
    );
    expect(goesOn(typing, typed(4, "pasted", "input.paste"))).toBe(false);
    expect(goesOn(typing, typed(10, "pasted", "input.paste"))).toBe(false);
  });

  test("ends when the caret is put elsewhere", () => {
    const typing = run();
    goesOn(typing, typed(3, "a"));
    typing.follow(changed("x".repeat(50), { selection: EditorSelection.single(7) }));
    expect(goesOn(typing, typed(4, "b"))).toBe(false);
  });
});
