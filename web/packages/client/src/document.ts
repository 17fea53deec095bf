/**
 * Document: one open file of a client. The states of the protocol around a `Replica`.
 *
 *       offline --connected--> joining --snapshot, no past to bridge--> live
 *                                 |                                       ^
 *                                 +--snapshot and pending edits--> bridging (resend) --+
 *                                 +--tail--------------------------------------------- +
 *
 *                         whatever the state --access is gone, and the fates are known--> ended
 *
 * *Bridging*: the server sent a snapshot at T, our pending edits (and what we could undo) are based on S < T. The
 * operations between are asked for and carried through them; then the snapshot is adopted below them.
 *
 * *Early*: operations that came before those they follow. They are kept for a moment, as the others may only have been
 * overtaken; then what lies between is asked for (resend), and if that does not come either the file is joined anew.
 *
 * *Ended*: access was taken away while we were live, or before we came back. What is in flight may be committed all the
 * same, so one more join asks for its fate, over this connection or the next; the refusal tells. The rest is a patch.
 *
 * *Kept*: an edit is stored at once, and a message leaves only after the record that holds it is stored. Otherwise the
 * next life of this document could not resend it as it was, and might make another one of the same text.
 *
 * Joining and bridging are "catching-up" to the outside. Positions of the public interface are UTF-16 units; inside,
 * and on the wire, they are code points.
 */

import type { Clock } from "./clock.ts";
import { CoscribeError } from "./core/errors.ts";
import { type CodePointEdit, growth, toEdits } from "./core/operation.ts";
import { deferred } from "./deferred.ts";
import { idsOf, type Keeper, type Kept, remainsOf, storedPending } from "./keeper.ts";
import { type Patch, patchOf } from "./patch.ts";
import { type Participant, Presence } from "./presence.ts";
import { type Applied, Gap, NotOurs, OutOfStep, Replica, type TextEdit } from "./replica.ts";
import { contentHash } from "./sha256.ts";
import type { StoredFile } from "./store.ts";
import { MessageTrace, type TracedMessage } from "./trace.ts";
import {
  type Ack,
  type Checksum,
  type ClientMessage,
  type Committed,
  type CommittedOperation,
  type ErrorMessage,
  encode,
  type Live,
  type OperationFate,
  REFUSED_CHARACTERS,
  type Rejoin,
  type Resent,
  type Role,
  type ServerLimits,
  type ServerMessage,
  type Snapshot,
} from "./wire/codec.ts";

/** Sequences over which undo is carried where nothing is pending; after a longer absence there is nothing to undo. */
const MAX_UNDO_BRIDGE = 10_000;

const JOIN_AGAIN_MS = 100;
const JOIN_AGAIN_MOST_MS = 5_000;
const SEND_AGAIN_MS = 250;
const CHECK_MS = 5 * 60_000;

/** Messages that came early and are kept; where there are more the file is joined anew. */
const MAX_EARLY = 64;

/** How long operations that were overtaken may take before they are asked for, and how long the answer to that. */
const EARLY_MS = 50;
const ANSWER_MS = 5_000;

export type DocumentState = "offline" | "connecting" | "catching-up" | "live" | "ended";

/** Something happened to the text. `edits` are against the text before, from left to right; null: it is another text
 * now, read it whole. `author` is a user id, "" for ourselves. */
export interface Change {
  readonly edits: readonly TextEdit[] | null;
  readonly origin: "own" | "undo" | "redo" | "remote" | "reset";
  readonly author: string;
}

/** Where a document is. The same object for as long as nothing in it changes. */
export interface DocumentStatus {
  readonly state: DocumentState;
  readonly role: Role;
  /** Whether there is a text to show: the server's, or one that was kept. */
  readonly hasText: boolean;
  /** Whether an edit would be taken in now, and the server would take it as far as is known. */
  readonly canEdit: boolean;
  /** Edits that the server has not acknowledged. */
  readonly unsent: number;
  /** Live, and everything is durable on the server. */
  readonly isSaved: boolean;
  /** Whether what is unsent would survive a reload of the page. */
  readonly isKept: boolean;
  readonly patches: readonly Patch[];
  readonly error: CoscribeError | null;
  readonly sequence: number;
  readonly version: number;
  /** How often the text was found to differ from the server's, and was replaced by it. */
  readonly heals: number;
  /** Where it is in its workspace, and whether that is in the trash; "": it is in none, or that is not known. */
  readonly path: string;
  readonly isTrashed: boolean;
}

/** What can be told of a document without telling any of its text. */
export interface Diagnostics {
  readonly fileId: string;
  readonly state: DocumentState;
  readonly sequence: number;
  readonly version: number;
  readonly incarnation: string;
  readonly chainHash: string;
  readonly contentHash: string;
  readonly length: number;
  readonly heals: number;
  readonly pending: readonly { readonly operationId: string; readonly edits: number; readonly growth: number }[];
  readonly messages: readonly TracedMessage[];
}

/** There is no access to the file, or not any more. `patches`: all that was typed and is not in it. */
export class AccessEnded extends CoscribeError {
  readonly patches: readonly Patch[];

  constructor(error: CoscribeError, patches: readonly Patch[]) {
    super(error.code, error.detail, error.fileId);
    this.patches = patches;
  }
}

/** No edit just now: the text still holds what was refused or discarded, and is being fetched anew. */
export class HoldsRefused extends Error {
  override readonly name = "HoldsRefused";
}

/** The client, as its documents see it. */
export interface Host {
  readonly clock: Clock;
  readonly userId: string;
  readonly connectionId: string;
  readonly limits: ServerLimits | null;
  send(frame: string): void;
  /** In which log a file is still to be made, by a change of ours that the server has not acknowledged, and what we are in
   * it; null: it is not. Until then it is not joined, and is empty but for what we type. */
  made(fileId: string): { readonly incarnation: string; readonly role: Role } | null;
  /** The document is closed; `closed` resolves when its record is free. */
  forget(document: Document, closed: Promise<void>): void;
}

type Phase = "offline" | "connecting" | "joining" | "bridging" | "live" | "ended";

/** Made by `Client.open`. Edits apply to `text` at once and reach the server when they can. */
export class Document implements Kept {
  readonly #host: Host;
  readonly #replica: Replica;
  readonly #trace = new MessageTrace();
  readonly #presence: Presence;
  #keeper: Keeper | null = null;
  #hasBegun = false;
  #isConnected = false;
  #phase: Phase = "offline";
  #joins = 0;
  #snapshot: Snapshot | null = null;
  #afresh = false;
  #holdsRefused = false;
  #joinsRefused = 0;
  #hasBeenLive = false;
  #failed: CoscribeError | null = null;
  #removed: CoscribeError | null = null;
  #checkWanted = false;
  #heals = 0;
  #role: Role = "viewer";
  #patches: readonly Patch[] = [];
  #status: DocumentStatus;
  #isTelling = false;
  #path = "";
  #isTrashed = false;
  #saved = 0;
  #toSave = 0;
  #saveRefusal: CoscribeError | null = null;
  readonly #timers = new Map<string, () => void>();
  readonly #early = new Map<number, Committed>();
  readonly #changeListeners = new Set<(change: Change) => void>();
  readonly #statusListeners = new Set<(status: DocumentStatus) => void>();
  readonly #participantListeners = new Set<() => void>();
  readonly #waiting = new Set<{ reached: () => boolean; resolve: () => void; reject: (error: Error) => void }>();

  /** `series`: what the ids of our operations begin with; never used before. */
  constructor(host: Host, fileId: string, series: string) {
    this.#host = host;
    this.#replica = new Replica(fileId, series, { noted: (operation) => this.#keeper?.noted(operation) });
    this.#presence = this.#makePresence();
    this.#status = this.#makeStatus();
  }

  // ---- what a user of the library sees

  get fileId(): string {
    return this.#replica.fileId;
  }

  /** The text with our own pending edits in it. */
  get text(): string {
    return this.#replica.text;
  }

  /** UTF-16 units of the text. */
  get length(): number {
    return this.#replica.buffer?.lengthUtf16 ?? 0;
  }

  get canUndo(): boolean {
    return this.#replica.canUndo;
  }

  get canRedo(): boolean {
    return this.#replica.canRedo;
  }

  get status(): DocumentStatus {
    return this.#status;
  }

  /** Who has the file open, by connection; another map after each change. */
  get participants(): ReadonlyMap<string, Participant> {
    return this.#presence.participants;
  }

  /** Where we are: what `setCursor` has said; before that, once we are live, where we were when we last had the file open,
   * on whatever device; null: nowhere. It moves along with the text. */
  get cursor(): { readonly anchor: number; readonly head: number } | null {
    return this.#presence.cursor;
  }

  /** The text between two UTF-16 positions. Errors: RangeError, also inside a surrogate pair. */
  slice(from: number, to: number): string {
    const buffer = this.#replica.buffer;
    return buffer === null ? "" : buffer.slice(buffer.toCodePoint(from), buffer.toCodePoint(to));
  }

  /**
   * Several edits against the present text, as one, from left to right. `joinsUndo`: they are taken back together with
   * the edit before them. `origin`: where what they insert is from, for the log. Errors: RangeError for edits that do not
   * fit; HoldsRefused; why access has ended, if it has.
   */
  edit(edits: readonly TextEdit[], options: { joinsUndo?: boolean; origin?: "paste" } = {}): void {
    this.#mayChange();
    if (this.#holdsRefused) {
      throw new HoldsRefused("the text still holds what the server has refused; it is being fetched anew");
    }
    const buffer = this.#replica.buffer;
    if (buffer === null) throw new RangeError("the text of the file is not known yet");
    let end = 0;
    const converted = edits.map(({ from, to, insert }): CodePointEdit => {
      if (from < end || to < from || to > buffer.lengthUtf16) {
        throw new RangeError("edits go from left to right, do not overlap, and end within the text");
      }
      if (REFUSED_CHARACTERS.test(insert)) {
        throw new RangeError("no NUL, no CR (use LF) and no lone surrogates in a text");
      }
      end = to;
      const position = buffer.toCodePoint(from);
      return [position, to === from ? 0 : buffer.toCodePoint(to) - position, insert];
    });
    const { joinsUndo = false, origin = null } = options;
    this.#done(this.#replica.edit(converted, { joins: joinsUndo, origin }), "own");
  }

  /** Takes back our own latest edit, whatever others have done since. False: there is none. */
  undo(): boolean {
    this.#mayChange();
    return this.#done(this.#replica.undo(), "undo");
  }

  redo(): boolean {
    this.#mayChange();
    return this.#done(this.#replica.redo(), "redo");
  }

  /** Shows the others where we are, soon. */
  setCursor(anchor: number, head: number): void {
    const buffer = this.#replica.buffer;
    if (buffer === null) return;
    const place = (offset: number) => {
      const within = Math.max(0, Math.min(offset, buffer.lengthUtf16));
      return buffer.snapToCodePoint(within);
    };
    this.#presence.setCursor({ anchor: place(anchor), head: place(head) });
  }

  /** Calls the listener after every change; the returned function ends that. It may not edit from within. */
  onChange(listener: (change: Change) => void): () => void {
    return listen(this.#changeListeners, listener);
  }

  onStatus(listener: (status: DocumentStatus) => void): () => void {
    return listen(this.#statusListeners, listener);
  }

  /** Calls the listener after somebody came, moved or went. */
  onParticipants(listener: () => void): () => void {
    return listen(this.#participantListeners, listener);
  }

  /** Resolves when we are live and everything of ours is durable on the server. Errors: what made it fail. */
  synced(): Promise<void> {
    return this.#until(() => this.#phase === "live" && this.#replica.isIdle);
  }

  live(): Promise<void> {
    return this.#until(() => this.#phase === "live");
  }

  /** Resolves when the server has saved the text, with what is ours in it: the sequence up to which. Errors: those of
   * `synced`, `permission_denied`. */
  async save(): Promise<number> {
    await this.synced();
    const wanted = this.#replica.sequence;
    this.#toSave = Math.max(this.#toSave, wanted);
    this.#saveRefusal = null;
    this.#askToSave();
    await this.#until(() => this.#saved >= wanted || this.#saveRefusal !== null);
    if (this.#saved < wanted && this.#saveRefusal !== null) throw this.#saveRefusal;
    return this.#saved;
  }

  /** Compares with the server's hash as soon as nothing is pending; a difference heals itself. */
  check(): void {
    this.#checkWanted = true;
    this.#askChecksum();
  }

  /** Stores what is not stored yet; resolves when it is, or the store has refused. */
  async flush(): Promise<void> {
    await this.#keeper?.flush();
  }

  /** Drops what is pending: it comes back as a patch, and the server's text is fetched. Null: nothing is pending.
   * What is in flight may be committed all the same. */
  discard(): Patch | null {
    const pending = this.#replica.giveUp();
    if (pending.length === 0) return null;
    this.#holdsRefused = true;
    this.#save();
    this.#fetchAnew();
    this.#updated();
    return patchOf(
      pending.map((item) => toEdits(item.operation)),
      "discarded",
      "",
    );
  }

  dismissPatch(index: number): void {
    this.#patches = this.#patches.filter((_, other) => other !== index);
    this.#save();
    this.#updated();
  }

  diagnostics(): Diagnostics {
    const replica = this.#replica;
    return {
      fileId: this.fileId,
      state: this.#status.state,
      sequence: replica.sequence,
      version: replica.version,
      incarnation: replica.incarnation,
      chainHash: replica.chainHash,
      contentHash: contentHash(replica.text),
      length: this.length,
      heals: this.#heals,
      pending: replica.pending.map(({ operationId, edits, operation }) => {
        return { operationId, edits, growth: growth(operation) };
      }),
      messages: this.#trace.messages,
    };
  }

  /** Leaves the file. What is pending stays in the store, if there is one; resolves when it is stored. */
  async close(): Promise<void> {
    if (this.#isJoined) this.#send({ type: "leave", fileId: this.fileId });
    this.disconnected();
    const closed = this.#keeper?.close() ?? Promise.resolve();
    this.#host.forget(this, closed);
    this.#phase = "ended";
    this.#failed ??= new CoscribeError("not_joined", "the document is closed", this.fileId);
    this.#updated();
    await closed;
  }

  // ---- what the client tells it

  /** What an earlier life of this document left, and where it is kept from now on. Only then it joins. */
  begin(keeper: Keeper | null, stored: StoredFile | null): void {
    this.#hasBegun = true;
    this.#keeper = keeper;
    keeper?.begin(this);
    if (stored !== null) this.#restore(stored);
    const made = this.#host.made(this.fileId);
    if (made !== null && made.incarnation !== "") {
      this.#role = made.role;
      this.#replica.beginEmpty(made.incarnation);
      this.#tell({ edits: null, origin: "reset", author: "" });
    }
    if (this.#isConnected) this.#join();
    this.#updated();
  }

  /** The file may be there now that was still to be made. */
  released(): void {
    const waits = this.#phase === "offline" || this.#phase === "connecting";
    if (waits && this.#isConnected && this.#hasBegun) this.#join();
    this.#updated();
  }

  /** A connection is being made. */
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

  /** A message for this file. */
  receive(message: ServerMessage): void {
    if (this.#phase === "ended") return;
    this.#trace.note("in", message, this.#host.clock.now());
    try {
      this.#receive(message);
    } catch (error) {
      if (error instanceof NotOurs) {
        this.#handBack("operation_id_reused", "a copy of this device has used the id");
        this.#heal();
      } else if (error instanceof OutOfStep) this.#heal();
      else if (!(error instanceof Gap)) throw error;
      else if (this.#phase === "live") this.#keepEarly(message);
    }
    this.#updated();
  }

  /** Patches of this file from another record of it. */
  takePatches(patches: readonly Patch[]): Promise<void> {
    this.#patches = [...this.#patches, ...patches];
    const saved = this.#save();
    this.#updated();
    return saved;
  }

  // ---- what the keeper asks

  record(): ReturnType<Kept["record"]> {
    const { version } = this.#replica;
    const pending = storedPending(this.#replica);
    return { role: this.#role, version, lineage: this.#replica.lineage(), patches: this.#patches, ...pending };
  }

  serverText(): string | null {
    const replica = this.#replica;
    const isServers = replica.isIdle && !this.#holdsRefused && !this.#afresh && this.#phase !== "ended";
    return isServers && replica.buffer !== null ? replica.text : null;
  }

  keptChanged(): void {
    this.#updated();
  }

  // ---- joining

  get #isJoined(): boolean {
    return this.#phase === "joining" || this.#phase === "bridging" || this.#phase === "live";
  }

  #restore(stored: StoredFile): void {
    const remains = remainsOf(stored);
    this.#role = stored.record.role;
    this.#patches = stored.record.patches;
    try {
      this.#replica.restore(remains);
    } catch (error) {
      if (!(error instanceof OutOfStep)) throw error;
      this.#replica.restore({ ...remains, text: null });
    }
    this.#checkWanted = true;
    if (this.#replica.buffer !== null) this.#tell({ edits: null, origin: "reset", author: "" });
  }

  #become(phase: "offline" | "connecting"): void {
    if (this.#phase !== "ended") this.#phase = phase;
    this.#snapshot = null;
    this.#joinsRefused = 0;
    this.#early.clear();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#presence.replace([]);
    this.#updated();
  }

  #join(): void {
    const replica = this.#replica;
    replica.userId = this.#host.userId;
    if (this.#host.made(this.fileId) !== null) {
      this.#phase = "connecting";
      return;
    }
    this.#phase = "joining";
    this.#joins += 1;
    this.#cancelTimer("join");
    this.#cancelTimer("missing");
    this.#early.clear();
    this.#snapshot = null;
    const isKnown = replica.buffer !== null && replica.incarnation !== "" && !this.#afresh;
    this.#send({
      type: "join",
      fileId: this.fileId,
      ...(isKnown ? { have: { ...replica.lineage(), documentVersion: replica.version } } : {}),
      inFlight: replica.inFlight.map((pending) => pending.operationId),
      ...(this.#hasBeenLive ? {} : { lastCursor: true }),
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

  /** Our text is not what it should be: take the server's, keep what is pending. */
  #heal(): void {
    this.#heals += 1;
    this.#fetchAnew();
  }

  #fetchAnew(): void {
    this.#afresh = true;
    if (this.#isJoined) this.#leaveAndJoin();
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case "committed":
        if (this.#phase !== "bridging") {
          this.#advance(message.operations, message.previousSequenceId, message.chainHash);
          this.#goOnWithEarly();
        }
        break;
      case "presence":
        this.#presence.put(message.participant);
        break;
      case "left":
        this.#presence.remove(message.connectionId);
        break;
      case "snapshot":
        if (this.#phase === "joining" || this.#phase === "bridging") this.#bridge(message);
        break;
      case "treeSnapshot":
        this.#send({ type: "leave", fileId: this.fileId });
        this.fail(new CoscribeError("not_a_text", "it is a workspace", this.fileId));
        break;
      case "resent":
        if (this.#phase === "live") this.#fillGap(message);
        else this.#continueBridge(message);
        break;
      case "live":
        if (this.#phase === "joining") this.#goLive(message);
        break;
      case "checksum":
        this.#compare(message);
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
        this.#acknowledged(message);
        break;
      case "moved":
        this.#path = message.path;
        this.#isTrashed = message.trashed;
        break;
      case "saved":
        this.#saved = Math.max(this.#saved, message.serverSequenceId);
        this.#askToSave();
        break;
    }
  }

  #advance(operations: readonly CommittedOperation[], previous: number, chainHash: string): void {
    const wasPending = this.#replica.inFlight.length > 0;
    const applied = this.#replica.receive(operations, previous, chainHash);
    this.#tellApplied(applied, "remote");
    this.#presence.placeWaiting();
    if (wasPending && this.#replica.inFlight.length === 0) {
      this.#presence.tell();
      if (this.#phase === "live") this.#sendNext();
      else this.#save();
    } else {
      this.#keeper?.saveLater();
    }
    if (this.#checkWanted) this.#askChecksum();
  }

  // ---- what came early

  /** There is a gap before the message. One that tells of it and is no operation is not kept. */
  #keepEarly(message: ServerMessage): void {
    if (this.#early.size >= MAX_EARLY) {
      this.#leaveAndJoin();
      return;
    }
    if (message.type === "committed") this.#early.set(message.previousSequenceId, message);
    if (!this.#timers.has("missing")) this.#later("missing", EARLY_MS, () => this.#askMissing());
  }

  #askMissing(): void {
    const throughSequenceId = Math.min(...this.#early.keys(), Number.MAX_SAFE_INTEGER);
    this.#send({ type: "resend", fileId: this.fileId, have: this.#replica.lineage(), throughSequenceId });
    this.#later("missing", ANSWER_MS, () => this.#leaveAndJoin());
  }

  #fillGap(message: Resent): void {
    this.#advance(message.operations, message.previousSequenceId, message.chainHash);
    this.#goOnWithEarly();
    this.#cancelTimer("missing");
    if (message.more || this.#early.size > 0) this.#askMissing();
  }

  #goOnWithEarly(): void {
    if (this.#early.size === 0) return;
    for (let first = Math.min(...this.#early.keys()); first <= this.#replica.sequence; ) {
      const message = this.#early.get(first) as Committed;
      this.#early.delete(first);
      this.#advance(message.operations, first, message.chainHash);
      first = Math.min(...this.#early.keys());
    }
    if (this.#early.size === 0) this.#cancelTimer("missing");
  }

  // ---- bridging

  /** A snapshot came. Are there pending edits that have to be carried to it first? */
  #bridge(snapshot: Snapshot): void {
    const replica = this.#replica;
    this.#role = snapshot.role;
    if (snapshot.lineageLost || (replica.incarnation !== "" && replica.incarnation !== snapshot.incarnation)) {
      const detail = "the server's history is another one now, or was pruned since";
      this.#handBack("history_unavailable", detail, committedOf(snapshot.fates));
    }
    const behind = snapshot.snapshotSequenceId - replica.sequence;
    if (replica.isIdle && behind > MAX_UNDO_BRIDGE) replica.forgetUndo();
    if (behind === 0 || (replica.isIdle && !replica.canUndo && !replica.canRedo)) {
      this.#adopt(snapshot);
      return;
    }
    this.#phase = "bridging";
    this.#snapshot = snapshot;
    if (this.#afresh) replica.buffer = null;
    this.#askResend(snapshot);
  }

  #askResend(snapshot: Snapshot): void {
    const throughSequenceId = snapshot.snapshotSequenceId;
    this.#send({ type: "resend", fileId: this.fileId, have: this.#replica.lineage(), throughSequenceId });
  }

  #continueBridge(message: Resent): void {
    const snapshot = this.#snapshot;
    if (snapshot === null) return;
    const applied = this.#replica.receive(message.operations, message.previousSequenceId, message.chainHash);
    if (this.#replica.buffer !== null) this.#tellApplied(applied, "remote");
    // An answer may be to what was asked for an older snapshot: what is pending is not where this one is then.
    const missing = snapshot.snapshotSequenceId - this.#replica.sequence;
    if (missing < 0) throw new OutOfStep("the replica is beyond the snapshot");
    if (missing === 0) this.#adopt(snapshot);
    else if (message.more) this.#askResend(snapshot);
  }

  #adopt(snapshot: Snapshot): void {
    const { content: text, incarnation, chainHash } = snapshot;
    const replica = this.#replica;
    const before = replica.buffer === null ? null : replica.text;
    this.#snapshot = null;
    try {
      replica.adopt(snapshot);
    } catch (error) {
      if (!(error instanceof OutOfStep)) throw error;
      this.#handBack("position_out_of_range", "the edits do not fit the server's text");
      replica.adopt(snapshot);
    }
    this.#afresh = false;
    this.#holdsRefused = false;
    this.#phase = "joining";
    const lineage = { incarnation, chainHash, serverSequenceId: snapshot.snapshotSequenceId };
    this.#keeper?.rebase({ text, version: snapshot.snapshotVersion, lineage });
    this.#save();
    if (replica.text !== before) {
      this.#presence.forgetCursor();
      this.#tell({ edits: null, origin: "reset", author: "" });
    }
    this.#send({ type: "snapshotApplied", fileId: this.fileId, snapshotSequenceId: snapshot.snapshotSequenceId });
  }

  #goLive(message: Live): void {
    const replica = this.#replica;
    if (message.serverSequenceId !== replica.sequence) throw new Gap();
    replica.incarnation = message.incarnation;
    this.#role = message.role;
    this.#phase = "live";
    this.#joinsRefused = 0;
    this.#removed = null;
    this.#failed = null;
    this.#presence.replace(message.participants);
    if (!this.#hasBeenLive && message.lastCursor !== undefined) {
      this.#presence.comeBack(message.documentVersion, message.lastCursor);
    }
    this.#hasBeenLive = true;
    if (replica.inFlight.length > 0) this.#sendFrozen();
    else this.#sendNext();
    this.#presence.tell();
    this.#checkRegularly();
    if (this.#checkWanted) this.#askChecksum();
    this.#askToSave();
  }

  // ---- sending

  #askToSave(): void {
    if (this.#phase === "live" && this.#saved < this.#toSave) this.#send({ type: "save", fileId: this.fileId });
  }

  #mayChange(): void {
    if (this.#phase === "ended" && this.#failed !== null) throw this.#failed;
    if (this.#isTelling) throw new Error("a listener of changes may not edit; wait until it has returned");
  }

  #done(applied: Applied | null, origin: "own" | "undo" | "redo"): boolean {
    if (applied === null) return false;
    if (this.#phase === "live") this.#sendNext();
    else this.#save();
    this.#tellApplied([applied], origin);
    this.#updated();
    return true;
  }

  /** Sends what is queued, unless something is in flight; first of all it is stored. */
  #sendNext(): void {
    const message = this.#replica.outgoing();
    const limit = this.#host.limits?.messageBytes ?? Number.POSITIVE_INFINITY;
    if (message === null) {
      this.#save();
    } else if (message.length * 3 > limit && new TextEncoder().encode(message).length > limit) {
      this.#handBack("message_too_large", `the server takes ${limit} bytes`);
      this.#heal();
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
      if (!isWanted) return;
      const ids = this.#replica.inFlight.map((pending) => pending.operationId);
      this.#trace.noteSent(ids, message.length, this.#host.clock.now());
      this.#host.send(message);
    };
    if (this.#keeper === null) send();
    else void this.#keeper.save().then(send);
  }

  #sendAgain(): void {
    if (this.#phase === "live" && this.#replica.inFlight.length > 0) this.#sendFrozen();
  }

  /** A direct acknowledgement: of something that our text holds already, though not as ours. It is in; what was typed
   * on top of it a second time cannot be told apart from it. */
  #acknowledged(message: Ack): void {
    const mine = new Set(this.#replica.inFlight.map((pending) => pending.operationId));
    const isIn = (place: { operationId: string; serverSequenceId: number }) =>
      mine.has(place.operationId) && place.serverSequenceId <= this.#replica.sequence;
    if (!message.operations.some(isIn)) return;
    this.#handBack("history_unavailable", "the edits before these are in the text already", mine);
    this.#heal();
  }

  #refused(message: ErrorMessage): void {
    const { code, detail, operationId } = message;
    if (typeof operationId !== "string") {
      this.#fileRefused(new CoscribeError(code, detail, this.fileId), message);
    } else if (this.#replica.inFlight.length === 0 || !idsOf(this.#replica.message).includes(operationId)) {
      // One that it does name may be acknowledged meanwhile: a copy of this device has sent it alone, and the rest of
      // the chain will never be taken.
      return;
    } else if (message.retry === "same") {
      if (!this.#timers.has("send")) this.#later("send", SEND_AGAIN_MS, () => this.#sendAgain());
    } else if (message.retry === "rejoin") {
      this.#joinLater();
    } else {
      this.#handBack(code, detail);
      this.#heal();
    }
  }

  /** Something about the file as a whole was refused. */
  #fileRefused(error: CoscribeError, message: ErrorMessage): void {
    const isJoining = this.#phase === "joining";
    if (error.code === "access_removed") {
      this.#removed = error;
      if (this.#replica.inFlight.length > 0) this.#join();
      else this.#end(error, []);
    } else if (error.code === "already_joined" || error.code === "snapshot_not_sent") {
      if (this.#phase !== "live") this.#leaveAndJoin();
    } else if (this.#phase === "bridging" && message.retry === "never") {
      this.#handBack(error.code, error.detail, committedOf(this.#snapshot?.fates ?? []));
      this.#heal();
    } else if (this.#timers.has("missing")) {
      this.#leaveAndJoin();
    } else if (this.#phase === "live" && (error.code === "file_not_found" || error.code === "not_a_text")) {
      this.#join();
    } else if (this.#phase === "live" && this.#saved < this.#toSave) {
      this.#saveRefused(error, message);
    } else if (isJoining && error.code === "file_not_found") {
      this.#end(this.#removed ?? error, message.fates ?? []);
    } else if (isJoining && message.retry === "never") {
      this.fail(error);
    } else if (isJoining || this.#phase === "bridging") {
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
    this.#keeper?.rebase(null);
    this.#handBack(error.code, error.detail, committedOf(fates));
    this.#failed = new AccessEnded(error, this.#patches);
  }

  /** Pending edits that cannot be applied any more become a patch for their author. */
  #handBack(code: string, detail: string, committed: ReadonlySet<string> = new Set()): void {
    const pending = this.#replica.giveUp();
    const lost = pending.filter((item) => !committed.has(item.operationId));
    const edits = lost.map((item) => toEdits(item.operation));
    if (lost.length > 0) this.#patches = [...this.#patches, patchOf(edits, code, detail)];
    if (pending.length > 0) this.#holdsRefused = true;
    this.#save();
  }

  #save(): Promise<void> {
    return this.#keeper?.save() ?? Promise.resolve();
  }

  #send(message: ClientMessage): void {
    this.#trace.note("out", message, this.#host.clock.now());
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

  // ---- checking

  #checkRegularly(): void {
    this.#later("check", CHECK_MS, () => {
      this.check();
      this.#checkRegularly();
    });
  }

  #askChecksum(): void {
    if (this.#phase === "live" && this.#replica.isIdle) this.#send({ type: "getChecksum", fileId: this.fileId });
  }

  #compare(message: Checksum): void {
    const replica = this.#replica;
    if (this.#phase !== "live") return;
    if (replica.sequence < message.serverSequenceId) throw new Gap();
    if (!replica.isIdle || replica.sequence !== message.serverSequenceId) return;
    this.#checkWanted = false;
    if (contentHash(replica.text) !== message.contentHash || replica.version !== message.documentVersion) this.#heal();
  }

  // ---- telling

  #tellApplied(applied: readonly Applied[], origin: Change["origin"]): void {
    this.#presence.carry(applied);
    for (const { edits, author } of applied) this.#tell({ edits, origin, author });
  }

  #tell(change: Change): void {
    this.#isTelling = true;
    try {
      for (const listener of [...this.#changeListeners]) listener(change);
    } finally {
      this.#isTelling = false;
    }
  }

  /** Something may have changed: tells whoever waits, and who listens to the status. */
  #updated(): void {
    for (const waiting of [...this.#waiting]) this.#settle(waiting);
    const status = this.#makeStatus();
    const names = Object.keys(status) as (keyof DocumentStatus)[];
    if (names.every((name) => status[name] === this.#status[name])) return;
    this.#status = status;
    for (const listener of [...this.#statusListeners]) listener(status);
  }

  #makeStatus(): DocumentStatus {
    const phase = this.#phase;
    const replica = this.#replica;
    const mayWrite = this.#role !== "viewer" && phase !== "ended" && this.#failed === null;
    return {
      state: phase === "joining" || phase === "bridging" ? "catching-up" : phase,
      role: this.#role,
      hasText: replica.buffer !== null,
      canEdit: mayWrite && replica.buffer !== null && !this.#holdsRefused,
      unsent: replica.unsent,
      isSaved: phase === "live" && replica.isIdle,
      isKept: this.#keeper?.isKept ?? false,
      patches: this.#patches,
      error: this.#failed,
      sequence: replica.sequence,
      version: replica.version,
      heals: this.#heals,
      path: this.#path,
      isTrashed: this.#isTrashed,
    };
  }

  #makePresence(): Presence {
    const host = this.#host;
    const tell = (message: ClientMessage) => this.#send(message);
    const isLive = () => this.#phase === "live";
    const around = {
      clock: host.clock,
      get connectionId() {
        return host.connectionId;
      },
      get tell() {
        return isLive() ? tell : null;
      },
    };
    return new Presence(this.#replica, around, () => {
      for (const listener of [...this.#participantListeners]) listener();
    });
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

/** The ids in flight that are in the log: they are nothing to hand back. */
function committedOf(fates: readonly OperationFate[]): ReadonlySet<string> {
  return new Set(fates.filter((fate) => fate.fate === "committed").map((fate) => fate.operationId));
}
