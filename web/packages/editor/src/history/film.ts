/**
 * The history of a document as a film: the text at any version, and the step that leads from each to the next.
 *
 *     versions   0 ........ 1000 ........ 2000        7000 ........ 7640        no reel: not fetched, or dropped again
 *     reels      [ "" | steps ][text| steps ]          [text| steps ]
 *
 * A reel is a text and the steps after it, as one request has brought them. A text at a version is its reel's, with the
 * steps up to there applied; that is a matter of milliseconds, so nothing else is kept. Reels never overlap. One that is
 * missing begins where its neighbour ends, or ends where its neighbour begins, if either is within `NEAR` reels: then its
 * text follows from the neighbour's, forwards or (every step knows what it deleted) backwards. Only a jump asks the
 * server for a text, which has to find it. The present text is a reel without steps. At most `MAX_REELS` of `MAX_UNITS` in all are kept, the ones used last.
 *
 * The server counts code points; steps are converted to UTF-16 when they arrive.
 */

import { type CodePointEdit, fromEdits, lengthInCodePoints, TextBuffer } from "@coscribe/client";
import { Problem } from "../api/problem";

/** `deleted` is replaced by `inserted` at `from`, a UTF-16 offset in the text before the step. */
export interface Change {
  readonly from: number;
  readonly deleted: string;
  readonly inserted: string;
}

/** What made `version` of the version before; its changes go from left to right, all against the text before. */
export interface Step {
  readonly version: number;
  readonly author: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly changes: readonly Change[];
}

/** A step as the server tells it: positions in code points. */
export interface PastOperation {
  readonly version: number;
  readonly author: string;
  readonly at: number;
  readonly edits: readonly (readonly [position: number, deleted: string, inserted: string])[];
}

/** Where films come from. Both raise what went wrong, `AbortError` if the signal says so. */
export interface FilmSource {
  text(version: number, signal: AbortSignal): Promise<string>;
  /** At least one and at most `limit` operations that followed the version `after`, without a gap. */
  operations(after: number, limit: number, signal: AbortSignal): Promise<readonly PastOperation[]>;
}

/** Steps of a reel, at most. */
export const REEL = 1_000;
/** So many reels are rather fetched one after the other than jumped over. */
const NEAR = 6;
const MAX_REELS = 24;
/** UTF-16 units of texts in reels. One reel is kept whatever its size. */
const MAX_UNITS = 32_000_000;

interface Reel {
  /** The version of `text`. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly steps: readonly Step[];
  readonly units: number;
}

/** Raised where what the server sent does not fit together. */
export class TornFilm extends Problem {
  constructor(version: number) {
    super(502, {
      code: "torn_film",
      title: `What came of the history after version ${version} does not fit together`,
      help: "Try again. If it stays so, ask whoever runs this server to verify the log of this document.",
      retry: "never",
    });
  }
}

export class Film {
  /** The one used last is the last. */
  #reels: Reel[];
  #turn: Promise<unknown> = Promise.resolve();
  readonly #source: FilmSource;
  readonly #reelSteps: number;

  /**
   * @param length the last version
   * @param present the text at it
   * @param oldest the version that the history begins with; what was before was deleted because of its age
   * @param reelSteps for tests, which want borders everywhere
   */
  constructor(
    source: FilmSource,
    readonly length: number,
    present: string,
    readonly oldest = 0,
    reelSteps = REEL,
  ) {
    this.#source = source;
    this.#reelSteps = reelSteps;
    this.#reels = [{ from: length, to: length, text: present, steps: [], units: present.length }];
  }

  /** The step that made a version; undefined while it is not loaded, and for the oldest version. */
  stepTo(version: number): Step | undefined {
    const reel = this.#reelOf(version);
    return reel?.steps[version - reel.from - 1];
  }

  /** The text at a version. Raises what the source raises, `RangeError`, `TornFilm`. */
  async textAt(version: number, signal: AbortSignal): Promise<string> {
    if (!(version >= this.oldest && version <= this.length)) throw new RangeError(`there is no version ${version}`);
    if (version === 0) return "";
    const holds = (reel: Reel) => reel.from <= version && version <= reel.to;
    // No step leads to the oldest version: its text begins the reel of the one behind it.
    if (!this.#reels.some(holds)) await this.load(Math.max(version, this.oldest + 1), signal);
    const reel = this.#reels.find(holds);
    if (reel === undefined) throw new TornFilm(version);
    return textIn(reel, version);
  }

  /** Fetches the step that leads to a version, unless it is there. One at a time; raises what the source raises, `TornFilm`. */
  load(version: number, signal: AbortSignal): Promise<void> {
    const mine = this.#turn.then(async () => {
      while (version > this.oldest && this.#reelOf(version) === undefined) {
        signal.throwIfAborted();
        this.#keep(await this.#fetch(version, signal));
      }
      this.#use(version);
    });
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #fetch(version: number, signal: AbortSignal): Promise<Reel> {
    const before = this.#nearest(
      (reel) => reel.to < version,
      (reel) => -reel.to,
    );
    const after = this.#nearest(
      (reel) => reel.from >= version,
      (reel) => reel.from,
    );
    const end = before?.to ?? this.oldest;
    const from = startOf(version, end, after?.from ?? Number.POSITIVE_INFINITY, this.#reelSteps);
    const limit = Math.min(this.#reelSteps, (after?.from ?? this.length) - from);
    const operations = await this.#source.operations(from, limit, signal);
    const to = from + operations.length;
    if (operations.length === 0 || operations.some((each, index) => each.version !== from + 1 + index)) {
      throw new TornFilm(from);
    }
    if (from === 0) return reelOf(0, "", operations);
    if (before?.to === from) return reelOf(from, textIn(before, from), operations);
    if (after?.from === to) return reelOf(from, woundBack(after.text, operations), operations);
    return reelOf(from, await this.#source.text(from, signal), operations);
  }

  #reelOf(version: number): Reel | undefined {
    return this.#reels.find((reel) => reel.from < version && version <= reel.to);
  }

  #nearest(fits: (reel: Reel) => boolean, distance: (reel: Reel) => number): Reel | undefined {
    return this.#reels.filter(fits).sort((one, other) => distance(one) - distance(other))[0];
  }

  #use(version: number): void {
    const used = this.#reelOf(version);
    if (used !== undefined) this.#reels = [...this.#reels.filter((reel) => reel !== used), used];
  }

  #keep(fresh: Reel): void {
    const kept = [...this.#reels, fresh];
    let units = kept.reduce((sum, reel) => sum + reel.units, 0);
    while (kept.length > 1 && (kept.length > MAX_REELS || units > MAX_UNITS)) units -= kept.shift()?.units ?? 0;
    this.#reels = kept;
  }
}

/** Where the reel that leads to a version begins, between a reel that ends at `end` and one that begins at `next`. */
function startOf(version: number, end: number, next: number, size: number): number {
  const [since, until] = [version - end, next - version];
  if (since <= size || (since <= until && since <= NEAR * size)) return end;
  if (until < NEAR * size) return Math.max(end, next - size);
  return Math.max(end, Math.floor((version - 1) / size) * size);
}

function reelOf(from: number, text: string, operations: readonly PastOperation[]): Reel {
  const buffer = new TextBuffer(text);
  let units = text.length;
  const steps = operations.map((operation): Step => {
    try {
      const changes = operation.edits.map(([position, deleted, inserted]) => {
        units += deleted.length + inserted.length;
        return { from: buffer.toUtf16(position), deleted, inserted };
      });
      const removed = buffer.apply(fromEdits(forwards(operation)));
      if (removed !== changes.map((change) => change.deleted).join("")) throw new TornFilm(from);
      return { version: operation.version, author: operation.author, at: operation.at, changes };
    } catch {
      throw new TornFilm(from);
    }
  });
  return { from, to: from + steps.length, text, steps, units };
}

function textIn(reel: Reel, version: number): string {
  if (version === reel.from) return reel.text;
  const buffer = new TextBuffer(reel.text);
  for (const { changes } of reel.steps.slice(0, version - reel.from)) {
    for (const { from, deleted, inserted } of changes.toReversed()) {
      buffer.splice(buffer.toCodePoint(from), lengthInCodePoints(deleted), inserted);
    }
  }
  return buffer.toString();
}

/** The text before operations, by the text after them. */
function woundBack(text: string, operations: readonly PastOperation[]): string {
  const buffer = new TextBuffer(text);
  for (const operation of operations.toReversed()) buffer.apply(fromEdits(backwards(operation)));
  return buffer.toString();
}

function forwards({ edits }: PastOperation): CodePointEdit[] {
  return edits.map(([position, deleted, inserted]) => [position, lengthInCodePoints(deleted), inserted]);
}

function backwards({ edits }: PastOperation): CodePointEdit[] {
  let grown = 0;
  return edits.map(([position, deleted, inserted]) => {
    const come = lengthInCodePoints(inserted);
    const place = position + grown;
    grown += come - lengthInCodePoints(deleted);
    return [place, come, deleted];
  });
}
