/**
 * Operations on text: apply, transform, compose, invert.
 *
 * An operation walks over a text from left to right. Its components are
 *
 *     number n    retain: keep n code points            (n > 0)
 *     string s    insert: put s here                    (s not empty)
 *     Delete      delete: drop the next `size` code points; `text` says which, where it is known
 *
 * A retain at the end may be left out. Where it is written the operation *states* how long its text is, and what is
 * made of it by `transform` states that too. Adjacent components of one kind are merged; the order of an insert and a
 * delete at one place is kept, because it decides where a concurrent insert at that place ends up.
 *
 * `transform` closes the diamond: two people at the same text, one has done `a`, the other `b`:
 *
 *               text
 *              /    \
 *           a /      \ b               a' = transform(a, b, LEFT)     a as it must be after b
 *            /        \                b' = transform(b, a, RIGHT)    b as it must be after a
 *        text_a      text_b
 *            \        /                apply(apply(text, b), a') === apply(apply(text, a), b')     (TP1)
 *          b' \      / a'
 *              \    /
 *              text'
 *
 * With one total order of operations TP1 is all that is needed. The side breaks the tie of two inserts at one place:
 * LEFT goes left. The rule of this system is *the later-committed insert goes left*, so the server rebases an incoming
 * operation with LEFT and a client carries a remote one over its own pending edits with RIGHT.
 *
 * Nearly every edit is a single `Splice`: at `position`, insert `inserted`, then drop `deleted` code points. It has a
 * fast path of plain integer arithmetic here; the result falls back to components where a concurrent insert splits a
 * delete. A positional operation could not express that, which is why components are the general form.
 *
 * All positions, sizes and lengths are Unicode code points, although a JavaScript string counts UTF-16 units. Texts are
 * well-formed: a surrogate never stands alone.
 */

import { CoscribeError } from "./errors.ts";
import { advance, lengthInCodePoints, sliceCodePoints } from "./positions.ts";

export type Side = "left" | "right";
export const LEFT: Side = "left";
export const RIGHT: Side = "right";

/** Drop `size` code points; `text` is what they were, or is left out where nobody has looked. */
export interface Delete {
  readonly size: number;
  readonly text?: string;
}

/** The single edit: at `position`, insert `inserted`, then drop the `deleted` code points after it. */
export interface Splice {
  readonly position: number;
  readonly deleted: number;
  readonly inserted: string;
}

export type Component = number | string | Delete;
export type Components = readonly Component[];
export type Operation = Splice | Components;

/** One of several edits against one text, in code points. */
export type CodePointEdit = readonly [position: number, deleted: number, inserted: string];

export const NOTHING: Components = [];

/** Whether an operation has the form of the single edit. */
export function isSplice(operation: Operation): operation is Splice {
  return !Array.isArray(operation);
}

/** How many code points a component keeps, inserts or drops. */
function length(part: Component): number {
  if (typeof part === "number") return part;
  return typeof part === "string" ? lengthInCodePoints(part) : part.size;
}

function cut(part: Component, start: number, end: number): Component {
  if (typeof part === "number") return end - start;
  if (typeof part === "string") return sliceCodePoints(part, start, end);
  return dropped(end - start, part.text === undefined ? undefined : sliceCodePoints(part.text, start, end));
}

function dropped(size: number, text: string | undefined): Delete {
  return text === undefined ? { size } : { size, text };
}

/** Collects components, merging neighbours of one kind. */
class Builder {
  readonly #parts: Component[] = [];

  add(part: Component): void {
    const parts = this.#parts;
    const last = parts.at(-1);
    if (typeof part === "number") {
      if (part <= 0) return;
      if (typeof last === "number") parts[parts.length - 1] = last + part;
      else parts.push(part);
    } else if (typeof part === "string") {
      if (part === "") return;
      if (typeof last === "string") parts[parts.length - 1] = last + part;
      else parts.push(part);
    } else {
      if (part.size <= 0) return;
      if (typeof last === "object") {
        const known = last.text !== undefined && part.text !== undefined;
        parts[parts.length - 1] = dropped(last.size + part.size, known ? `${last.text}${part.text}` : undefined);
      } else parts.push(part);
    }
  }

  finish(keepLastRetain: boolean): Components {
    if (!keepLastRetain && typeof this.#parts.at(-1) === "number") this.#parts.pop();
    return this.#parts;
  }
}

/** Hands out the components of an operation in pieces; past its end there is retain for ever. */
class Reader {
  readonly #parts: Components;
  #index = 0;
  #offset = 0;

  constructor(parts: Components) {
    this.#parts = parts;
  }

  peek(): Component | undefined {
    return this.#parts[this.#index];
  }

  /** At most `limit` code points of the next component; one of the kind `whole` is never cut. */
  take(limit: number, whole: "string" | "object"): Component {
    const part = this.#parts[this.#index];
    if (part === undefined) return limit;
    const start = this.#offset;
    const size = length(part);
    if (typeof part === whole || size - start <= limit) {
      this.#index += 1;
      this.#offset = 0;
      return start === 0 ? part : cut(part, start, size);
    }
    this.#offset += limit;
    return cut(part, start, start + limit);
  }

  /** Moves what is left to a builder. */
  drainTo(builder: Builder): void {
    for (let part = this.peek(); part !== undefined; part = this.peek()) {
      builder.add(this.#offset === 0 ? part : cut(part, this.#offset, length(part)));
      this.#index += 1;
      this.#offset = 0;
    }
  }
}

/** The component form of any operation. */
export function components(operation: Operation): Components {
  if (!isSplice(operation)) return operation;
  const { position, deleted, inserted } = operation;
  const parts: Component[] = [];
  if (inserted === "" && deleted === 0) return parts;
  if (position > 0) parts.push(position);
  if (inserted !== "") parts.push(inserted);
  if (deleted > 0) parts.push({ size: deleted });
  return parts;
}

/** Merges neighbours, drops empties and the last retain. */
export function normalise(parts: Iterable<Component>): Components {
  const builder = new Builder();
  for (const part of parts) builder.add(part);
  return builder.finish(false);
}

/**
 * The splice that components amount to, where they are one; else the components.
 *
 * Texts of deletes are dropped in the splice: it only counts.
 */
export function simplify(parts: Components): Operation {
  let position = 0;
  let deleted = 0;
  let inserted = "";
  const last = parts.length - 1;
  for (const [index, part] of parts.entries()) {
    if (typeof part === "number") {
      if (inserted !== "" || deleted > 0) {
        if (index === last) break;
        return parts;
      }
      position = part;
    } else if (typeof part === "string") {
      if (deleted > 0) return parts;
      inserted = part;
    } else {
      deleted = part.size;
    }
  }
  return inserted === "" && deleted === 0 ? NOTHING : { position, deleted, inserted };
}

/**
 * Several edits, all against one text, left to right, as one operation.
 *
 * Errors: `invalid_payload` where they overlap or run backwards.
 */
export function fromEdits(edits: readonly CodePointEdit[]): Operation {
  const only = edits[0];
  if (edits.length === 1 && only !== undefined) {
    const [position, deleted, inserted] = only;
    return deleted > 0 || inserted !== "" ? { position, deleted, inserted } : NOTHING;
  }
  const builder = new Builder();
  let cursor = 0;
  for (const [position, deleted, inserted] of edits) {
    if (position < cursor) throw new CoscribeError("invalid_payload", `edit at ${position} begins before ${cursor}`);
    builder.add(position - cursor);
    builder.add(inserted);
    builder.add({ size: deleted });
    cursor = position + deleted;
  }
  return simplify(builder.finish(false));
}

/** The inverse of `fromEdits`: edits against the text before. */
export function toEdits(operation: Operation): [position: number, deleted: number, inserted: string][] {
  if (isSplice(operation)) return [[operation.position, operation.deleted, operation.inserted]];
  const edits: [number, number, string][] = [];
  let position = 0;
  let openInsert = "";
  for (const part of operation) {
    if (typeof part === "string") {
      openInsert = part;
      continue;
    }
    if (typeof part === "number") {
      if (openInsert !== "") edits.push([position, 0, openInsert]);
      position += part;
    } else {
      edits.push([position, part.size, openInsert]);
      position += part.size;
    }
    openInsert = "";
  }
  if (openInsert !== "") edits.push([position, 0, openInsert]);
  return edits;
}

/** Whether the operation holds any insert or delete. One that does not leaves the version alone. */
export function changes(operation: Operation): boolean {
  if (isSplice(operation)) return operation.deleted > 0 || operation.inserted !== "";
  return operation.some((part) => typeof part !== "number");
}

/** How many code points the text must have at least for the operation to fit. */
export function reach(operation: Operation): number {
  if (isSplice(operation)) return operation.position + operation.deleted;
  let walked = 0;
  for (const part of operation) if (typeof part !== "string") walked += length(part);
  return walked;
}

/** By how many code points the text gets longer (negative: shorter). */
export function growth(operation: Operation): number {
  if (isSplice(operation)) return lengthInCodePoints(operation.inserted) - operation.deleted;
  let grown = 0;
  for (const part of operation) {
    if (typeof part === "string") grown += lengthInCodePoints(part);
    else if (typeof part === "object") grown -= part.size;
  }
  return grown;
}

/** The text after the operation. Errors: `position_out_of_range`, `invalid_payload` (other text deleted). */
export function apply(text: string, operation: Operation): string {
  const size = lengthInCodePoints(text);
  const plain = size === text.length;
  const out: string[] = [];
  let position = 0;
  let unit = 0;
  for (const part of components(operation)) {
    if (typeof part === "string") {
      out.push(part);
      continue;
    }
    const step = length(part);
    const end = position + step;
    if (end > size) {
      throw new CoscribeError("position_out_of_range", `${end} is past the end of ${size} code points`);
    }
    const piece = text.slice(unit, plain ? end : advance(text, unit, step));
    if (typeof part === "number") out.push(piece);
    else if (part.text !== undefined && part.text !== piece) {
      throw new CoscribeError("invalid_payload", `the text at ${position} is not the one to delete`);
    }
    position = end;
    unit += piece.length;
  }
  out.push(text.slice(unit));
  return out.join("");
}

/** The operation with every delete knowing its text; `removed` is all of it, in order. */
export function knowDeleted(operation: Operation, removed: string): Components {
  const parts = components(operation);
  let start = 0;
  const known = parts.map((part): Component => {
    if (typeof part !== "object") return part;
    const end = advance(removed, start, part.size);
    const text = removed.slice(start, end);
    start = end;
    return { size: part.size, text };
  });
  if (start !== removed.length || lengthInCodePoints(removed) !== deletedSize(parts)) {
    throw new RangeError("the removed text is not as long as what the operation deletes");
  }
  return known;
}

function deletedSize(parts: Components): number {
  let size = 0;
  for (const part of parts) if (typeof part === "object") size += part.size;
  return size;
}

/** All the text that the operation would delete from `text`. */
export function deletedText(text: string, operation: Operation): string {
  let removed = "";
  let unit = 0;
  for (const part of components(operation)) {
    if (typeof part === "string") continue;
    const end = advance(text, unit, length(part));
    if (typeof part === "object") removed += text.slice(unit, end);
    unit = end;
  }
  return removed;
}

/** The operation that takes this one back. Errors: `RangeError` where a delete does not know its text. */
export function invert(operation: Components): Components {
  const builder = new Builder();
  for (const part of operation) {
    if (typeof part === "number") builder.add(part);
    else if (typeof part === "string") builder.add({ size: lengthInCodePoints(part), text: part });
    else if (part.text !== undefined) builder.add(part.text);
    else throw new RangeError("invert needs the deleted text: see knowDeleted");
  }
  return builder.finish(false);
}

/** `operation` as it must be once `other`, made on the same text, has been applied. */
export function transform(operation: Operation, other: Operation, side: Side): Operation {
  if (!isSplice(operation)) return transformComponents(operation, components(other), side);
  const carried = isSplice(other) ? carrySplice(operation, other, side) : undefined;
  return carried ?? simplify(transformComponents(components(operation), components(other), side));
}

/** `transform` of a splice over a splice, by arithmetic; undefined where that would tear it apart. */
function carrySplice(splice: Splice, other: Splice, side: Side): Splice | undefined {
  const { inserted } = splice;
  let { position, deleted } = splice;
  let at = other.position;
  const gone = other.deleted;
  if (other.inserted !== "") {
    const come = lengthInCodePoints(other.inserted);
    if (at < position) {
      position += come;
    } else if (at === position) {
      if (deleted > 0 && inserted !== "" && side === LEFT) return undefined;
      if (deleted > 0 || side === RIGHT) position += come;
    } else if (at < position + deleted) {
      return undefined;
    }
    at += come;
  }
  if (gone > 0 && (at < position || at < position + deleted)) {
    if (at + gone <= position) {
      position -= gone;
    } else {
      deleted -= Math.min(position + deleted, at + gone) - Math.max(position, at);
      position = Math.min(position, at);
    }
  }
  return position === splice.position && deleted === splice.deleted ? splice : { position, deleted, inserted };
}

/** `transform` for component lists, in general. */
function transformComponents(operation: Components, other: Components, side: Side): Components {
  const statesLength = typeof operation.at(-1) === "number";
  const builder = new Builder();
  const reader = new Reader(operation);
  for (const step of other) {
    if (typeof step === "string") {
      if (side === LEFT && typeof reader.peek() === "string") builder.add(reader.take(0, "string"));
      builder.add(lengthInCodePoints(step));
      continue;
    }
    const keeps = typeof step === "number";
    let remaining = length(step);
    while (remaining > 0) {
      const part = reader.take(remaining, "string");
      if (keeps || typeof part === "string") builder.add(part);
      if (typeof part !== "string") remaining -= length(part);
    }
  }
  reader.drainTo(builder);
  return builder.finish(statesLength);
}

/** One operation that does what `first` and then `second` do. */
export function compose(first: Operation, second: Operation): Operation {
  const builder = new Builder();
  const reader = new Reader(components(first));
  for (const step of components(second)) {
    if (typeof step === "string") {
      builder.add(step);
      continue;
    }
    let remaining = length(step);
    while (remaining > 0) {
      const part = reader.take(remaining, "object");
      if (typeof part === "object") {
        builder.add(part);
        continue;
      }
      const size = length(part);
      if (typeof step === "number") {
        builder.add(part);
      } else if (typeof part === "number") {
        const start = step.size - remaining;
        builder.add(cut(step, start, start + size));
      }
      remaining -= size;
    }
  }
  reader.drainTo(builder);
  return simplify(builder.finish(false));
}

/** Where a position (a caret) is after the operation; `beforeInsert`: it stays left of an insert right there. */
export function movePosition(position: number, operation: Operation, beforeInsert: boolean): number {
  let walked = 0;
  let moved = position;
  for (const part of components(operation)) {
    if (walked > position) break;
    if (typeof part === "number") {
      walked += part;
    } else if (typeof part === "string") {
      if (walked < position || !beforeInsert) moved += lengthInCodePoints(part);
    } else {
      moved -= Math.max(0, Math.min(part.size, position - walked));
      walked += part.size;
    }
  }
  return moved;
}
