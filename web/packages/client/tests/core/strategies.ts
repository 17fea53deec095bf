/** Texts and operations for the property tests: short, full of ties, overlaps and characters beyond U+FFFF. */

import fc from "fast-check";
import {
  type Component,
  type Components,
  growth,
  normalise,
  type Operation,
  simplify,
} from "../../src/core/operation.ts";

/** How often a cheap property is tried. */
export const RUNS = { numRuns: 2_000 };

export const text = letters("ab😅\ne\u0301 c👩‍💻", 12);
const inserted = letters("XY🤖\u0301", 3);

/** Words of some letters, where a letter is a code point. */
export function letters(alphabet: string, maxLength: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...alphabet), maxLength });
}

/** An operation that still wants a text to be made for: so both can be drawn, and shrunk, together. */
export type Draft = (size: number) => Operation;

const spliceDraft: fc.Arbitrary<Draft> = fc.tuple(fc.nat(24), fc.nat(5), inserted).map(([at, drop, insert]) => {
  return (size) => {
    const position = at % (size + 1);
    return { position, deleted: Math.min(drop, size - position), inserted: insert };
  };
});

const step = fc.record({ keep: fc.nat(4), drop: fc.nat(4), insert: inserted, deleteFirst: fc.boolean() });

const componentsDraft = fc.array(step, { maxLength: 4 }).map((steps) => (size: number): Components => {
  let left = size;
  const parts: Component[] = [];
  for (const { keep, drop, insert, deleteFirst } of steps) {
    const kept = Math.min(keep, left);
    const deleted = { size: Math.min(drop, left - kept) };
    left -= kept + deleted.size;
    parts.push(kept, ...(deleteFirst ? [deleted, insert] : [insert, deleted]));
  }
  return normalise(parts);
});

/** A splice, a list of components, or one made simple. */
export const draft: fc.Arbitrary<Draft> = fc.oneof(
  spliceDraft,
  componentsDraft,
  componentsDraft.map(
    (make): Draft =>
      (size) =>
        simplify(make(size)),
  ),
);

/** A text and drafts made for it: all against it, or each against what those before it leave. */
export function concurrent(count: number): fc.Arbitrary<{ text: string; operations: Operation[] }> {
  return drafted(count, (size) => size);
}

export function sequential(count: number): fc.Arbitrary<{ text: string; operations: Operation[] }> {
  return drafted(count, (size, operation) => size + growth(operation));
}

function drafted(count: number, sizeAfter: (size: number, operation: Operation) => number) {
  return fc.tuple(text, fc.array(draft, { minLength: count, maxLength: count })).map(([before, drafts]) => {
    let size = [...before].length;
    const operations: Operation[] = [];
    for (const make of drafts) {
      const operation = make(size);
      operations.push(operation);
      size = sizeAfter(size, operation);
    }
    return { text: before, operations };
  });
}

/** The operation at a place of what was drawn. */
export function nth(operations: readonly Operation[], index: number): Operation {
  const operation = operations[index];
  if (operation === undefined) throw new RangeError(`no operation ${index}`);
  return operation;
}
