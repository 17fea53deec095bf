/**
 * Keeper: keeps one document's record in the store. Saves do not overlap; what is asked for while one runs is one save
 * after it, of the state by then. A save never fails for whoever waits for it: where the store refuses (or does not
 * answer), the document goes on without, `isKept` says so, and the next save tries again, with what this one had.
 */

import type { Clock } from "./clock.ts";
import { fromEdits, NOTHING, toEdits } from "./core/operation.ts";
import { TextBuffer } from "./core/text_buffer.ts";
import { type Deferred, deferred } from "./deferred.ts";
import type { Pending, Remains, Replica, Undoable } from "./replica.ts";
import type {
  RecordKey,
  Save,
  Store,
  StoredBase,
  StoredChange,
  StoredFile,
  StoredPending,
  StoredRecord,
  StoredStep,
  StoredTree,
  StoredTreeStep,
  StoredTreeUndo,
  StoredUndo,
} from "./store.ts";
import { type PendingChange, pendingChange, type TreeReplica, type TreeUndoable } from "./tree_replica.ts";
import type { KeptStep } from "./undo.ts";
import { decodeClient, operationOf } from "./wire/codec.ts";
import type { CommittedOperation } from "./wire/messages.ts";
import type { TreePatch } from "./workspace.ts";

/** Operations behind the base after which a new one is written, at an idle moment. */
export const MAX_BEHIND_BASE = 1_000;

/** Operations that wait to be stored, or lie behind a base with never an idle moment; beyond it the base is dropped. */
const MAX_OPERATIONS = 10_000;

/** UTF-16 units and edits of the steps of undo that are kept; the oldest are not. They are written with every edit. */
const MAX_UNDO_LENGTH = 20_000;

/** Files that the kept steps of a tree have changed; likewise. */
const MAX_UNDO_FILES = 2_000;

const LAZY_MS = 1_000;
const STORE_TIMEOUT_MS = 5_000;

/** What the keeper asks its document for when it saves. `serverText` is null while edits are on top of it. */
export interface Kept {
  record(): Omit<StoredRecord, keyof RecordKey | "savedAt">;
  serverText(): string | null;
  keptChanged(): void;
}

export class Keeper {
  readonly key: RecordKey;
  isKept = true;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #release: () => void;
  #source: Kept | null = null;
  #base: StoredBase | null | undefined;
  #hasBase: boolean;
  #behind: number;
  #operations: CommittedOperation[] = [];
  #running = false;
  #next: Deferred<void> | null = null;
  #current: Promise<void> = Promise.resolve();
  #cancelLazy: (() => void) | null = null;
  #closed = false;

  /** `stored`: what is in the store under the key. `release` gives the key's lock back. */
  constructor(store: Store, clock: Clock, key: RecordKey, stored: StoredFile | null, release: () => void) {
    this.key = { account: key.account, fileId: key.fileId, series: key.series };
    this.#store = store;
    this.#clock = clock;
    this.#release = release;
    this.#hasBase = stored?.base != null;
    this.#behind = stored?.operations.length ?? 0;
  }

  /** From now on saves are of this document. */
  begin(source: Kept): void {
    this.#source = source;
  }

  /** The replica has taken in a committed operation. */
  noted(operation: CommittedOperation): void {
    if (!this.#hasBase) return;
    this.#operations.push(operation);
    this.#behind += 1;
    if (this.#behind > MAX_OPERATIONS) this.rebase(null);
  }

  /** The server's text is this one now; null: it is not known, or not to be kept. */
  rebase(base: StoredBase | null): void {
    this.#base = base;
    this.#hasBase = base !== null;
    this.#behind = 0;
    this.#operations = [];
  }

  /** Saves at once, or as soon as the save that runs is through; resolves when this state is stored, or refused. */
  save(): Promise<void> {
    this.#cancelLazy?.();
    this.#cancelLazy = null;
    if (this.#closed || this.#source === null) return this.#current;
    this.#next ??= deferred();
    const { promise } = this.#next;
    if (!this.#running) this.#current = this.#run();
    return promise;
  }

  /** Saves within about a second: for what the server has anyway. */
  saveLater(): void {
    if (this.#closed) return;
    this.#cancelLazy ??= this.#clock.later(LAZY_MS, () => void this.save());
  }

  /** Saves what `saveLater` put off, and what waits for a save that runs, without waiting for that one: the page may be
   * gone before. (A store carries saves out in the order in which they were begun.) Resolves when all is stored, or
   * refused. */
  async flush(): Promise<void> {
    const isDue = this.#cancelLazy !== null || this.#next !== null;
    if (isDue && this.#running && this.#source !== null) {
      const save = this.#take(this.#source);
      await this.#within(this.#store.save(save)).catch(() => this.#putBack(save));
    }
    await (isDue ? this.save() : this.#current);
  }

  /** Stores what is left and gives the record free. */
  async close(): Promise<void> {
    const saved = this.save();
    this.#closed = true;
    await saved;
    await this.#current;
    this.#release();
  }

  /** Deletes the record and gives it free; nothing, where that is free already. */
  async remove(): Promise<void> {
    if (this.#closed) return;
    this.#cancelLazy?.();
    this.#closed = true;
    await this.#current;
    await this.#within(this.#store.delete(this.key)).catch(() => {});
    this.#release();
  }

  /** Gives the record free as it is. */
  release(): void {
    this.#closed = true;
    this.#release();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#next !== null && this.#source !== null) {
      const due = this.#next;
      this.#next = null;
      const source = this.#source;
      const save = this.#take(source);
      const isKept = await this.#within(this.#store.save(save)).then(
        () => true,
        () => false,
      );
      if (!isKept) this.#putBack(save);
      if (isKept !== this.isKept) {
        this.isKept = isKept;
        source.keptChanged();
      }
      due.resolve();
    }
    this.#running = false;
  }

  #take(source: Kept): Save {
    const record = { ...this.key, savedAt: this.#clock.now(), ...source.record() };
    if (!this.#hasBase || this.#behind > MAX_BEHIND_BASE) {
      const text = source.serverText();
      if (text !== null) this.rebase({ text, version: record.version, lineage: record.lineage });
    }
    const save = { record, operations: this.#operations, ...(this.#base === undefined ? {} : { base: this.#base }) };
    this.#base = undefined;
    this.#operations = [];
    return save;
  }

  #putBack(save: Save): void {
    if (this.#base !== undefined) return;
    this.#base = save.base;
    this.#operations = [...save.operations, ...this.#operations];
  }

  #within(answer: Promise<void>): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    const cancel = this.#clock.later(STORE_TIMEOUT_MS, () => reject(new Error("the store does not answer")));
    answer.then(resolve, reject).finally(cancel);
    return promise;
  }
}

/** A replica's pending edits as they are stored, and what can be undone in it. */
export function storedPending(replica: Replica): Pick<StoredRecord, "message" | "inFlight" | "queue" | "undo"> {
  const stored = (item: Pending): StoredPending => ({
    operationId: item.operationId,
    change: toEdits(item.operation),
    edits: item.edits,
    restores: item.restores.map(({ operationId, sequence }) => ({ operationId, sequence })),
    ...(item.origin === null ? {} : { origin: item.origin }),
  });
  const { undo, redo } = replica.undoable;
  const canUndo = undo.length > 0 || redo.length > 0;
  return {
    message: replica.message,
    inFlight: replica.inFlight.map(stored),
    queue: replica.queue.map(stored),
    ...(canUndo ? { undo: JSON.stringify({ undo: storedSteps(undo), redo: storedSteps(redo) }) } : {}),
  };
}

/** The newest ones, as many as there is room for. */
function storedSteps(kept: Undoable["undo"]): StoredStep[] {
  const stored: StoredStep[] = [];
  let room = MAX_UNDO_LENGTH;
  for (const { operation, of, foreign } of kept.toReversed()) {
    const step = {
      change: toEdits(operation),
      of: of.map(({ operationId, sequence }) => ({ operationId, sequence })),
      foreign: foreign.map(toEdits),
    };
    for (const edits of [step.change, ...step.foreign]) {
      for (const [, , text] of edits) room -= 1 + text.length;
    }
    if (room < 0) break;
    stored.push(step);
  }
  return stored.toReversed();
}

/** What could be undone, for pending edits that are known by their ids. What cannot be read is nothing that anybody would
 * miss. */
function undoableOf({ undo = "" }: StoredRecord, known: Map<string, Pending>): Undoable {
  const step = ({ change, of, foreign }: StoredStep): KeptStep<readonly Pending[]> => {
    const about = of.map((each) => {
      const pending = known.get(each.operationId) ?? past(each);
      known.set(each.operationId, pending);
      return pending;
    });
    return { operation: fromEdits(change), of: about, foreign: foreign.map((edits) => fromEdits(edits)) };
  };
  try {
    const stored: StoredUndo = undo === "" ? { undo: [], redo: [] } : JSON.parse(undo);
    return { undo: stored.undo.map(step), redo: stored.redo.map(step) };
  } catch {
    return { undo: [], redo: [] };
  }
}

/** A tree's pending changes as they are stored. */
export function storedTree(replica: TreeReplica): Omit<StoredTree, "patches"> {
  const stored = ({ operationId, edits, restores: of }: PendingChange): StoredChange => {
    return {
      operationId,
      edits,
      restores: of === null ? null : { operationId: of.operationId, sequence: of.sequence },
    };
  };
  return {
    inFlight: replica.inFlight === null ? null : stored(replica.inFlight),
    queue: replica.queue.map(stored),
  };
}

/** What can be undone in a tree as it is stored: the newest steps, as many as there is room for. */
export function storedTreeUndo({ undoable }: TreeReplica): string {
  const stored = (changes: readonly PendingChange[]): StoredTreeStep[] => {
    let room = MAX_UNDO_FILES;
    const steps = changes.toReversed().flatMap(({ operationId, sequence, effect, was }) => {
      const known = effect.changes.length > 0 ? effect : was;
      room -= 1 + known.changes.length;
      return room < 0 ? [] : [{ operationId, sequence, changes: known.changes }];
    });
    return steps.toReversed();
  };
  const { incarnation, done, undone } = undoable;
  if (done.length === 0 && undone.length === 0) return "";
  return JSON.stringify({ incarnation, done: stored(done), undone: stored(undone) } satisfies StoredTreeUndo);
}

/** What could be undone in a tree, for changes that are known by their ids. */
function treeUndoableOf({ fileId, undo = "" }: StoredRecord, known: Map<string, PendingChange>): TreeUndoable {
  const step = ({ operationId, sequence, changes }: StoredTreeStep): PendingChange => {
    const pending = known.get(operationId);
    const change = pending ?? pendingChange(fileId, operationId, []);
    change.was = { changes, notes: [] };
    if (pending === undefined) {
      change.sequence = sequence;
      change.effect = change.was;
      known.set(operationId, change);
    }
    return change;
  };
  try {
    const stored: StoredTreeUndo = JSON.parse(undo || "null") ?? { incarnation: "", done: [], undone: [] };
    return { incarnation: stored.incarnation, done: stored.done.map(step), undone: stored.undone.map(step) };
  } catch {
    return { incarnation: "", done: [], undone: [] };
  }
}

/** What the record of a tree holds. Errors: CoscribeError, RangeError where its parts contradict each other. */
export function treeRemainsOf({ record }: StoredFile): {
  message: string;
  inFlight: PendingChange | null;
  queue: PendingChange[];
  patches: readonly TreePatch[];
  undoable: TreeUndoable;
} {
  const { fileId, message, tree = { inFlight: null, queue: [], patches: [] } } = record;
  const known = new Map<string, PendingChange>();
  const changeOf = ({ operationId, edits, restores }: StoredChange): PendingChange => {
    const change = pendingChange(fileId, operationId, edits);
    known.set(operationId, change);
    if (restores !== null) {
      const of = known.get(restores.operationId) ?? pendingChange(fileId, restores.operationId, []);
      if (of.sequence === 0) of.sequence = restores.sequence;
      change.restores = of;
    }
    return change;
  };
  const inFlight = tree.inFlight === null ? null : changeOf(tree.inFlight);
  const queue = tree.queue.map(changeOf);
  if (idsOf(message).join() !== (inFlight?.operationId ?? "")) {
    throw new RangeError("the message is not the one that is in flight");
  }
  return { message, inFlight, queue, patches: tree.patches, undoable: treeUndoableOf(record, known) };
}

/** What a record holds, for `Replica.restore`. Errors: CoscribeError, RangeError where its parts contradict each other. */
export function remainsOf({ record, base, operations }: StoredFile): Remains {
  const inFlight = record.inFlight.map(pendingOf);
  const queue = record.queue.map(pendingOf);
  const known = new Map([...inFlight, ...queue].map((item) => [item.operationId, item]));
  for (const item of [...record.inFlight, ...record.queue]) {
    const pending = known.get(item.operationId);
    if (pending === undefined) continue;
    pending.restores = item.restores.map(
      ({ operationId, sequence }) => known.get(operationId) ?? past({ operationId, sequence }),
    );
  }
  const sent = idsOf(record.message);
  if (sent.slice(sent.length - inFlight.length).join() !== inFlight.map((item) => item.operationId).join()) {
    throw new RangeError("the message is not the one that is in flight");
  }
  const text = base === null ? null : textOf(base, operations, record);
  const { version, lineage, message } = record;
  return { text, version, lineage, message, inFlight, queue, undoable: undoableOf(record, known) };
}

function pendingOf(stored: StoredPending): Pending {
  const { operationId, change, edits, origin = null } = stored;
  return { operationId, operation: fromEdits(change), restores: [], sequence: 0, edits, origin };
}

/** One that is in the log, or was dropped: nothing of it matters but where it is. */
function past({ operationId, sequence }: { operationId: string; sequence: number }): Pending {
  return { operationId, sequence, operation: NOTHING, restores: [], edits: 0, origin: null };
}

/** The server's text at the record's lineage. */
function textOf(base: StoredBase, operations: readonly CommittedOperation[], record: StoredRecord): string | null {
  const buffer = new TextBuffer(base.text);
  let sequence = base.lineage.serverSequenceId;
  for (const operation of operations) {
    if (operation.serverSequenceId <= sequence) continue;
    buffer.apply(operationOf(operation));
    sequence = operation.serverSequenceId;
  }
  return sequence === record.lineage.serverSequenceId ? buffer.toString() : null;
}

/** The ids of the operations in a frozen message. */
export function idsOf(message: string): string[] {
  if (message === "") return [];
  const decoded = decodeClient(message);
  if (decoded.type === "chain") return decoded.operations.map((element) => element.operationId);
  if (decoded.type === "operation" || decoded.type === "treeOperation") return [decoded.operationId];
  throw new RangeError("a message that is no operation is in flight");
}
