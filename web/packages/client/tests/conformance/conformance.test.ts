/** The client on the vectors of contract/conformance and on the published ones; expected values come from elsewhere. */

import process from "node:process";
import { afterAll, describe, expect, it } from "vitest";
import { CoscribeError } from "../../src/core/errors.ts";
import { apply, components, compose, LEFT, RIGHT, reach, transform } from "../../src/core/operation.ts";
import { fromUtf16, lengthInCodePoints, toUtf16 } from "../../src/core/positions.ts";
import { TextBuffer } from "../../src/core/text_buffer.ts";
import { inverse, Tree } from "../../src/core/tree.ts";
import { compileOperation, wireForm } from "../../src/wire/codec.ts";
import type { WireForm } from "../../src/wire/messages.ts";
import { decode, encode, forms, type JsonOperation } from "./notation.ts";
import { type ConversationRecord, Replay } from "./replay.ts";
import {
  attempt,
  decodeTreeOperation,
  type JsonNotes,
  type JsonTree,
  type JsonTreeOperation,
  rows,
} from "./tree_notation.ts";
import { conversations, each, external, frozen, type Vector, writePassed } from "./vectors.ts";

afterAll(writePassed);

interface Apply {
  readonly text: string;
  readonly op: JsonOperation;
  readonly result: string;
}

interface Transform {
  readonly op: JsonOperation;
  readonly other: JsonOperation;
  readonly side: "left" | "right";
  readonly result: JsonOperation;
}

interface Compose {
  readonly first: JsonOperation;
  readonly second: JsonOperation;
  readonly result: JsonOperation;
}

interface Place {
  readonly text: string;
  readonly codePoint: number;
  readonly utf16: number;
}

interface TreePairOutcome {
  readonly tree: JsonTree;
  readonly notes: JsonNotes;
  readonly refused: Readonly<Record<string, string>>;
}

interface TreePair {
  readonly given: readonly JsonTreeOperation[];
  readonly one: JsonTreeOperation;
  readonly other: JsonTreeOperation;
  readonly oneFirst: TreePairOutcome;
  readonly otherFirst: TreePairOutcome;
  readonly foldsCase?: boolean;
}

interface TreeUndone {
  readonly given: readonly JsonTreeOperation[];
  readonly operation: JsonTreeOperation;
  readonly done: JsonTree;
  readonly undone: JsonTree;
}

interface TreeHistory {
  readonly foldsCase: boolean;
  readonly nodes: number;
  readonly depth: number;
  readonly operations: readonly JsonTreeOperation[];
  readonly outcomes: readonly ({ readonly notes: JsonNotes } | { readonly refused: string })[];
  readonly tree: JsonTree;
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

function checkApply({ text, op, result }: Apply): void {
  for (const operation of forms(op)) {
    expect(apply(text, operation)).toBe(result);
    const buffer = new TextBuffer(text, 4);
    buffer.apply(operation);
    expect(buffer.toString()).toBe(result);
  }
}

function checkTransform({ op, other, side, result }: Transform): void {
  const way = side === "left" ? LEFT : RIGHT;
  for (const operation of forms(op)) {
    for (const over of forms(other)) expect(encode(transform(operation, over, way))).toStrictEqual(result);
  }
}

function checkCompose({ first, second, result }: Compose): void {
  for (const one of forms(first)) {
    for (const two of forms(second)) expect(encode(compose(one, two))).toStrictEqual(result);
  }
}

function checkTreePair({ given, one, other, oneFirst, otherFirst, foldsCase = false }: TreePair): void {
  const inOrder = (...order: readonly (readonly [which: string, operation: JsonTreeOperation])[]): TreePairOutcome => {
    const tree = new Tree({ foldsCase });
    tree.apply(given.map(decodeTreeOperation));
    const outcomes = order.map(([which, operation]) => ({ which, ...attempt(tree, operation) }));
    return {
      tree: rows(tree),
      notes: outcomes.flatMap(({ notes }) => notes ?? []),
      refused: Object.fromEntries(
        outcomes.flatMap(({ which, refused }) => (refused === undefined ? [] : [[which, refused]])),
      ),
    };
  };
  expect(inOrder(["one", one], ["other", other])).toStrictEqual(oneFirst);
  expect(inOrder(["other", other], ["one", one])).toStrictEqual(otherFirst);
}

function checkTreeUndone({ given, operation, done, undone }: TreeUndone): void {
  const tree = new Tree();
  tree.apply(given.map(decodeTreeOperation));
  let effect = tree.apply([decodeTreeOperation(operation)]);
  expect(rows(tree)).toStrictEqual(done);
  for (const after of [undone, done, undone]) {
    effect = tree.apply(inverse(effect));
    expect(rows(tree)).toStrictEqual(after);
    expect(effect.notes).toStrictEqual([]);
  }
}

function checkTreeHistory({ foldsCase, nodes, depth, operations, outcomes, tree: expected }: TreeHistory): void {
  const tree = new Tree({ foldsCase, limits: { nodes, depth } });
  expect(operations.map((operation) => attempt(tree, operation))).toStrictEqual(outcomes);
  expect(rows(tree)).toStrictEqual(expected);
}

describe("contract/conformance", () => {
  it("apply", () => each(frozen<Apply>("apply"), checkApply));

  it("what does not fit is refused", () => {
    each(frozen<Apply>("apply", "pastTheEnd"), ({ text, op }) => {
      const operation = decode(op);
      const buffer = new TextBuffer(text);
      expect(reach(operation)).toBeGreaterThan(lengthInCodePoints(text));
      expect(codeOf(() => apply(text, operation))).toBe("position_out_of_range");
      expect(() => buffer.apply(operation)).toThrow(RangeError);
      expect(buffer.toString()).toBe(text);
    });
  });

  it("transform", () => each(frozen<Transform>("transform"), checkTransform));

  it("compose", () => each(frozen<Compose>("compose"), checkCompose));

  it("positions", () => {
    each(frozen<Place>("positions"), ({ text, codePoint, utf16 }) => {
      expect(toUtf16(text, codePoint)).toBe(utf16);
      expect(fromUtf16(text, utf16)).toBe(codePoint);
      const buffer = new TextBuffer(text, 4);
      expect(buffer.toUtf16(codePoint)).toBe(utf16);
      expect(buffer.toCodePoint(utf16)).toBe(codePoint);
      expect(buffer.snapToCodePoint(utf16)).toBe(codePoint);
    });
    each(frozen<Place>("positions", "noBoundary"), ({ text, utf16 }) => {
      expect(codeOf(() => fromUtf16(text, utf16))).toBe("position_out_of_range");
      expect(() => new TextBuffer(text).toCodePoint(utf16)).toThrow(RangeError);
    });
  });

  it("tree", () => {
    each(frozen<TreePair>("tree"), checkTreePair);
    each(frozen<TreeUndone>("tree", "undone"), checkTreeUndone);
    each(frozen<TreeHistory>("tree", "histories"), checkTreeHistory);
  });

  it("wire", () => {
    each(frozen<WireForm & { op: JsonOperation }>("wire"), ({ operationType, position, payload, op }) => {
      const operation = compileOperation(operationType, position, payload);
      expect(encode(operation)).toStrictEqual(op);
      const back = wireForm(operation);
      expect(components(compileOperation(back.operationType, back.position, back.payload))).toStrictEqual(
        components(operation),
      );
    });
    each(frozen<WireForm & { code: string }>("wire", "refused"), ({ operationType, position, payload, code }) => {
      expect(codeOf(() => compileOperation(operationType, position, payload))).toBe(code);
    });
  });

  it("conversations", () => {
    let applied = 0;
    each(conversations<ConversationRecord>(), (record) => {
      const replay = new Replay(record);
      replay.run(record);
      applied += replay.applied;
    });
    expect(applied).toBeGreaterThan(250);
  });
});

/** A test over a file of published vectors; where it is missing, the test is skipped and says what that leaves out. */
function published(file: string, count: number, run: (vectors: readonly Vector<unknown[]>[]) => void, lines = 1): void {
  const vectors = external(file, lines);
  if (vectors === undefined) process.stdout.write(`external data is missing (${count} cases): ${file}\n`);
  it.skipIf(vectors === undefined)(file, () => {
    expect(vectors).toHaveLength(count);
    run(vectors ?? []);
  });
}

describe("external", () => {
  published(
    "text-unicode-transform.json",
    46,
    (vectors) =>
      each(vectors, ([op, other, side, expected]) => {
        expect(["left", "right"]).toContain(side);
        const got = transform(
          decode(op as JsonOperation),
          decode(other as JsonOperation),
          side === "left" ? LEFT : RIGHT,
        );
        expect(encode(got, true)).toStrictEqual(expected);
      }),
    4,
  );

  published("ot-apply.jsonl", 2_158, (vectors) =>
    each(vectors as Vector<[{ str: string; op: JsonOperation; result: string }]>[], ([{ str, op, result }]) =>
      checkApply({ text: str, op, result }),
    ),
  );

  published("ot-transform.jsonl", 2_254, (vectors) =>
    each(vectors as Vector<[Transform & { otherOp: JsonOperation }]>[], ([{ op, otherOp, side, result }]) => {
      expect(["left", "right"]).toContain(side);
      checkTransform({ op, other: otherOp, side, result });
    }),
  );

  published("ot-compose.jsonl", 708, (vectors) =>
    each(vectors as Vector<[{ op1: JsonOperation; op2: JsonOperation; result: JsonOperation }]>[], ([record]) =>
      checkCompose({ first: record.op1, second: record.op2, result: record.result }),
    ),
  );
});
