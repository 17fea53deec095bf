/**
 * TreeReplica: a client's copy of the tree of a workspace. Pure: messages and edits in, messages and changes out.
 *
 * What the user sees is the server's tree with the pending changes on top. Nothing is transformed: an operation on a tree
 * says what is to be, so it is applied by the same rules wherever the tree has come to meanwhile.
 *
 *     server's tree --effect of in flight--> . --effects of the queue--> tree
 *          |                                                                  an effect comes: ours are taken back, the
 *          | effect                                                           last one first, it is taken in, and ours
 *          v                                                                  are applied again
 *     server's tree --effect of in flight'-> . --effects of the queue'-> tree
 *
 * So what a pending change comes to may be another thing each time, and in the end it is what the server says: another
 * number behind a name, nothing at all. Ids are the same on both sides, so a new file can be typed into at once.
 */

import { CoscribeError } from "./core/errors.ts";
import { type Change, type Effect, inverse, type NodeState, Tree } from "./core/tree.ts";
import { Gap, NotOurs, OutOfStep } from "./replica.ts";
import { encode, type Lineage, type TreeEntry, type TreeSnapshot } from "./wire/codec.ts";
import { coreOperations, effectOf, madeBy, stateOf, type TreeEdit, wireEdit } from "./wire/tree_codec.ts";

const NO_EFFECT: Effect = { changes: [], notes: [] };

/** A change of ours. `effect`: what it comes to as far as we know; once it is acknowledged, what it came to, and
 * `sequence` says where. `restores`: the change that it takes back. */
export interface PendingChange {
  readonly operationId: string;
  readonly edits: readonly TreeEdit[];
  readonly made: readonly string[];
  effect: Effect;
  restores: PendingChange | null;
  sequence: number;
  /** What it came to before there was a snapshot below it that may hold it already; on that it comes to nothing. */
  was: Effect;
}

/** What can be undone and redone in a tree of one log, the oldest first. */
export interface TreeUndoable {
  readonly incarnation: string;
  readonly done: readonly PendingChange[];
  readonly undone: readonly PendingChange[];
}

/** A change that is to be applied. `edits`: as they are on the wire. */
export function pendingChange(workspaceId: string, operationId: string, edits: readonly TreeEdit[]): PendingChange {
  const made = madeBy(workspaceId, operationId, edits);
  return { operationId, edits, made, effect: NO_EFFECT, restores: null, sequence: 0, was: NO_EFFECT };
}

/** The state of one open tree. `series` must never have been used before. */
export class TreeReplica {
  readonly fileId: string;
  userId = "";
  sequence = 0;
  incarnation = "";
  chainHash = "";
  tree: Tree | null = null;
  inFlight: PendingChange | null = null;
  message = "";
  queue: PendingChange[] = [];
  readonly #series: string;
  readonly #undoDepth: number;
  #counter = 0;
  #done: PendingChange[] = [];
  #undone: PendingChange[] = [];
  #undoOf = "";

  constructor(workspaceId: string, series: string, { undoDepth = 200 }: { undoDepth?: number } = {}) {
    this.fileId = workspaceId;
    this.#series = series;
    this.#undoDepth = undoDepth;
  }

  // ---- ours

  get pending(): readonly PendingChange[] {
    return this.inFlight === null ? this.queue : [this.inFlight, ...this.queue];
  }

  get isIdle(): boolean {
    return this.inFlight === null && this.queue.length === 0;
  }

  /** Whether the server shows us a part of the tree only. Of that there is no past, and there are gaps in it. */
  get isView(): boolean {
    return this.tree !== null && this.chainHash === "";
  }

  /** Applies edits of one moment. Errors: as the server would refuse them. */
  change(edits: readonly TreeEdit[]): PendingChange {
    const change = this.#change(edits, null);
    this.#done = [...this.#done, change].slice(-this.#undoDepth);
    this.#undone = [];
    return change;
  }

  /** The id of our latest change that can be taken back; "": there is none. */
  get latest(): string {
    return this.#done.at(-1)?.operationId ?? "";
  }

  /** Takes back a change of ours, by default the latest, that is not taken back yet; null where there is none. Errors:
   * `file_not_found` and the like, where others have made that impossible; the change is then passed over from here on. */
  undo(operationId = ""): PendingChange | null {
    return this.#takeBack(this.#done, this.#undone, operationId);
  }

  /** Takes back our latest undo. */
  redo(): PendingChange | null {
    return this.#takeBack(this.#undone, this.#done);
  }

  /** The next message to send, frozen from now on; null while one is in flight or nothing is queued. */
  outgoing(): string | null {
    if (this.inFlight !== null) return null;
    const next = this.queue.shift();
    if (next === undefined) return null;
    const restored = next.restores?.sequence ?? 0;
    this.inFlight = next;
    this.message = encode({
      type: "treeOperation",
      fileId: this.fileId,
      operationId: next.operationId,
      userId: this.userId,
      operations: [...next.edits],
      ...(restored > 0 ? { restores: [restored] } : {}),
    });
    return this.message;
  }

  lineage(): Lineage {
    return { incarnation: this.incarnation, serverSequenceId: this.sequence, chainHash: this.chainHash };
  }

  // ---- theirs

  /** Entries in their order; what is another one then. Those we have are passed over. Throws Gap, OutOfStep, NotOurs. */
  receive(entries: readonly TreeEntry[], previous: number, chainHash: string): readonly Change[] {
    if (previous > this.sequence) throw new Gap();
    const fresh = entries
      .filter((entry) => entry.serverSequenceId > this.sequence)
      .map((entry) => ({ entry, effect: effectOf(entry, this.fileId) }));
    if (fresh.length === 0 || this.tree === null) return [];
    return this.#below(
      fresh.map(({ effect }) => effect),
      (tree) => {
        for (const { entry, effect } of fresh) {
          takeIn(tree, effect);
          this.#acknowledge(entry, effect);
          this.sequence = entry.serverSequenceId;
          this.chainHash = chainHash;
        }
      },
    );
  }

  /** The server's tree, with what is pending on top. Throws OutOfStep: it is no tree. */
  adopt(snapshot: TreeSnapshot): void {
    const nodes = snapshot.nodes.map((node) => [node.fileId ?? "", stateOf(node, this.fileId)] as const);
    try {
      this.tree = Tree.of(nodes, { foldsCase: snapshot.foldsCase });
    } catch (error) {
      if (!(error instanceof CoscribeError)) throw error;
      throw new OutOfStep(error.message);
    }
    if (this.#undoOf !== "" && this.#undoOf !== snapshot.incarnation) this.forgetUndo();
    this.#undoOf = "";
    this.incarnation = snapshot.incarnation;
    this.sequence = snapshot.snapshotSequenceId;
    this.chainHash = snapshot.chainHash;
    for (const change of this.pending) if (change.effect.changes.length > 0) change.was = change.effect;
    this.#lay(this.tree);
  }

  /** What is in flight is in the log; what it came to we know already, or from a snapshot. What is another one then. */
  acknowledged(operationId: string, sequence: number): readonly Change[] {
    const mine = this.inFlight;
    if (mine === null || mine.operationId !== operationId) return [];
    const effect = mine.effect.changes.length > 0 ? mine.effect : mine.was;
    const changes = this.#without(() => this.#drop());
    mine.effect = effect;
    mine.sequence = sequence;
    return changes;
  }

  /** What is in flight will never be done: it goes back to its author; and what is another one without it. Null: it was
   * not it. */
  refused(operationId: string): { change: PendingChange; changes: readonly Change[] } | null {
    const change = this.inFlight;
    if (change === null || change.operationId !== operationId) return null;
    const changes = this.#without(() => this.#drop());
    this.#done = this.#done.filter((each) => each !== change);
    this.#undone = this.#undone.filter((each) => each !== change);
    return { change, changes };
  }

  /** Forgets what is pending and what could be undone: it goes back to its author; and what is another one. */
  giveUp(): { pending: readonly PendingChange[]; changes: readonly Change[] } {
    const { pending } = this;
    const changes = this.#without(() => {
      this.#drop();
      this.queue = [];
    });
    this.forgetUndo();
    return { pending, changes };
  }

  /** From here on nothing can be taken back. */
  forgetUndo(): void {
    this.#done = [];
    this.#undone = [];
  }

  /** Takes in what an earlier replica left pending. The tree follows by `adopt`. */
  restore(message: string, inFlight: PendingChange | null, queue: PendingChange[]): void {
    this.message = message;
    this.inFlight = inFlight;
    this.queue = queue;
  }

  /** Which log it is about, and what can be undone and redone, the oldest first. */
  get undoable(): TreeUndoable {
    return { incarnation: this.incarnation || this.#undoOf, done: this.#done, undone: this.#undone };
  }

  /** Takes in what an earlier replica could undo; behind `restore`. In another log it is about other files. */
  restoreUndo({ incarnation, done, undone }: TreeUndoable): void {
    this.#undoOf = incarnation;
    this.#done = [...done];
    this.#undone = [...undone];
  }

  get canUndo(): boolean {
    return this.#done.length > 0;
  }

  get canRedo(): boolean {
    return this.#undone.length > 0;
  }

  // ---- steps

  #change(edits: readonly TreeEdit[], restores: PendingChange | null): PendingChange {
    if (this.tree === null) throw new RangeError("the tree of the workspace is not known yet");
    this.#counter += 1;
    const change = pendingChange(this.fileId, `${this.#series}:${this.#counter}`, edits);
    change.restores = restores;
    change.effect = this.tree.apply(coreOperations(this.fileId, change.operationId, edits));
    this.queue.push(change);
    return change;
  }

  /** `wanted`: this one; "": the latest of which there is anything to take back. */
  #takeBack(done: PendingChange[], undone: PendingChange[], wanted = ""): PendingChange | null {
    const next = () => {
      const at = done.findLastIndex(({ operationId }) => wanted === "" || operationId === wanted);
      return at < 0 ? undefined : done.splice(at, 1)[0];
    };
    for (let of = next(); of !== undefined; of = next()) {
      const edits = inverse(of.effect).map((operation) => wireEdit(operation, this.fileId));
      if (edits.length === 0) continue;
      const change = this.#change(edits, of);
      undone.push(change);
      return change;
    }
    return null;
  }

  #acknowledge(entry: TreeEntry, effect: Effect): void {
    const mine = this.inFlight;
    if (mine === null || mine.operationId !== entry.operationId) return;
    if (entry.userId !== this.userId) throw new NotOurs();
    mine.effect = effect;
    mine.sequence = entry.serverSequenceId;
    this.#drop();
  }

  #drop(): void {
    this.inFlight = null;
    this.message = "";
  }

  #without(forget: () => void): readonly Change[] {
    if (this.tree !== null) return this.#below([], forget);
    forget();
    return [];
  }

  /** Lets something be done to the server's tree, below what is pending: what is another one in the whole then.
   * `effects`: what it may change. */
  #below(effects: readonly Effect[], act: (tree: Tree) => void): readonly Change[] {
    const tree = this.tree as Tree;
    const before = new Map<string, NodeState | null>();
    for (const { changes } of [...this.pending.map((change) => change.effect), ...effects]) {
      for (const { fileId } of changes) before.set(fileId, stateIn(tree, fileId));
    }
    for (const change of this.pending.toReversed()) {
      tree.takeBack(change.effect);
      change.effect = NO_EFFECT;
    }
    try {
      act(tree);
    } finally {
      this.#lay(tree);
    }
    for (const { effect } of this.pending) {
      for (const change of effect.changes) if (!before.has(change.fileId)) before.set(change.fileId, change.before);
    }
    return [...before]
      .map(([fileId, state]) => ({ fileId, before: state, after: stateIn(tree, fileId) }))
      .filter((change) => !isSame(change.before, change.after));
  }

  /** Applies what is pending again. What cannot be now comes to nothing here; the server will say what it is. */
  #lay(tree: Tree): void {
    for (const change of this.pending) {
      try {
        change.effect = tree.apply(coreOperations(this.fileId, change.operationId, change.edits));
      } catch (error) {
        if (!(error instanceof CoscribeError)) throw error;
        change.effect = NO_EFFECT;
      }
    }
  }
}

function takeIn(tree: Tree, effect: Effect): void {
  try {
    tree.takeIn(effect);
  } catch (error) {
    if (!(error instanceof CoscribeError)) throw error;
    throw new OutOfStep(error.message);
  }
}

function stateIn(tree: Tree, fileId: string): NodeState | null {
  return tree.has(fileId) ? tree.state(fileId) : null;
}

function isSame(one: NodeState | null, other: NodeState | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
