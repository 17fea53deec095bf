/**
 * Code points (the unit of the wire) to and from UTF-16 units (the unit of JavaScript strings and of editors).
 *
 * While a text has no code point beyond U+FFFF the two are equal. A regular expression finds that out quickly: the
 * engine keeps a text of Latin letters in one byte a letter and knows without looking that no surrogate is in it.
 */

import { CoscribeError } from "./errors.ts";

const HIGH_SURROGATE = /[\ud800-\udbff]/;
const SHORT = 16;

/** How many code points a text has. */
export function lengthInCodePoints(text: string): number {
  const units = text.length;
  if (units > SHORT && !HIGH_SURROGATE.test(text)) return units;
  let points = 0;
  for (let unit = 0; unit < units; unit += sizeAt(text, unit)) points += 1;
  return points;
}

/** How many UTF-16 units the code point at an offset takes. */
function sizeAt(text: string, unit: number): number {
  return (text.charCodeAt(unit) & 0xfc00) === 0xd800 && (text.charCodeAt(unit + 1) & 0xfc00) === 0xdc00 ? 2 : 1;
}

/** Whether a UTF-16 offset lies between the two halves of a code point beyond U+FFFF. */
export function isInsidePair(text: string, offset: number): boolean {
  return sizeAt(text, offset - 1) === 2;
}

/** The UTF-16 offset that lies so many code points behind `start` (a UTF-16 offset), at most the end of the text. */
export function advance(text: string, start: number, points: number): number {
  let unit = start;
  const end = text.length;
  for (let left = points; left > 0 && unit < end; left -= 1) unit += sizeAt(text, unit);
  return unit;
}

/** The part of a text between two positions, in code points. */
export function sliceCodePoints(text: string, from: number, to: number): string {
  if (!HIGH_SURROGATE.test(text)) return text.slice(from, to);
  const start = advance(text, 0, from);
  return text.slice(start, advance(text, start, to - from));
}

/** The UTF-16 offset of a code point position in `text`. Errors: `position_out_of_range`. */
export function toUtf16(text: string, position: number): number {
  const length = lengthInCodePoints(text);
  if (!(position >= 0 && position <= length)) {
    throw new CoscribeError("position_out_of_range", `${position} is not within 0..${length}`);
  }
  return length === text.length ? position : advance(text, 0, position);
}

/** The code point position of a UTF-16 offset. Errors: `position_out_of_range`, also inside a surrogate pair. */
export function fromUtf16(text: string, offset: number): number {
  if (!(offset >= 0 && offset <= text.length) || isInsidePair(text, offset)) {
    throw new CoscribeError("position_out_of_range", `UTF-16 offset ${offset} is no boundary of a code point`);
  }
  return lengthInCodePoints(offset === text.length ? text : text.slice(0, offset));
}
