import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apply, fromEdits, type Operation, toEdits } from "../../src/core/operation.ts";
import { pieces } from "../../src/core/pieces.ts";
import { lengthInCodePoints } from "../../src/core/positions.ts";

describe("pieces", () => {
  test("what is short enough stays as it is", () => {
    const operation = fromEdits([[1, 2, "abc"]]);
    expect(pieces(operation, 3)).toEqual([operation]);
  });

  test("deletes and the beginnings first, then what is left of each insert", () => {
    const operation = fromEdits([
      [0, 1, "aabb🙂"],
      [2, 0, "ccd"],
    ]);
    expect(pieces(operation, 3).map((piece) => toEdits(piece))).toEqual([
      [[0, 1, "aab"]],
      [[3, 0, "b🙂"]],
      [[6, 0, "ccd"]],
    ]);
  });

  test("one after the other they do what the operation does", () => {
    const insert = fc.string({ unit: "grapheme", maxLength: 30 });
    const edit = fc.record({ skip: fc.nat(4), deleted: fc.nat(3), inserted: insert });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 5 }), fc.integer({ min: 1, max: 6 }), (edits, most) => {
        let position = 0;
        const operation: Operation = fromEdits(
          edits.map(({ skip, deleted, inserted }) => {
            const at = position + skip;
            position = at + deleted;
            return [at, deleted, inserted] as const;
          }),
        );
        const text = "x🙂y".repeat(15);
        const parts = pieces(operation, most);
        expect(parts.reduce(apply, text)).toBe(apply(text, operation));
        for (const part of parts) {
          const inserted = toEdits(part).map(([, , text]) => lengthInCodePoints(text));
          expect(inserted.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(most);
        }
      }),
    );
  });
});
