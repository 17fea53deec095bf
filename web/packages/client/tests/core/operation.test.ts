import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoscribeError } from "../../src/core/errors.ts";
import {
  apply,
  type CodePointEdit,
  type Components,
  changes,
  components,
  compose,
  deletedText,
  fromEdits,
  growth,
  invert,
  isSplice,
  knowDeleted,
  LEFT,
  movePosition,
  NOTHING,
  normalise,
  type Operation,
  RIGHT,
  reach,
  type Side,
  simplify,
  toEdits,
  transform,
} from "../../src/core/operation.ts";
import { concurrent, nth, RUNS, sequential } from "./strategies.ts";

const side = fc.constantFrom<Side>(LEFT, RIGHT);

/** The text as an array of code points, cut and glued: an apply that shares no code with the core. */
function naive(text: string, operation: Operation): string {
  const left = [...text];
  const out: string[] = [];
  for (const part of components(operation)) {
    if (typeof part === "string") out.push(part);
    else if (typeof part === "number") out.push(...left.splice(0, part));
    else left.splice(0, part.size);
  }
  return [...out, ...left].join("");
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoscribeError) return error.code;
    throw error;
  }
  return "nothing was refused";
}

describe("laws", () => {
  it("apply is what cutting and gluing code points gives", () => {
    fc.assert(
      fc.property(concurrent(1), ({ text, operations }) => {
        const after = apply(text, nth(operations, 0));
        expect(after).toBe(naive(text, nth(operations, 0)));
        expect([...after].length - [...text].length).toBe(growth(nth(operations, 0)));
        expect(apply(text, components(nth(operations, 0)))).toBe(after);
      }),
      RUNS,
    );
  });

  it("TP1: both ways around the diamond lead to one text", () => {
    fc.assert(
      fc.property(concurrent(2), side, ({ text, operations }, way) => {
        const [a, b] = [nth(operations, 0), nth(operations, 1)];
        const aAfterB = transform(a, b, way);
        const bAfterA = transform(b, a, way === LEFT ? RIGHT : LEFT);
        expect(naive(naive(text, b), aAfterB)).toBe(naive(naive(text, a), bAfterA));
      }),
      RUNS,
    );
  });

  it("the fast path of transform gives what the general one gives", () => {
    fc.assert(
      fc.property(concurrent(2), side, ({ operations }, way) => {
        const [a, b] = [nth(operations, 0), nth(operations, 1)];
        expect(components(transform(a, b, way))).toStrictEqual(
          normalise(components(transform(components(a), components(b), way))),
        );
      }),
      RUNS,
    );
  });

  it("compose does both at once, in any grouping, and nobody can tell from outside", () => {
    fc.assert(
      fc.property(sequential(3), ({ text, operations }) => {
        const [a, b, c] = [nth(operations, 0), nth(operations, 1), nth(operations, 2)];
        const all = naive(naive(naive(text, a), b), c);
        expect(naive(text, compose(compose(a, b), c))).toBe(all);
        expect(naive(text, compose(a, compose(b, c)))).toBe(all);
        const known = knowDeleted(b, deletedText(naive(text, a), b));
        expect(naive(text, compose(a, known))).toBe(naive(naive(text, a), b));
      }),
      RUNS,
    );
  });

  it("compose keeps which text is deleted, where both know", () => {
    fc.assert(
      fc.property(sequential(2), ({ text, operations }) => {
        const [a, b] = [nth(operations, 0), nth(operations, 1)];
        const between = naive(text, a);
        const both = compose(knowDeleted(a, deletedText(text, a)), knowDeleted(b, deletedText(between, b)));
        expect(apply(text, both)).toBe(naive(between, b));
        if (!isSplice(both)) for (const part of both) if (typeof part === "object") expect(part.text).toBeDefined();
      }),
      RUNS,
    );
  });

  it("invert takes back what was done, and twice is once", () => {
    fc.assert(
      fc.property(concurrent(1), ({ text, operations }) => {
        const known = knowDeleted(nth(operations, 0), deletedText(text, nth(operations, 0)));
        const back = invert(known);
        expect(apply(apply(text, known), back)).toBe(text);
        expect(invert(back)).toStrictEqual(normalise(known));
        expect(apply(text, compose(known, back))).toBe(text);
      }),
      RUNS,
    );
  });

  it("edits are another way of writing an operation", () => {
    fc.assert(
      fc.property(concurrent(1), ({ text, operations }) => {
        const operation = nth(operations, 0);
        expect(apply(text, fromEdits(toEdits(operation)))).toBe(apply(text, operation));
        expect(reach(fromEdits(toEdits(operation)))).toBeLessThanOrEqual([...text].length);
      }),
      RUNS,
    );
  });

  it("a position stays between the same neighbours", () => {
    fc.assert(
      fc.property(concurrent(1), fc.nat(12), fc.boolean(), ({ text, operations }, at, beforeInsert) => {
        const points = [...text];
        const position = at % (points.length + 1);
        const marked = points.map((point, index) => `${index < position ? "<" : ">"}${point}`);
        const operation = nth(operations, 0);
        const moved = movePosition(position, operation, beforeInsert);
        // The same operation on marks instead of letters: what is left of the position has to stay left of it.
        const kept: string[] = [];
        let index = 0;
        for (const part of components(operation)) {
          if (typeof part === "string") kept.push(...[...part].map(() => "+"));
          else if (typeof part === "number")
            for (const end = index + part; index < end; index += 1) kept.push(marked[index] ?? "");
          else index += part.size;
        }
        kept.push(...marked.slice(index));
        expect(kept.slice(0, moved).some((mark) => mark.startsWith(">"))).toBe(false);
        expect(kept.slice(moved).some((mark) => mark.startsWith("<"))).toBe(false);
        if (position === 0 && beforeInsert) expect(moved).toBe(0);
      }),
      RUNS,
    );
  });
});

describe("forms", () => {
  it.each<[string, Components, Operation]>([
    ["nothing", [], NOTHING],
    ["a retain", [3], NOTHING],
    ["an insert", [2, "x"], { position: 2, deleted: 0, inserted: "x" }],
    ["a replace", [2, "x", { size: 1, text: "a" }, 4], { position: 2, deleted: 1, inserted: "x" }],
    ["a delete before an insert", [{ size: 1 }, "x"], [{ size: 1 }, "x"]],
    ["two places", [1, "x", 1, "y"], [1, "x", 1, "y"]],
  ])("simplify %s", (_, parts, expected) => {
    expect(simplify(parts)).toStrictEqual(expected);
  });

  it("one delete of unknown text makes the merged text unknown", () => {
    expect(normalise([{ size: 1, text: "a" }, { size: 1 }, 2])).toStrictEqual([{ size: 2 }]);
    expect(
      normalise([
        { size: 1, text: "a" },
        { size: 1, text: "😅" },
      ]),
    ).toStrictEqual([{ size: 2, text: "a😅" }]);
  });

  it("a stated length is stated after a transform too", () => {
    expect(transform(["x", 3], [3, "😅"], LEFT)).toStrictEqual(["x", 4]);
    expect(transform(["x"], [3, "😅"], LEFT)).toStrictEqual(["x"]);
  });

  it("a splice that nothing moves stays the same object", () => {
    const splice = { position: 1, deleted: 0, inserted: "x" };
    expect(transform(splice, { position: 2, deleted: 1, inserted: "y" }, LEFT)).toBe(splice);
  });

  it("sizes are code points", () => {
    expect(growth({ position: 0, deleted: 1, inserted: "👩‍💻" })).toBe(2);
    expect(reach([2, "😅", { size: 3 }])).toBe(5);
    expect(movePosition(1, { position: 0, deleted: 0, inserted: "😅" }, true)).toBe(2);
  });

  it("only an insert or a delete changes anything", () => {
    expect([[], [4], { position: 3, deleted: 0, inserted: "" }].map(changes)).toStrictEqual([false, false, false]);
    expect([["x"], [{ size: 1 }]].map(changes)).toStrictEqual([true, true]);
  });
});

describe("refusals", () => {
  it("apply: past the end, or another text than the one to delete", () => {
    expect(codeOf(() => apply("a😅", { position: 3, deleted: 0, inserted: "x" }))).toBe("position_out_of_range");
    expect(codeOf(() => apply("a😅", [1, { size: 2 }]))).toBe("position_out_of_range");
    expect(codeOf(() => apply("a😅", [1, { size: 1, text: "b" }]))).toBe("invalid_payload");
  });

  it.each<readonly CodePointEdit[][]>([
    [
      [
        [2, 0, "x"],
        [1, 0, "y"],
      ],
    ],
    [
      [
        [0, 2, ""],
        [1, 1, ""],
      ],
    ],
  ])("fromEdits: %j run backwards or overlap", (edits) => {
    expect(codeOf(() => fromEdits(edits))).toBe("invalid_payload");
  });

  it("invert and knowDeleted want the deleted text, all of it and no more", () => {
    expect(() => invert([{ size: 1 }])).toThrow(RangeError);
    for (const removed of ["", "a", "abc", "a😅c"])
      expect(() => knowDeleted([{ size: 2 }], removed)).toThrow(RangeError);
    expect(knowDeleted([{ size: 2 }], "a😅")).toStrictEqual([{ size: 2, text: "a😅" }]);
  });
});
