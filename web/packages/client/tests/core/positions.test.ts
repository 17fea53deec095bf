import fc from "fast-check";
import { expect, it } from "vitest";
import {
  advance,
  fromUtf16,
  isInsidePair,
  lengthInCodePoints,
  sliceCodePoints,
  toUtf16,
} from "../../src/core/positions.ts";
import { letters, RUNS } from "./strategies.ts";

const text = fc.oneof(letters("ab\né", 40), letters("ab😅\u0301", 40), letters("😅", 12));

it("counts like an array of code points", () => {
  fc.assert(
    fc.property(text, fc.nat(60), fc.nat(60), (whole, first, second) => {
      const points = [...whole];
      const [from, to] = [Math.min(first, second) % (points.length + 1), points.length];
      expect(lengthInCodePoints(whole)).toBe(points.length);
      expect(sliceCodePoints(whole, from, to)).toBe(points.slice(from, to).join(""));
      expect(toUtf16(whole, from)).toBe(points.slice(0, from).join("").length);
      expect(fromUtf16(whole, toUtf16(whole, from))).toBe(from);
      expect(advance(whole, toUtf16(whole, from), 1)).toBe(points.slice(0, from + 1).join("").length);
    }),
    RUNS,
  );
});

it("a long text of one plane and a long one with an emoji at its end", () => {
  const plain = "é€".repeat(1_000);
  expect(lengthInCodePoints(plain)).toBe(2_000);
  expect(lengthInCodePoints(`${plain}😅`)).toBe(2_001);
  expect(fromUtf16(`😅${plain}`, 2_002)).toBe(2_001);
});

it("knows the inside of a pair", () => {
  expect([0, 1, 2, 3].map((offset) => isInsidePair("a😅", offset))).toStrictEqual([false, false, true, false]);
});

it.each([-1, 3, Number.NaN])("%d is no position of two code points", (position) => {
  expect(() => toUtf16("a😅", position)).toThrow("position_out_of_range");
});

it.each([-1, 1, 3, Number.NaN])("%d is no boundary in two UTF-16 units", (offset) => {
  expect(() => fromUtf16("😅", offset)).toThrow("position_out_of_range");
});
