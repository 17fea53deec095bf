// @ts-check
/** Texts and edits. The protocol counts Unicode code points, JavaScript UTF-16 units: an emoji is one, and two. */

/** Position, how many code points go, what comes. @typedef {[number, number, string]} Edit */

/**
 * @typedef {object} Operation as committed
 * @property {"insert" | "delete" | "replace" | "batch"} operationType
 * @property {number} position
 * @property {any} payload
 */

const SURROGATE = /[\ud800-\udfff]/;

/**
 * The edits of an operation, all against one text, left to right.
 * @param {Operation} operation
 * @returns {Edit[]}
 */
export function editsOf({ operationType, position, payload }) {
  switch (operationType) {
    case "insert":
      return [[position, 0, payload]];
    case "delete":
      return [[position, payload, ""]];
    case "replace":
      return [[position, payload.delete, payload.insert]];
    case "batch":
      return payload;
  }
}

/** A text that edits are applied to. */
export class Text {
  /** @param {string} value */
  constructor(value) {
    this.value = value;
    /** Whether code points and UTF-16 units are the same in it. */
    this.isPlain = !SURROGATE.test(value);
  }

  /** @param {Edit[]} edits left to right; positions are of the text before all of them */
  apply(edits) {
    /** @type {string[]} */
    const parts = [];
    let unit = 0;
    let point = 0;
    for (const [position, deleted, inserted] of edits) {
      const start = this.advance(unit, position - point);
      parts.push(this.value.slice(unit, start), inserted);
      unit = this.advance(start, deleted);
      point = position + deleted;
    }
    parts.push(this.value.slice(unit));
    this.isPlain &&= !edits.some((edit) => SURROGATE.test(edit[2]));
    this.value = parts.join("");
  }

  /**
   * The UTF-16 offset so many code points behind another.
   * @param {number} unit
   * @param {number} points
   */
  advance(unit, points) {
    if (this.isPlain) return unit + points;
    for (; points > 0; points--) unit += /** @type {number} */ (this.value.codePointAt(unit)) > 0xffff ? 2 : 1;
    return unit;
  }
}

/**
 * Where a caret goes when a text becomes another one: it stays with what is before or after it.
 * @param {string} before
 * @param {string} after
 * @param {number} caret
 */
export function carry(before, after, caret) {
  const most = Math.min(before.length, after.length);
  let same = 0;
  while (same < most && before[same] === after[same]) same++;
  if (caret <= same) return caret;
  let end = 0;
  while (end < most - same && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const fromEnd = before.length - caret;
  return fromEnd <= end ? after.length - fromEnd : same;
}
