import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply, deletedText } from "../../src/core/operation.ts";
import { CHUNK, TextBuffer } from "../../src/core/text_buffer.ts";
import { letters, nth, RUNS, sequential } from "./strategies.ts";

/** The text as an array of code points: all that a buffer can do, slowly. */
class Oracle {
  points: string[];

  constructor(text: string) {
    this.points = [...text];
  }

  splice(position: number, deleted: number, inserted: string): string {
    return this.points.splice(position, deleted, ...inserted).join("");
  }

  utf16(position: number): number {
    return this.points.slice(0, position).join("").length;
  }

  text(): string {
    return this.points.join("");
  }
}

function check(buffer: TextBuffer, oracle: Oracle): void {
  const whole = oracle.text();
  expect(buffer.toString()).toBe(whole);
  expect([buffer.lengthCodePoints, buffer.lengthUtf16]).toStrictEqual([oracle.points.length, whole.length]);
}

const edit = fc.record({
  near: fc.boolean(),
  at: fc.nat(200),
  deleted: fc.oneof(fc.nat(4), fc.nat(60)),
  inserted: fc.oneof(letters("XY🤖", 3), letters("XY🤖", 60)),
});

describe("like an array of code points, with chunks so short that every edit is near a border", () => {
  it.each([1, 2, 4, 7])("chunks of %d", (chunkUnits) => {
    fc.assert(
      fc.property(letters("ab😅\n\u0301", 80), fc.array(edit, { maxLength: 16 }), (text, edits) => {
        const buffer = new TextBuffer(text, chunkUnits);
        const oracle = new Oracle(text);
        let last = 0;
        for (const { near, at, deleted, inserted } of edits) {
          const size = oracle.points.length;
          const position = near ? Math.min(last + (at % 5), size) : at % (size + 1);
          const dropped = Math.min(deleted, size - position);
          expect(buffer.splice(position, dropped, inserted)).toBe(oracle.splice(position, dropped, inserted));
          check(buffer, oracle);
          last = position;
          const probe = (at * 7) % (oracle.points.length + 1);
          const offset = oracle.utf16(probe);
          expect(buffer.toUtf16(probe)).toBe(offset);
          expect(buffer.toCodePoint(offset)).toBe(probe);
          expect(buffer.snapToCodePoint(offset)).toBe(probe);
          if ((oracle.points[probe] ?? "").length === 2) {
            expect(buffer.snapToCodePoint(offset + 1)).toBe(probe);
            expect(() => buffer.toCodePoint(offset + 1)).toThrow(RangeError);
          }
          const [from, to] = [Math.min(probe, position), Math.max(probe, position)];
          expect(buffer.slice(from, to)).toBe(oracle.points.slice(from, to).join(""));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("operations in a row", () => {
    fc.assert(
      fc.property(sequential(4), ({ text, operations }) => {
        const buffer = new TextBuffer(text, 2);
        let expected = text;
        for (let index = 0; index < operations.length; index += 1) {
          const operation = nth(operations, index);
          expect(buffer.apply(operation)).toBe(deletedText(expected, operation));
          expected = apply(expected, operation);
          check(buffer, new Oracle(expected));
        }
      }),
      RUNS,
    );
  });
});

describe("a long text", () => {
  const borders = [0, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 4 * CHUNK + 5];
  const sizes = [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK];
  it.each(borders.flatMap((position) => sizes.map((deleted) => [position, deleted] as const)))(
    "at its borders: %d, %d deleted",
    (position, deleted) => {
      const text = "0123456789".repeat(CHUNK).slice(0, 7 * CHUNK + 5);
      const buffer = new TextBuffer(text);
      expect(buffer.splice(position, deleted, "😅")).toBe(text.slice(position, position + deleted));
      expect(buffer.toString()).toBe(`${text.slice(0, position)}😅${text.slice(position + deleted)}`);
      expect(buffer.toUtf16(buffer.lengthCodePoints)).toBe(buffer.lengthUtf16);
    },
  );

  it("everything goes, and something comes", () => {
    const text = "a😅".repeat(CHUNK * 5);
    const buffer = new TextBuffer(text);
    expect(buffer.splice(0, buffer.lengthCodePoints, "")).toBe(text);
    expect([buffer.toString(), buffer.lengthCodePoints, buffer.lengthUtf16]).toStrictEqual(["", 0, 0]);
    expect(buffer.splice(0, 0, text)).toBe("");
    expect(buffer.toString()).toBe(text);
    for (let position = buffer.lengthCodePoints - 1; position >= 0; position -= 1) buffer.splice(position, 1, "");
    expect(buffer.toString()).toBe("");
  });

  it("a keystroke in 5 MB with emoji all over is cheap, and so is a jump to the other end", () => {
    const buffer = new TextBuffer("some text 😅 and more\n".repeat(250_000));
    const size = buffer.lengthCodePoints;
    const [blocks, rounds] = [20, 100];
    let best = Number.POSITIVE_INFINITY;
    for (let block = 0; block < blocks; block += 1) {
      const start = performance.now();
      for (let round = 0; round < rounds; round += 1) {
        const position = round % 2 === 0 ? Math.floor(size / 2) + round : (round * 7_919_000) % size;
        buffer.splice(position, 0, "x");
        buffer.toCodePoint(buffer.toUtf16(position));
      }
      best = Math.min(best, (performance.now() - start) / rounds);
    }
    // Milliseconds, of the best block, for others use this machine too. It is some 0.03; a walk through the text takes 5.
    expect(best).toBeLessThan(0.25);
    expect(buffer.lengthCodePoints).toBe(size + blocks * rounds);
  });
});

describe("what lies outside the text", () => {
  it.each([
    [-1, 0],
    [0, 4],
    [4, 0],
    [2, 2],
    [0, -1],
    [Number.NaN, 0],
  ])("splice %d, %d", (position, deleted) => {
    const buffer = new TextBuffer("a😅c");
    expect(() => buffer.splice(position, deleted, "x")).toThrow(RangeError);
    expect(buffer.toString()).toBe("a😅c");
  });

  it("an operation that does not fit changes nothing, although it begins well", () => {
    const buffer = new TextBuffer("abc");
    expect(() => buffer.apply(["x", 2, { size: 2 }])).toThrow(RangeError);
    expect(buffer.toString()).toBe("abc");
  });

  it.each(["abc", "a😅"])("conversions in %s", (text) => {
    const buffer = new TextBuffer(text);
    for (const outside of [-1, 4, Number.NaN]) {
      expect(() => buffer.toUtf16(outside)).toThrow(RangeError);
      expect(() => buffer.toCodePoint(outside)).toThrow(RangeError);
      expect(() => buffer.snapToCodePoint(outside)).toThrow(RangeError);
      expect(() => buffer.slice(0, outside)).toThrow(RangeError);
    }
    expect(() => buffer.slice(2, 1)).toThrow(RangeError);
  });
});
