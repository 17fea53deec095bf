import fc from "fast-check";
import { expect, test } from "vitest";
import { apply, fromEdits, invert, knowDeleted, type Operation, simplify } from "../src/core/operation.ts";
import { TextBuffer } from "../src/core/text_buffer.ts";
import { UndoStack } from "../src/undo.ts";

function inverseOf(text: string, operation: Operation): Operation {
  return simplify(invert(knowDeleted(operation, new TextBuffer(text).apply(operation))));
}

test("steps come back in turn, the oldest beyond the depth are gone", () => {
  const stack = new UndoStack<string>(2);
  for (const name of ["one", "two", "three"]) stack.push(fromEdits([[0, 1, ""]]), name);
  expect(stack.length).toBe(2);
  expect([stack.pop()?.of, stack.pop()?.of, stack.pop()]).toEqual(["three", "two", null]);
});

test("a cleared stack has nothing", () => {
  const stack = new UndoStack<string>(2);
  stack.push(fromEdits([[0, 1, ""]]), "one");
  stack.clear();
  expect(stack.pop()).toBeNull();
});

test("whatever others insert in between, and however much, all steps together take back what is ours alone", () => {
  const story = fc.array(fc.tuple(fc.boolean(), fc.nat(1_000)), { maxLength: 300 });
  fc.assert(
    fc.property(story, (steps) => {
      const stack = new UndoStack<null>(1_000);
      let text = "";
      let theirs = 0;
      for (const [isOurs, chance] of steps) {
        const operation = fromEdits([[chance % (text.length + 1), 0, isOurs ? "o" : "T"]]);
        if (isOurs) stack.push(inverseOf(text, operation), null);
        else {
          stack.foreign(operation);
          theirs += 1;
        }
        text = apply(text, operation);
      }
      for (let step = stack.pop(); step !== null; step = stack.pop()) text = apply(text, step.operation);
      expect(text).toBe("T".repeat(theirs));
    }),
    { numRuns: 100 },
  );
});
