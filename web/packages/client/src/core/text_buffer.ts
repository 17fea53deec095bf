/**
 * The text of a replica: cheap splices in a long text, and both ways of counting it.
 *
 * A JavaScript string is copied by every edit, and finding the UTF-16 offset of a code point means walking it. So the
 * text is kept as chunks of about `CHUNK` UTF-16 units, each of which knows its length in both units; an edit copies one
 * chunk and a conversion walks one. Edits cluster, so the search begins at the chunk of the last one (or at the first, if
 * that is nearer) and goes over chunk lengths. A chunk without code points beyond U+FFFF is not walked at all: its two
 * lengths are equal, which also holds for the whole text of most files.
 *
 * No chunk begins or ends inside a surrogate pair. Texts are well-formed: a surrogate never stands alone.
 */

import { isSplice, type Operation, reach } from "./operation.ts";
import { advance, isInsidePair, lengthInCodePoints } from "./positions.ts";

/** How long a chunk is when it is new, in UTF-16 units. One twice as long is split. */
export const CHUNK = 1_024;

interface Chunk {
  text: string;
  points: number;
}

/** Positions and counts are code points unless a name says UTF-16. Errors of all methods: `RangeError`. */
export class TextBuffer {
  readonly #chunkUnits: number;
  readonly #chunks: Chunk[];
  #points: number;
  #units: number;
  #hint = 0;
  #hintPoints = 0;
  #hintUnits = 0;

  /** `chunkUnits` is for tests, which want borders everywhere. */
  constructor(text = "", chunkUnits = CHUNK) {
    this.#chunkUnits = chunkUnits;
    this.#points = lengthInCodePoints(text);
    this.#units = text.length;
    this.#chunks = [{ text, points: this.#points }];
    if (text.length > 2 * chunkUnits) this.#split(0);
  }

  get lengthCodePoints(): number {
    return this.#points;
  }

  get lengthUtf16(): number {
    return this.#units;
  }

  toString(): string {
    return this.#chunks.length === 1 ? this.#chunkAt(0).text : this.#chunks.map((chunk) => chunk.text).join("");
  }

  /** The text between two positions. */
  slice(from: number, to: number): string {
    if (!(from >= 0 && from <= to && to <= this.#points))
      throw new RangeError(`no range of the text: ${from} to ${to}`);
    let index = this.#seekPosition(from);
    let offset = from - this.#hintPoints;
    let wanted = to - from;
    let out = "";
    while (wanted > 0) {
      const chunk = this.#chunkAt(index);
      const piece = slicePoints(chunk, offset, offset + wanted);
      wanted -= Math.min(chunk.points - offset, wanted);
      out += piece;
      index += 1;
      offset = 0;
    }
    return out;
  }

  /** Inserts at `position`, drops the `deleted` code points after it; returns what was dropped. */
  splice(position: number, deleted: number, inserted: string): string {
    if (!(position >= 0 && deleted >= 0 && position + deleted <= this.#points)) {
      throw new RangeError(`${position} and ${deleted} more are not within 0..${this.#points}`);
    }
    const index = this.#seekPosition(position);
    const chunk = this.#chunkAt(index);
    const offset = position - this.#hintPoints;
    const start = unitAt(chunk, 0, 0, offset);
    const within = Math.min(deleted, chunk.points - offset);
    const end = unitAt(chunk, start, offset, within);
    const come = lengthInCodePoints(inserted);
    let removed = chunk.text.slice(start, end);
    chunk.text = chunk.text.slice(0, start) + inserted + chunk.text.slice(end);
    chunk.points += come - within;
    if (within < deleted) removed += this.#dropFrom(index + 1, deleted - within);
    this.#points += come - deleted;
    this.#units += inserted.length - removed.length;
    if (chunk.text.length > 2 * this.#chunkUnits) this.#split(index);
    else if (chunk.text === "" && this.#chunks.length > 1) this.#replace(index, []);
    return removed;
  }

  /** Applies an operation; returns all the text it deleted, in order. One that does not fit changes nothing. */
  apply(operation: Operation): string {
    if (isSplice(operation)) return this.splice(operation.position, operation.deleted, operation.inserted);
    const needed = reach(operation);
    if (needed > this.#points) throw new RangeError(`${needed} is past the end of ${this.#points} code points`);
    let removed = "";
    let position = 0;
    for (const part of operation) {
      if (typeof part === "string") {
        this.splice(position, 0, part);
        position += lengthInCodePoints(part);
      } else if (typeof part === "object") {
        removed += this.splice(position, part.size, "");
      } else {
        position += part;
      }
    }
    return removed;
  }

  /** The UTF-16 offset of a code point position. */
  toUtf16(position: number): number {
    if (!(position >= 0 && position <= this.#points))
      throw new RangeError(`${position} is not within 0..${this.#points}`);
    if (this.#points === this.#units) return position;
    const chunk = this.#chunkAt(this.#seekPosition(position));
    return this.#hintUnits + unitAt(chunk, 0, 0, position - this.#hintPoints);
  }

  /** The code point position of a UTF-16 offset, which must not be inside a surrogate pair. */
  toCodePoint(utf16: number): number {
    return this.#codePointAt(utf16, false);
  }

  /** The code point position of a UTF-16 offset; inside a surrogate pair, the start of the pair. */
  snapToCodePoint(utf16: number): number {
    return this.#codePointAt(utf16, true);
  }

  #codePointAt(utf16: number, snap: boolean): number {
    if (!(utf16 >= 0 && utf16 <= this.#units))
      throw new RangeError(`${utf16} is not within 0..${this.#units} UTF-16 units`);
    if (this.#points === this.#units) return utf16;
    const { text, points } = this.#chunkAt(this.#seekOffset(utf16));
    const offset = utf16 - this.#hintUnits;
    if (points === text.length) return this.#hintPoints + offset;
    const inside = isInsidePair(text, offset);
    if (inside && !snap) throw new RangeError(`UTF-16 offset ${utf16} is inside a surrogate pair`);
    return this.#hintPoints + lengthInCodePoints(text.slice(0, inside ? offset - 1 : offset));
  }

  #chunkAt(index: number): Chunk {
    const chunk = this.#chunks[index];
    if (chunk === undefined) throw new RangeError(`there is no chunk ${index}`);
    return chunk;
  }

  #seekPosition(position: number): number {
    return this.#seek(position, false);
  }

  #seekOffset(utf16: number): number {
    return this.#seek(utf16, true);
  }

  /** Moves the hint to the chunk that holds a place (or ends there), from where it is or from the beginning. */
  #seek(place: number, inUnits: boolean): number {
    let index = this.#hint;
    let points = this.#hintPoints;
    let units = this.#hintUnits;
    if (2 * place < (inUnits ? units : points)) index = points = units = 0;
    while (place < (inUnits ? units : points)) {
      index -= 1;
      const { text, points: size } = this.#chunkAt(index);
      points -= size;
      units -= text.length;
    }
    for (;;) {
      const { text, points: size } = this.#chunkAt(index);
      if (place <= (inUnits ? units + text.length : points + size)) break;
      index += 1;
      points += size;
      units += text.length;
    }
    this.#hint = index;
    this.#hintPoints = points;
    this.#hintUnits = units;
    return index;
  }

  /** What a delete takes from the chunks behind its own: the ones it empties leave, the last one is cut. */
  #dropFrom(first: number, deleted: number): string {
    let removed = "";
    let wanted = deleted;
    let after = first;
    while (wanted > 0) {
      const chunk = this.#chunkAt(after);
      if (wanted < chunk.points) {
        const end = unitAt(chunk, 0, 0, wanted);
        removed += chunk.text.slice(0, end);
        chunk.text = chunk.text.slice(end);
        chunk.points -= wanted;
        break;
      }
      removed += chunk.text;
      wanted -= chunk.points;
      after += 1;
    }
    this.#chunks.splice(first, after - first);
    return removed;
  }

  /** Cuts a chunk that has grown too long (by a paste: far too long) into new ones. */
  #split(index: number): void {
    const { text } = this.#chunkAt(index);
    const pieces: Chunk[] = [];
    for (let start = 0; start < text.length; ) {
      let end = Math.min(start + this.#chunkUnits, text.length);
      if (isInsidePair(text, end)) end += 1;
      const piece = text.slice(start, end);
      pieces.push({ text: piece, points: lengthInCodePoints(piece) });
      start = end;
    }
    this.#replace(index, pieces);
  }

  /** Puts other chunks, or none, in the place of one. */
  #replace(index: number, chunks: readonly Chunk[]): void {
    this.#hint = this.#hintPoints = this.#hintUnits = 0;
    // Never spread into arguments: a paste may be more chunks than a call can take.
    const after = this.#chunks.splice(index);
    for (const chunk of chunks) this.#chunks.push(chunk);
    for (const chunk of after.slice(1)) this.#chunks.push(chunk);
  }
}

/** The UTF-16 offset in a chunk that lies `count` code points behind a place known in both units. */
function unitAt(chunk: Chunk, unit: number, point: number, count: number): number {
  if (chunk.points === chunk.text.length) return point + count;
  if (point + count === chunk.points) return chunk.text.length;
  return advance(chunk.text, unit, count);
}

function slicePoints(chunk: Chunk, from: number, to: number): string {
  const start = unitAt(chunk, 0, 0, from);
  return chunk.text.slice(start, to >= chunk.points ? undefined : unitAt(chunk, start, from, to - from));
}
