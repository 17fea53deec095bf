/**
 * Replica: a client's copy of a file. Pure: messages and edits in, messages and changes out.
 *
 * What the user sees is the server's text with the pending edits on top:
 *
 *     server text at sequence --- in flight ---> . --- queue ---> text
 *
 * `inFlight` was sent and is frozen: its message is resent byte for byte until it is acknowledged. `queue` is what was
 * typed since, composed into one operation where that stays small. A remote operation r comes in on the left and is
 * carried over to the right edge, where it changes the text:
 *
 *     server text ---in flight---> . ---queue---> text
 *          | r                     | r'             | r''         r'  = transform(r, in flight, RIGHT)
 *          v                       v                v             in flight' = transform(in flight, r, LEFT)
 *          . -----in flight'-----> . ---queue'----> text'
 *
 * LEFT for ours: it will be committed later than r, and the later insert goes left.
 *
 * Carets travel the same way: one that refers to an older server text is carried over what has been committed since
 * (the last `MAX_HISTORY` operations are remembered), and from there over the pending edits; our own goes back over the
 * pending edits to the server's text, where one that is inside text nobody else has yet stands at the place of it.
 */

import {
  type CodePointEdit,
  changes,
  components,
  compose,
  fromEdits,
  growth,
  invert,
  knowDeleted,
  LEFT,
  movePosition,
  type Operation,
  RIGHT,
  reach,
  simplify,
  toEdits,
  transform,
} from "./core/operation.ts";
import { pieces } from "./core/pieces.ts";
import { lengthInCodePoints } from "./core/positions.ts";
import { TextBuffer } from "./core/text_buffer.ts";
import { type KeptStep, UndoStack } from "./undo.ts";
import { type CommittedOperation, encode, type Lineage, operationOf, type Snapshot, wireForm } from "./wire/codec.ts";

/** Committed operations over which a caret of an older version can be carried. */
export const MAX_HISTORY = 500;

/** Beyond so many code points or components an edit is queued on its own, and a longer insert in pieces of so many, so that
 * no operation is over a limit of the server. */
const MAX_COMPOSED = 100_000;
const MAX_COMPONENTS = 4_000;

/** The most sequences that `restores` may name. */
const MAX_RESTORES = 1_024;

/** Replaces the UTF-16 units from `from` to `to` by `insert`. */
export interface TextEdit {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

/** Where what an edit inserts is from; null: nothing is said of it. */
export type Origin = "paste" | null;

/** An edit of ours that is not acknowledged; `sequence` is filled in when it is. `edits`: how many it is made of. */
export interface Pending {
  readonly operationId: string;
  operation: Operation;
  restores: readonly Pending[];
  sequence: number;
  edits: number;
  origin: Origin;
}

/** What was done to the text: the operation, the same in UTF-16 units of the text before it, and whose it was. */
export interface Applied {
  readonly operation: Operation;
  readonly edits: readonly TextEdit[];
  readonly author: string;
}

/** What can be taken back, and what can be done again, the oldest step first: as of the text with what is pending. */
export interface Undoable {
  readonly undo: readonly KeptStep<readonly Pending[]>[];
  readonly redo: readonly KeptStep<readonly Pending[]>[];
}

/** What an earlier replica left: the server's text, if it was kept, what is pending on it, and what can be undone. */
export interface Remains {
  readonly text: string | null;
  readonly version: number;
  readonly lineage: Lineage;
  readonly message: string;
  readonly inFlight: Pending[];
  readonly queue: Pending[];
  readonly undoable: Undoable;
}

/** The replica and the server have come apart; join again from a snapshot. */
export class OutOfStep extends Error {
  override readonly name = "OutOfStep";
}

/** The log has another operation under an id of ours: a copy of this device has used it. Ours will never be taken. */
export class NotOurs extends Error {
  override readonly name = "NotOurs";
}

/** Operations between what we have and what came are missing; ask for them. */
export class Gap extends Error {
  override readonly name = "Gap";
}

interface Past {
  readonly version: number;
  readonly author: string;
  readonly operation: Operation;
}

/** The state of one open file. `series` must never have been used before. */
export class Replica {
  readonly fileId: string;
  userId = "";
  version = 0;
  sequence = 0;
  incarnation = "";
  chainHash = "";
  buffer: TextBuffer | null = null;
  inFlight: Pending[] = [];
  message = "";
  queue: Pending[] = [];
  readonly #series: string;
  readonly #noted: (operation: CommittedOperation) => void;
  readonly #undo: UndoStack<readonly Pending[]>;
  readonly #redo: UndoStack<readonly Pending[]>;
  #counter = 0;
  #joinable = false;
  #history: Past[] = [];
  #historyStart = 0;

  /** `noted` is called with every committed operation that is taken in. */
  constructor(
    fileId: string,
    series: string,
    options: { undoDepth?: number; noted?: (operation: CommittedOperation) => void } = {},
  ) {
    this.fileId = fileId;
    this.#series = series;
    this.#noted = options.noted ?? (() => {});
    this.#undo = new UndoStack(options.undoDepth ?? 200);
    this.#redo = new UndoStack(options.undoDepth ?? 200);
  }

  // ---- ours

  get text(): string {
    return this.buffer === null ? "" : this.buffer.toString();
  }

  /** Whether nothing of ours waits. */
  get isIdle(): boolean {
    return this.inFlight.length === 0 && this.queue.length === 0;
  }

  get pending(): readonly Pending[] {
    return [...this.inFlight, ...this.queue];
  }

  /** How many edits are not acknowledged. What has come to nothing before it was sent does not count. */
  get unsent(): number {
    const waiting = this.queue.filter((item) => changes(item.operation));
    return [...this.inFlight, ...waiting].reduce((sum, item) => sum + item.edits, 0);
  }

  /** What can be undone now, for another replica to go on with. */
  get undoable(): Undoable {
    return { undo: this.#undo.dump(), redo: this.#redo.dump() };
  }

  get canUndo(): boolean {
    return this.#undo.length > 0;
  }

  get canRedo(): boolean {
    return this.#redo.length > 0;
  }

  /**
   * Applies edits (position, deleted, inserted; code points) of one moment. `joins`: they are taken back together with
   * the edit before them. Errors: as the server would refuse them.
   */
  edit(edits: readonly CodePointEdit[], options: { joins?: boolean; origin?: Origin } = {}): Applied {
    const operation = fromEdits(edits);
    this.#check(operation);
    const step = options.joins === true && this.#joinable ? this.#undo.pop() : null;
    const { inverse, pending, applied } = this.#edit(operation, [], options.origin ?? null);
    if (step === null) {
      this.#undo.push(inverse, pending);
    } else if (step.of.length + pending.length <= MAX_RESTORES) {
      this.#undo.push(compose(inverse, step.operation), [...new Set([...step.of, ...pending])]);
    } else {
      this.#undo.push(step.operation, step.of);
      this.#undo.push(inverse, pending);
    }
    this.#redo.clear();
    this.#joinable = true;
    return applied;
  }

  /** Takes back our latest edit that is not taken back yet; null where there is none. */
  undo(): Applied | null {
    return this.#takeBack(this.#undo, this.#redo);
  }

  /** Takes back our latest undo. */
  redo(): Applied | null {
    return this.#takeBack(this.#redo, this.#undo);
  }

  /** The next message to send, frozen from now on; null while one is in flight or nothing is queued. */
  outgoing(): string | null {
    if (this.inFlight.length > 0) return null;
    this.queue = this.queue.filter((item) => changes(item.operation));
    const next = this.queue.shift();
    if (next === undefined) return null;
    const restores = next.restores.map((restored) => restored.sequence).filter((sequence) => sequence > 0);
    this.inFlight = [next];
    this.message = encode({
      type: "operation",
      fileId: this.fileId,
      operationId: next.operationId,
      userId: this.userId,
      baseVersion: this.version,
      ...wireForm(next.operation),
      ...(restores.length > 0 ? { restores } : {}),
      ...(next.origin === null ? {} : { origin: next.origin }),
    });
    return this.message;
  }

  lineage(): Lineage {
    return { incarnation: this.incarnation, serverSequenceId: this.sequence, chainHash: this.chainHash };
  }

  // ---- theirs

  /** Operations in their order. Those we have are passed over. Throws Gap, OutOfStep, NotOurs. */
  receive(operations: readonly CommittedOperation[], previous: number, chainHash: string): Applied[] {
    if (previous > this.sequence) throw new Gap();
    const applied: Applied[] = [];
    for (const committed of operations) {
      if (committed.serverSequenceId <= this.sequence) continue;
      const operation = operationOf(committed);
      if (committed.operationId === this.inFlight[0]?.operationId) {
        this.#acknowledge(committed, operation);
      } else {
        applied.push(this.#applyRemote(committed, operation));
      }
      this.sequence = committed.serverSequenceId;
      this.version = committed.documentVersion;
      this.chainHash = chainHash;
      this.#remember({ version: this.version, author: committed.userId, operation });
      this.#noted(committed);
    }
    return applied;
  }

  /**
   * The server's text, with what is pending on top. The pending edits must be at the snapshot's sequence.
   * Throws OutOfStep, and changes nothing, where they do not fit the text.
   */
  adopt(snapshot: Snapshot): void {
    const { incarnation, chainHash, snapshotVersion: version, snapshotSequenceId: serverSequenceId } = snapshot;
    this.#takeText(snapshot.content, version, { incarnation, chainHash, serverSequenceId });
  }

  /** The file is new in that log: its text is empty, with what is pending on top. */
  beginEmpty(incarnation: string): void {
    if (this.buffer !== null || this.sequence > 0) return;
    this.#takeText("", 0, { incarnation, serverSequenceId: 0, chainHash: "0".repeat(64) });
  }

  /** Takes in what an earlier replica left pending, and its text, if that is there. Throws OutOfStep as `adopt`. */
  restore(remains: Remains): void {
    const { message, inFlight, queue, lineage, version, text } = remains;
    this.message = message;
    this.inFlight = inFlight;
    this.queue = queue;
    if (text === null) this.#place(version, lineage);
    else this.#takeText(text, version, lineage);
    this.#undo.load(remains.undoable.undo);
    this.#redo.load(remains.undoable.redo);
  }

  /** Forgets what is pending and what could be undone; the edits go back to their author. */
  giveUp(): readonly Pending[] {
    const pending = this.pending;
    this.inFlight = [];
    this.queue = [];
    this.message = "";
    this.forgetUndo();
    return pending;
  }

  /** From here on nothing can be taken back. */
  forgetUndo(): void {
    this.#undo.clear();
    this.#redo.clear();
  }

  // ---- carets, in code points

  /**
   * Where a position in the server's text of `version` is in our text; `author` is whose caret it is: it goes along
   * with what they insert there themselves. Null where that version is still to come, or too old to be remembered.
   */
  cursorToLocal(version: number, position: number, author: string): number | null {
    if (version > this.version || version < this.#historyStart) return null;
    let carried = position;
    for (const past of this.#history) {
      if (past.version > version) carried = movePosition(carried, past.operation, past.author !== author);
    }
    for (const { operation } of this.pending) carried = movePosition(carried, operation, true);
    return carried;
  }

  /** Where a position of our text is in the server's text of the present version. */
  cursorToServer(position: number): number {
    return this.pending.reduceRight((carried, { operation }) => positionBefore(carried, operation), position);
  }

  // ---- steps

  #check(operation: Operation): TextBuffer {
    if (this.buffer === null) throw new RangeError("the text of the file is not known yet");
    const size = this.buffer.lengthCodePoints;
    if (reach(operation) > size)
      throw new RangeError(`the edit reaches to ${reach(operation)}, the text ends at ${size}`);
    return this.buffer;
  }

  /** Applies and queues an edit of ours: what takes it back, and the pending edit that it is part of. */
  #edit(
    operation: Operation,
    restores: readonly Pending[],
    origin: Origin,
  ): { inverse: Operation; pending: readonly Pending[]; applied: Applied } {
    const buffer = this.#check(operation);
    const edits = textEdits(buffer, operation);
    const inverse = simplify(invert(knowDeleted(operation, buffer.apply(operation))));
    const pending = pieces(operation, MAX_COMPOSED).map((piece, index) => this.#queue(piece, index, restores, origin));
    return { inverse, pending, applied: { operation, edits, author: "" } };
  }

  /** Composes a piece of an edit with what waits, or queues it on its own. An edit counts once, with its first piece. */
  #queue(piece: Operation, index: number, restores: readonly Pending[], origin: Origin): Pending {
    const edits = index === 0 ? 1 : 0;
    const last = this.queue.at(-1);
    const isAlike = last?.origin === origin && restores.length === 0 && last.restores.length === 0;
    if (last !== undefined && isAlike && fits(last, piece)) {
      last.operation = compose(last.operation, piece);
      last.edits += edits;
      return last;
    }
    this.#counter += 1;
    const operationId = `${this.#series}:${this.#counter}`;
    const pending: Pending = { operationId, operation: piece, restores, sequence: 0, edits, origin };
    this.queue.push(pending);
    return pending;
  }

  #takeBack(stack: UndoStack<readonly Pending[]>, other: UndoStack<readonly Pending[]>): Applied | null {
    if (this.buffer === null) return null;
    for (let step = stack.pop(); step !== null; step = stack.pop()) {
      if (!changes(step.operation)) continue;
      const { inverse, pending, applied } = this.#edit(step.operation, step.of, null);
      other.push(inverse, pending);
      this.#joinable = false;
      return applied;
    }
    return null;
  }

  #acknowledge(committed: CommittedOperation, operation: Operation): void {
    const mine = this.inFlight[0];
    if (mine === undefined) return;
    if (!isSame(mine.operation, operation)) throw new NotOurs();
    this.inFlight.shift();
    mine.sequence = committed.serverSequenceId;
    if (this.inFlight.length === 0) this.message = "";
  }

  #applyRemote(committed: CommittedOperation, remote: Operation): Applied {
    let operation = remote;
    for (const pending of this.pending) {
      const carried = transform(operation, pending.operation, RIGHT);
      pending.operation = transform(pending.operation, operation, LEFT);
      operation = carried;
    }
    let edits: readonly TextEdit[] = [];
    if (this.buffer !== null) {
      if (reach(operation) > this.buffer.lengthCodePoints) throw new OutOfStep();
      edits = textEdits(this.buffer, operation);
      this.buffer.apply(operation);
    }
    this.#undo.foreign(operation);
    this.#redo.foreign(operation);
    return { operation, edits, author: committed.userId };
  }

  #takeText(text: string, version: number, lineage: Lineage): void {
    const buffer = new TextBuffer(text);
    let size = buffer.lengthCodePoints;
    for (const { operation } of this.pending) {
      if (reach(operation) > size) throw new OutOfStep();
      size += growth(operation);
    }
    for (const { operation } of this.pending) buffer.apply(operation);
    this.buffer = buffer;
    this.#place(version, lineage);
  }

  #place(version: number, lineage: Lineage): void {
    this.version = version;
    this.sequence = lineage.serverSequenceId;
    this.incarnation = lineage.incarnation;
    this.chainHash = lineage.chainHash;
    this.#history = [];
    this.#historyStart = version;
  }

  #remember(past: Past): void {
    this.#history.push(past);
    if (this.#history.length > MAX_HISTORY) this.#historyStart = this.#history.shift()?.version ?? past.version;
  }
}

/** The operation in UTF-16 units of the text that it is about to be applied to. */
function textEdits(buffer: TextBuffer, operation: Operation): TextEdit[] {
  return toEdits(operation).map(([position, deleted, insert]) => {
    const from = buffer.toUtf16(position);
    return { from, to: deleted === 0 ? from : buffer.toUtf16(position + deleted), insert };
  });
}

function fits(pending: Pending, operation: Operation): boolean {
  const parts = [...components(pending.operation), ...components(operation)];
  const inserted = parts.reduce<number>((sum, part) => sum + (typeof part === "string" ? part.length : 0), 0);
  return parts.length <= MAX_COMPONENTS && inserted <= MAX_COMPOSED;
}

function isSame(mine: Operation, theirs: Operation): boolean {
  return JSON.stringify(toEdits(simplify(components(mine)))) === JSON.stringify(toEdits(theirs));
}

/** Where a position was before the operation; inside inserted text, or at an end of it: the place of the insert. */
function positionBefore(position: number, operation: Operation): number {
  let before = 0;
  let after = 0;
  for (const part of components(operation)) {
    if (typeof part === "number") {
      if (position <= after + part) break;
      before += part;
      after += part;
    } else if (typeof part === "string") {
      const size = lengthInCodePoints(part);
      if (position <= after + size) return before;
      after += size;
    } else {
      before += part.size;
    }
  }
  return before + position - after;
}
