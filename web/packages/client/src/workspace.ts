/**
 * Workspace: the tree of files of a workspace that a client has open, and the way to the texts in it.
 *
 *     const workspace = client.openWorkspace("project");
 *     await workspace.live();
 *     workspace.onChange(() => draw(workspace.children()));          // "" or the workspace's id: the top
 *     const docs = workspace.mkdir("docs");
 *     const page = workspace.create("page.md", docs);                // its id, at once
 *     workspace.open(page).edit([{ from: 0, to: 0, insert: "#" }]);  // when it has begun: `Document.status.hasText`
 *     workspace.move(page, { name: "index.md" });
 *     workspace.remove(page); workspace.restore(page);
 *     await workspace.save();
 *
 * What one does to the tree is done at once, by the rules of `core/tree.ts`, and reaches the server when it can; what came
 * of it there may be something else (another number behind a name: `onNotes`), and then that is what is shown. All texts
 * of a workspace are open over the client's one connection. A text that was made here is typed into before the server has
 * heard of the file, and is joined when it is there: the one always goes before the other, whatever breaks meanwhile.
 *
 * What the server refuses is taken out of the tree and handed back (`status.patches`), and so is, when its turn comes, what
 * hangs on it. A text in the trash goes on by its id (`Document.status.isTrashed`); `restore` brings it back.
 *
 * The states are those of `Document`, without bridging: nothing that is asked of a tree is based on a past. Pending changes
 * are kept in the store as edits of texts are, and sent once they are. The tree itself is not kept: a page that starts
 * without a network has none until the server answers.
 */

import { CoscribeError } from "./core/errors.ts";
import { type Change, type Kind, type NodeState, type Note, ROOT } from "./core/tree.ts";
import { deferred } from "./deferred.ts";
import type { Document, Host } from "./document.ts";
import { type Keeper, type Kept, storedTree, storedTreeUndo, treeRemainsOf } from "./keeper.ts";
import { Gap, NotOurs, OutOfStep } from "./replica.ts";
import type { StoredFile } from "./store.ts";
import { type PendingChange, TreeReplica } from "./tree_replica.ts";
import {
  type ClientMessage,
  type ErrorMessage,
  encode,
  type Live,
  type OperationFate,
  type Rejoin,
  type Role,
  type ServerMessage,
  type TreeCommitted,
  type TreeSnapshot,
} from "./wire/codec.ts";
import type { TreeEdit } from "./wire/tree_codec.ts";

const JOIN_AGAIN_MS = 100;
const JOIN_AGAIN_MOST_MS = 5_000;
const SEND_AGAIN_MS = 250;

/** Messages that came early and are kept; where there are more the tree is joined anew. */
const MAX_EARLY = 64;

/** How long what was overtaken may take before it is asked for, and how long the answer to that. */
const EARLY_MS = 50;
const ANSWER_MS = 5_000;

/** What is in a folder. */
export interface Entry {
  readonly fileId: string;
  readonly name: string;
  readonly kind: Kind;
}

/** Something happened to the tree that is shown: nodes before and after, one change for each. `authors`: whose operations
 * it came from; none where it was ourselves, now. `changes` null: it is another tree now; read it whole. */
export interface TreeChange {
  readonly changes: readonly Change[] | null;
  readonly authors: readonly string[];
}

/** What was asked of the tree and cannot be done, for its author to use otherwise; and why. */
export interface TreePatch {
  readonly code: string;
  readonly detail: string;
  readonly operationId: string;
  readonly edits: readonly TreeEdit[];
}

/** Where a workspace is. The same object for as long as nothing in it changes. */
export interface WorkspaceStatus {
  readonly state: "offline" | "connecting" | "catching-up" | "live" | "ended";
  readonly role: Role;
  /** Whether there is a tree to show. */
  readonly hasTree: boolean;
  /** Whether a change would be taken in now, and the server would take it as far as is known. */
  readonly canEdit: boolean;
  /** Changes of the tree that the server has not acknowledged. */
  readonly unsent: number;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  /** Whether what is unsent would survive a reload of the page. */
  readonly isKept: boolean;
  readonly patches: readonly TreePatch[];
  readonly error: CoscribeError | null;
  readonly sequence: number;
  readonly heals: number;
}

/** There is no access to the workspace, or not any more. `patches`: all that was asked for and is not done. */
export class WorkspaceEnded extends CoscribeError {
  readonly patches: readonly TreePatch[];

  constructor(error: CoscribeError, patches: readonly TreePatch[]) {
    super(error.code, error.detail, error.fileId);
    this.patches = patches;
  }
}

/** The client, as its workspaces see it. */
export interface WorkspaceHost extends Omit<Host, "forget" | "made"> {
  open(fileId: string): Document;
  documents(): readonly Document[];
  /** Files may be there now that were not: who waited for them goes on. */
  released(): void;
  forget(workspace: Workspace, closed: Promise<void>): void;
}

type Phase = "offline" | "connecting" | "joining" | "live" | "ended";

/** Made by `Client.openWorkspace`. Whatever changes the tree throws, and changes nothing, where the server would refuse it
 * as things are here (CoscribeError), and RangeError where the tree is not known yet. */
export class Workspace implements Kept {
  readonly #host: WorkspaceHost;
  readonly #replica: TreeReplica;
  #keeper: Keeper | null = null;
  #hasBegun = false;
  #isConnected = false;
  #phase: Phase = "offline";
  #joins = 0;
  #joinsRefused = 0;
  #afresh = false;
  #failed: CoscribeError | null = null;
  #removed: CoscribeError | null = null;
  #heals = 0;
  #role: Role = "viewer";
  #patches: readonly TreePatch[] = [];
  #saved = 0;
  #toSave = 0;
  #saveRefusal: CoscribeError | null = null;
  #status: WorkspaceStatus;
  readonly #timers = new Map<string, () => void>();
  readonly #early = new Map<number, TreeCommitted>();
  readonly #changeListeners = new Set<(change: TreeChange) => void>();
  readonly #statusListeners = new Set<(status: WorkspaceStatus) => void>();
  readonly #noteListeners = new Set<(notes: readonly Note[]) => void>();
  readonly #waiting = new Set<{ reached: () => boolean; resolve: () => void; reject: (error: Error) => void }>();

  /** `series`: what the ids of our operations begin with; never used before. */
  constructor(host: WorkspaceHost, workspaceId: string, series: string) {
    this.#host = host;
    this.#replica = new TreeReplica(workspaceId, series);
    this.#status = this.#makeStatus();
  }

  // ---- looking

  get workspaceId(): string {
    return this.#replica.fileId;
  }

  /** The same, as the client calls whatever is open. */
  get fileId(): string {
    return this.#replica.fileId;
  }

  get status(): WorkspaceStatus {
    return this.#status;
  }

  /** What is in a folder and not in the trash, by name; empty where there is no such folder. */
  children(folderId: string = ROOT): readonly Entry[] {
    const inside = this.#inside(folderId);
    const tree = this.#replica.tree;
    if (tree === null || (inside !== ROOT && !(tree.has(inside) && tree.state(inside).kind === "directory"))) return [];
    return tree.children(inside).map(([name, fileId]) => ({ fileId, name, kind: tree.state(fileId).kind }));
  }

  /** The names from the top, with slashes between; also of what is in the trash. Null: there is no such file. */
  path(fileId: string): string | null {
    const tree = this.#replica.tree;
    const inside = this.#inside(fileId);
    return tree !== null && (inside === ROOT || tree.has(inside)) ? tree.path(inside) : null;
  }

  /** The id of what is at a path and not in the trash; null: nothing is. */
  find(path: string): string | null {
    return this.#replica.tree?.find(path) ?? null;
  }

  /** Null: there is no such file. */
  node(fileId: string): NodeState | null {
    const tree = this.#replica.tree;
    return tree?.has(fileId) ? tree.state(fileId) : null;
  }

  /** Whether it, or a folder above it, is in the trash. */
  isTrashed(fileId: string): boolean {
    const tree = this.#replica.tree;
    return tree?.has(fileId) === true && !tree.isLive(fileId);
  }

  /** What is in the trash itself; what is below it went along. */
  trashed(): readonly string[] {
    return this.#replica.tree?.trashed() ?? [];
  }

  /** Calls the listener after every change; the returned function ends that. */
  onChange(listener: (change: TreeChange) => void): () => void {
    return listen(this.#changeListeners, listener);
  }

  onStatus(listener: (status: WorkspaceStatus) => void): () => void {
    return listen(this.#statusListeners, listener);
  }

  /** Calls the listener with what the server has made of our changes other than was asked. */
  onNotes(listener: (notes: readonly Note[]) => void): () => void {
    return listen(this.#noteListeners, listener);
  }

  // ---- changing

  /** A new file; its id. `exact`: refuse it where the name is taken, rather than number it. */
  create(
    name: string,
    folderId: string = ROOT,
    options: { kind?: Kind; content?: string; properties?: Record<string, string>; exact?: boolean } = {},
  ): string {
    const { kind = "text", content = "", properties = {}, exact = false } = options;
    const parentId = this.#outside(folderId);
    return this.change([{ verb: "create", parentId, name, kind, content, properties, exact }])[0] as string;
  }

  /** A new folder; its id. */
  mkdir(name: string, folderId: string = ROOT, options: { exact?: boolean } = {}): string {
    return this.create(name, folderId, { ...options, kind: "directory" });
  }

  /** To another folder, under another name, or both. `replaces`: what has that name there, and goes into the trash. */
  move(fileId: string, to: { folderId?: string; name?: string; replaces?: string; exact?: boolean }): void {
    const { replaces = "", exact = false } = to;
    this.change([{ verb: "move", fileId, ...this.#where(to), replaces, exact }]);
  }

  /** Into the trash, with all that is below. */
  remove(fileId: string): void {
    this.change([{ verb: "delete", fileId }]);
  }

  /** Out of the trash, with all that went there with it. */
  restore(fileId: string, to: { folderId?: string; name?: string } = {}): void {
    this.change([{ verb: "restore", fileId, ...this.#where(to) }]);
  }

  /** One property of a file; "" takes it away. */
  set(fileId: string, key: string, value: string): void {
    this.change([{ verb: "set", fileId, key, value }]);
  }

  /** Several operations as one: all of them or none. The ids of what they make. In them the top is the workspace's id. */
  change(edits: readonly TreeEdit[]): readonly string[] {
    this.#mayChange();
    const change = this.#replica.change(edits);
    this.#done(change);
    return change.made;
  }

  /** What our latest change that can be taken back is called; "": there is none. */
  get latest(): string {
    return this.#replica.latest;
  }

  /** Takes back our own latest change, or one that was the `latest` once, whatever others have done since. False: there is
   * none. Throws where others have made that impossible; it is passed over from here on. */
  undo(change = ""): boolean {
    this.#mayChange();
    return this.#done(this.#replica.undo(change));
  }

  redo(): boolean {
    this.#mayChange();
    return this.#done(this.#replica.redo());
  }

  // ---- texts, and the server

  /** A text of the workspace, over the same connection; see `Client.open`. */
  open(fileId: string): Document {
    return this.#host.open(fileId);
  }

  /** Resolves when we are live and all of our changes are durable on the server. Errors: what made it fail. */
  synced(): Promise<void> {
    return this.#until(() => this.#phase === "live" && this.#replica.isIdle);
  }

  live(): Promise<void> {
    return this.#until(() => this.#phase === "live");
  }

  /** Resolves when the server has saved all of the workspace, with what was done to the tree and typed in open texts of it:
   * the sequence up to which. Errors: those of `synced`, `permission_denied`. */
  async save(): Promise<number> {
    const documents = this.#host.documents().filter((document) => this.#replica.tree?.has(document.fileId));
    await Promise.all(documents.map((document) => document.synced()));
    await this.synced();
    const wanted = Math.max(this.#replica.sequence, ...documents.map((document) => document.status.sequence));
    this.#toSave = Math.max(this.#toSave, wanted);
    this.#saveRefusal = null;
    this.#askToSave();
    await this.#until(() => this.#saved >= wanted || this.#saveRefusal !== null);
    if (this.#saved < wanted && this.#saveRefusal !== null) throw this.#saveRefusal;
    return this.#saved;
  }

  dismissPatch(index: number): void {
    this.#patches = this.#patches.filter((_, other) => other !== index);
    this.#save();
    this.#updated();
  }

  /** Stores what is not stored yet; resolves when it is, or the store has refused. */
  async flush(): Promise<void> {
    await this.#keeper?.flush();
  }

  /** Leaves the tree. What is pending stays in the store, if there is one; resolves when it is stored. */
  async close(): Promise<void> {
    if (this.#isJoined) this.#send({ type: "leave", fileId: this.fileId });
    this.disconnected();
    const closed = this.#keeper?.close() ?? Promise.resolve();
    this.#host.forget(this, closed);
    this.#phase = "ended";
    this.#failed ??= new CoscribeError("not_joined", "the workspace is closed", this.fileId);
    this.#updated();
    await closed;
  }

  // ---- what the client asks and tells it

  /** In which log a file is still to be made, by a change of ours that is not acknowledged; null: it is not. */
  made(fileId: string): { incarnation: string; role: Role } | null {
    const isOurs = this.#replica.pending.some((change) => change.made.includes(fileId));
    return isOurs ? { incarnation: this.#replica.incarnation, role: this.#role } : null;
  }

  /** What an earlier life of this workspace left, and where it is kept from now on. Only then it joins. */
  begin(keeper: Keeper | null, stored: StoredFile | null): void {
    this.#hasBegun = true;
    this.#keeper = keeper;
    keeper?.begin(this);
    if (stored !== null) {
      const { message, inFlight, queue, patches, undoable } = treeRemainsOf(stored);
      this.#role = stored.record.role;
      this.#patches = patches;
      this.#replica.restore(message, inFlight, queue);
      this.#replica.restoreUndo(undoable);
    }
    if (this.#isConnected) this.#join();
    this.#updated();
  }

  connecting(): void {
    this.#become("connecting");
  }

  /** A connection is open and has been welcomed. */
  connected(): void {
    this.#isConnected = true;
    if (this.#phase !== "ended" && this.#hasBegun) this.#join();
    this.#updated();
  }

  disconnected(): void {
    this.#isConnected = false;
    this.#become("offline");
  }

  fail(error: CoscribeError): void {
    if (this.#phase !== "ended") this.#failed = error;
    this.#updated();
  }

  /** A message for this tree. */
  receive(message: ServerMessage): void {
    if (this.#phase === "ended") return;
    try {
      this.#receive(message);
    } catch (error) {
      if (error instanceof NotOurs) {
        this.#handBack("operation_id_reused", "a copy of this device has used the id");
        this.#heal();
      } else if (error instanceof OutOfStep) this.#heal();
      else if (!(error instanceof Gap)) throw error;
      else if (this.#phase === "live") this.#keepEarly(message);
      else this.#heal();
    }
    this.#updated();
  }

  /** Patches of this tree from another record of it. */
  takePatches(patches: readonly TreePatch[]): Promise<void> {
    this.#patches = [...this.#patches, ...patches];
    const saved = this.#save();
    this.#updated();
    return saved;
  }

  /** Drops what is pending; what is in flight may be done all the same. */
  discard(): void {
    const { pending, changes } = this.#replica.giveUp();
    if (pending.length === 0) return;
    this.#save();
    this.#tell(changes);
    this.#host.released();
    if (this.#isJoined) this.#heal();
    this.#updated();
  }

  // ---- what the keeper asks

  record(): ReturnType<Kept["record"]> {
    const lineage = this.#replica.lineage();
    const tree = { ...storedTree(this.#replica), patches: this.#patches };
    const { message } = this.#replica;
    const undo = storedTreeUndo(this.#replica);
    return { role: this.#role, version: 0, lineage, message, inFlight: [], queue: [], patches: [], undo, tree };
  }

  serverText(): null {
    return null;
  }

  keptChanged(): void {
    this.#updated();
  }

  // ---- joining

  get #isJoined(): boolean {
    return this.#phase === "joining" || this.#phase === "live";
  }

  #become(phase: "offline" | "connecting"): void {
    if (this.#phase !== "ended") this.#phase = phase;
    this.#joinsRefused = 0;
    this.#early.clear();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#updated();
  }

  #join(): void {
    const replica = this.#replica;
    replica.userId = this.#host.userId;
    this.#phase = "joining";
    this.#joins += 1;
    this.#cancelTimer("join");
    this.#cancelTimer("missing");
    this.#early.clear();
    const isKnown = replica.tree !== null && replica.incarnation !== "" && !this.#afresh;
    this.#send({
      type: "join",
      fileId: this.fileId,
      ...(isKnown ? { have: { ...replica.lineage(), documentVersion: 0 } } : {}),
      inFlight: replica.inFlight === null ? [] : [replica.inFlight.operationId],
    });
  }

  #leaveAndJoin(): void {
    this.#send({ type: "leave", fileId: this.fileId });
    this.#join();
  }

  /** The server says when; one that speaks version 1 leaves that to us. */
  #askedBack(message: Rejoin): void {
    const isNotNow = message.reason === "storage_unavailable" || message.reason === "owner_unavailable";
    const after = message.retryAfter ?? (isNotNow ? undefined : 0);
    if (after === 0) this.#join();
    else this.#joinLater(after);
  }

  /** `after` so many milliseconds; without: the more often it was refused the later. */
  #joinLater(after?: number): void {
    this.#phase = "joining";
    const growing = Math.min(JOIN_AGAIN_MS * 2 ** Math.min(this.#joinsRefused, 10), JOIN_AGAIN_MOST_MS);
    if (after === undefined && !this.#timers.has("join")) this.#joinsRefused += 1;
    this.#later("join", after ?? growing, () => {
      if (this.#phase === "joining") this.#join();
    });
  }

  /** Our tree is not what it should be: take the server's, keep what is pending. */
  #heal(): void {
    this.#heals += 1;
    this.#afresh = true;
    if (this.#isJoined) this.#leaveAndJoin();
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case "treeCommitted":
        this.#advance(message);
        this.#goOnWithEarly();
        break;
      case "treeSnapshot":
        if (this.#phase === "joining") this.#adopt(message);
        break;
      case "snapshot":
        this.#send({ type: "leave", fileId: this.fileId });
        this.fail(new CoscribeError("file_not_found", "a document has that id, and no workspace", this.fileId));
        break;
      case "treeResent":
        this.#advance(message);
        this.#goOnWithEarly();
        this.#cancelTimer("missing");
        if (message.more || this.#early.size > 0) this.#askMissing();
        break;
      case "treeNotes": {
        const notes = message.notes.map(({ fileId, why }) => ({ fileId: this.#inside(fileId), why }));
        for (const listener of [...this.#noteListeners]) listener(notes);
        break;
      }
      case "live":
        if (this.#phase === "joining") this.#goLive(message);
        break;
      case "saved":
        this.#saved = Math.max(this.#saved, message.serverSequenceId);
        this.#askToSave();
        break;
      case "rejoin":
        this.#askedBack(message);
        break;
      case "roleChanged":
        this.#role = message.role;
        break;
      case "error":
        this.#refused(message);
        break;
      case "ack":
        for (const place of message.operations) this.#acknowledged(place.operationId, place.serverSequenceId);
        this.#goOn();
        break;
    }
  }

  #advance({ entries, previousSequenceId, chainHash }: Omit<TreeCommitted, "type" | "fileId">): void {
    const replica = this.#replica;
    const behind = replica.sequence;
    const wasPending = replica.inFlight !== null;
    const changes = replica.receive(entries, previousSequenceId, chainHash);
    const fresh = entries.filter((entry) => entry.serverSequenceId > behind);
    this.#tell(changes, [...new Set(fresh.map((entry) => entry.userId))]);
    if (wasPending && replica.inFlight === null) this.#goOn();
  }

  /** The server's tree, with what is pending on top. What is in flight may be in it, or may be lost. */
  #adopt(snapshot: TreeSnapshot): void {
    const replica = this.#replica;
    this.#role = snapshot.role;
    if (replica.incarnation !== "" && replica.incarnation !== snapshot.incarnation) {
      this.#saved = 0;
      replica.forgetUndo();
    }
    this.#knowFates(snapshot.fates);
    replica.adopt(snapshot);
    this.#afresh = false;
    this.#save();
    this.#tell(null);
    this.#send({ type: "snapshotApplied", fileId: this.fileId, snapshotSequenceId: snapshot.snapshotSequenceId });
  }

  #goLive(message: Live): void {
    const replica = this.#replica;
    this.#knowFates(message.fates);
    if (replica.isView && message.serverSequenceId > replica.sequence) replica.sequence = message.serverSequenceId;
    if (message.serverSequenceId !== replica.sequence) throw new Gap();
    replica.incarnation = message.incarnation;
    this.#role = message.role;
    this.#phase = "live";
    this.#joinsRefused = 0;
    this.#removed = null;
    this.#failed = null;
    if (replica.inFlight === null) this.#sendNext();
    else this.#sendFrozen();
    this.#askToSave();
    this.#host.released();
  }

  #knowFates(fates: readonly OperationFate[]): void {
    for (const { operationId, fate, serverSequenceId } of fates) {
      if (fate === "committed") this.#acknowledged(operationId, serverSequenceId ?? 0);
      else if (fate === "unknowable") {
        this.#takeOut(operationId, "history_unavailable", "the server's history is another one now");
      }
    }
  }

  #acknowledged(operationId: string, sequence: number): void {
    this.#tell(this.#replica.acknowledged(operationId, sequence));
  }

  // ---- what came early

  #keepEarly(message: ServerMessage): void {
    if (this.#early.size >= MAX_EARLY) {
      this.#leaveAndJoin();
      return;
    }
    if (message.type === "treeCommitted") this.#early.set(message.previousSequenceId, message);
    if (!this.#timers.has("missing")) this.#later("missing", EARLY_MS, () => this.#askMissing());
  }

  #askMissing(): void {
    const throughSequenceId = Math.min(...this.#early.keys(), Number.MAX_SAFE_INTEGER);
    this.#send({ type: "resend", fileId: this.fileId, have: this.#replica.lineage(), throughSequenceId });
    this.#later("missing", ANSWER_MS, () => this.#leaveAndJoin());
  }

  #goOnWithEarly(): void {
    if (this.#early.size === 0) return;
    for (let first = Math.min(...this.#early.keys()); first <= this.#replica.sequence; ) {
      const message = this.#early.get(first) as TreeCommitted;
      this.#early.delete(first);
      this.#advance(message);
      first = Math.min(...this.#early.keys());
    }
    if (this.#early.size === 0) this.#cancelTimer("missing");
  }

  // ---- sending

  #mayChange(): void {
    if (this.#phase === "ended" && this.#failed !== null) throw this.#failed;
  }

  #done(change: PendingChange | null): boolean {
    if (change === null) return false;
    if (this.#phase === "live") this.#sendNext();
    else this.#save();
    this.#tell(change.effect.changes);
    this.#updated();
    return true;
  }

  /** What was in flight is not any more: the next may go, and who waited for what it makes. */
  #goOn(): void {
    if (this.#phase === "live") this.#sendNext();
    else this.#save();
    this.#host.released();
  }

  /** Sends what is queued, unless something is in flight; first of all it is stored. */
  #sendNext(): void {
    const message = this.#replica.outgoing();
    const limit = this.#host.limits?.messageBytes ?? Number.POSITIVE_INFINITY;
    if (message === null) {
      this.#save();
    } else if (message.length * 3 > limit && new TextEncoder().encode(message).length > limit) {
      this.#giveUp("message_too_large", `the server takes ${limit} bytes`);
    } else {
      this.#sendFrozen();
    }
  }

  /** Sends the frozen message once it is stored, if it is still wanted then. */
  #sendFrozen(): void {
    const { message } = this.#replica;
    const joins = this.#joins;
    const send = () => {
      const isWanted = this.#phase === "live" && this.#joins === joins && this.#replica.message === message;
      if (isWanted) this.#host.send(message);
    };
    if (this.#keeper === null) send();
    else void this.#keeper.save().then(send);
  }

  #askToSave(): void {
    if (this.#phase === "live" && this.#saved < this.#toSave) this.#send({ type: "save", fileId: this.fileId });
  }

  // ---- refusals

  #refused(message: ErrorMessage): void {
    const { code, detail, operationId } = message;
    if (typeof operationId !== "string") {
      this.#treeRefused(new CoscribeError(code, detail, this.fileId), message);
    } else if (this.#replica.inFlight?.operationId !== operationId) {
      return;
    } else if (message.retry === "same") {
      if (!this.#timers.has("send")) {
        this.#later("send", SEND_AGAIN_MS, () => {
          if (this.#phase === "live" && this.#replica.inFlight !== null) this.#sendFrozen();
        });
      }
    } else if (message.retry === "rejoin") {
      this.#joinLater();
    } else {
      this.#giveUp(code, detail);
    }
  }

  /** Something about the tree as a whole was refused. */
  #treeRefused(error: CoscribeError, message: ErrorMessage): void {
    const isJoining = this.#phase === "joining";
    if (error.code === "access_removed") {
      this.#removed = error;
      if (this.#replica.inFlight === null) this.#end(error, []);
      else this.#join();
    } else if (error.code === "already_joined" || error.code === "snapshot_not_sent") {
      if (this.#phase !== "live") this.#leaveAndJoin();
    } else if (this.#timers.has("missing")) {
      this.#leaveAndJoin();
    } else if (this.#phase === "live" && this.#saved < this.#toSave) {
      this.#saveRefused(error, message);
    } else if (isJoining && error.code === "file_not_found") {
      this.#end(this.#removed ?? error, message.fates ?? []);
    } else if (isJoining && message.retry === "never") {
      this.fail(error);
    } else if (isJoining) {
      this.#joinLater();
    }
  }

  #saveRefused(error: CoscribeError, message: ErrorMessage): void {
    if (message.retry === "never") {
      this.#saveRefusal = error;
      this.#toSave = 0;
    } else {
      this.#later("save", SEND_AGAIN_MS, () => this.#askToSave());
    }
  }

  /** Access is gone: what is not in the log goes back to its author, and nothing follows. */
  #end(error: CoscribeError, fates: readonly OperationFate[]): void {
    this.#become("offline");
    this.#phase = "ended";
    this.#role = "viewer";
    const committed = fates.filter((fate) => fate.fate === "committed").map((fate) => fate.operationId);
    this.#handBack(error.code, error.detail, new Set(committed));
    this.#failed = new WorkspaceEnded(error, this.#patches);
  }

  /** The message in flight is refused for good. */
  #giveUp(code: string, detail: string): void {
    this.#takeOut(this.#replica.inFlight?.operationId ?? "", code, detail);
    this.#goOn();
  }

  #takeOut(operationId: string, code: string, detail: string): void {
    const refused = this.#replica.refused(operationId);
    if (refused === null) return;
    this.#patches = [...this.#patches, { code, detail, operationId, edits: refused.change.edits }];
    this.#tell(refused.changes);
  }

  #handBack(code: string, detail: string, committed: ReadonlySet<string> = new Set()): void {
    const { pending, changes } = this.#replica.giveUp();
    const lost = pending.filter((change) => !committed.has(change.operationId));
    const patches = lost.map(({ operationId, edits }) => ({ code, detail, operationId, edits }));
    this.#patches = [...this.#patches, ...patches];
    this.#save();
    this.#tell(changes);
    this.#host.released();
  }

  #save(): Promise<void> {
    return this.#keeper?.save() ?? Promise.resolve();
  }

  #send(message: ClientMessage): void {
    this.#host.send(encode(message));
  }

  #cancelTimer(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  #later(name: string, milliseconds: number, action: () => void): void {
    this.#cancelTimer(name);
    const run = () => {
      this.#timers.delete(name);
      action();
      this.#updated();
    };
    this.#timers.set(name, this.#host.clock.later(milliseconds, run));
  }

  // ---- names and telling

  #outside(fileId: string): string {
    return fileId === ROOT ? this.fileId : fileId;
  }

  #inside(fileId: string): string {
    return fileId === this.fileId ? ROOT : fileId;
  }

  #where({ folderId, name }: { folderId?: string; name?: string }): { parentId?: string; name?: string } {
    return {
      ...(folderId === undefined ? {} : { parentId: this.#outside(folderId) }),
      ...(name === undefined ? {} : { name }),
    };
  }

  #tell(changes: readonly Change[] | null, authors: readonly string[] = []): void {
    if (changes !== null && changes.length === 0) return;
    for (const listener of [...this.#changeListeners]) listener({ changes, authors });
  }

  /** Something may have changed: tells whoever waits, and who listens to the status. */
  #updated(): void {
    for (const waiting of [...this.#waiting]) this.#settle(waiting);
    const status = this.#makeStatus();
    const names = Object.keys(status) as (keyof WorkspaceStatus)[];
    if (names.every((name) => status[name] === this.#status[name])) return;
    this.#status = status;
    for (const listener of [...this.#statusListeners]) listener(status);
  }

  #makeStatus(): WorkspaceStatus {
    const phase = this.#phase;
    const replica = this.#replica;
    const mayWrite = this.#role !== "viewer" && phase !== "ended" && this.#failed === null;
    return {
      state: phase === "joining" ? "catching-up" : phase,
      role: this.#role,
      hasTree: replica.tree !== null,
      canEdit: mayWrite && replica.tree !== null,
      unsent: replica.pending.length,
      canUndo: replica.canUndo,
      canRedo: replica.canRedo,
      isKept: this.#keeper?.isKept ?? false,
      patches: this.#patches,
      error: this.#failed,
      sequence: replica.sequence,
      heals: this.#heals,
    };
  }

  #until(reached: () => boolean): Promise<void> {
    const { promise, resolve, reject } = deferred<void>();
    const waiting = { reached, resolve, reject };
    this.#waiting.add(waiting);
    this.#settle(waiting);
    return promise;
  }

  #settle(waiting: { reached: () => boolean; resolve: () => void; reject: (error: Error) => void }): void {
    if (waiting.reached()) waiting.resolve();
    else if (this.#failed !== null) waiting.reject(this.#failed);
    else return;
    this.#waiting.delete(waiting);
  }
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
