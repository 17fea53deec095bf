/**
 * Client: the files that one person has open over one connection, and what they left unsent before.
 *
 * Opening a file looks into the store first. Of the file's records whose lock is free the newest becomes the document;
 * every other one with pending edits (a tab that was closed, a browser that crashed) is *delivered*: a headless document
 * joins over a connection of its own, sends what it has, and its record goes. What is refused then becomes a patch of
 * the document that is open.
 */

import { type Clock, systemClock } from "./clock.ts";
import { Connection } from "./connection.ts";
import type { CoscribeError } from "./core/errors.ts";
import { deferred } from "./deferred.ts";
import { Document, type Host } from "./document.ts";
import { Keeper, remainsOf, treeRemainsOf } from "./keeper.ts";
import { type Locks, MemoryLocks } from "./locks.ts";
import { type Patch, patchOf } from "./patch.ts";
import { nameOf, type RecordKey, type Store, type StoredFile, type StoredRecord } from "./store.ts";
import type { Transport } from "./transport.ts";
import type { ServerLimits } from "./wire/codec.ts";
import type { TreeEdit } from "./wire/tree_codec.ts";
import { Workspace, type WorkspaceHost } from "./workspace.ts";

/** Texts of files that are not open, kept for a start without a network; the oldest go. */
const MAX_KEPT_FILES = 100;

const OPEN_TIMEOUT_MS = 5_000;

export interface ClientOptions {
  readonly transport: Transport;
  /** What proves who we are: a token or a one-time ticket, asked for before each connection. A rejection with a
   * CoscribeError that may never be retried ends the client; others are tried again. */
  readonly credential: () => Promise<string>;
  /** Who we must be. With it the store is opened before the server has said anything, and nothing is sent as another. */
  readonly account?: string;
  /** Where edits and texts survive a reload; without one they do not. */
  readonly store?: Store;
  readonly locks?: Locks;
  readonly clock?: Clock;
  /** From 0 to 1, for pauses and names. */
  readonly random?: () => number;
  /** Name and version, for the server's logs. */
  readonly name?: string;
}

/** The same object for as long as nothing in it changes. */
export interface ClientStatus {
  readonly state: "offline" | "connecting" | "live" | "ended";
  readonly userId: string;
  /** Why it has ended. What is pending stays in the store: another client of the same account may send it. */
  readonly error: CoscribeError | null;
}

/** What one file has unsent on this device. */
export interface Unsent {
  readonly fileId: string;
  readonly edits: number;
  readonly patch: Patch;
  /** Of the tree of a workspace, instead of a patch: what was to be done, each as one operation. */
  readonly changes: readonly (readonly TreeEdit[])[];
}

type Opened = Document | Workspace;

export class Client implements Host, WorkspaceHost {
  readonly clock: Clock;
  readonly #options: ClientOptions;
  readonly #locks: Locks;
  readonly #random: () => number;
  readonly #connection: Connection;
  readonly #opened = new Map<string, Opened>();
  /** By file: what has to be over before its records are looked at again. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #keptElsewhere: { stored: StoredFile; release: () => void; opened: Opened }[] = [];
  readonly #statusListeners = new Set<(status: ClientStatus) => void>();
  #delivery: { connection: Connection; headless: Opened } | null = null;
  #account: string | undefined;
  #refusal: CoscribeError | null = null;
  #status: ClientStatus = { state: "offline", userId: "", error: null };

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#account = options.account;
    this.#locks = options.locks ?? new MemoryLocks();
    this.#random = options.random ?? secureRandom;
    this.clock = options.clock ?? systemClock;
    this.#connection = this.#connect({
      connecting: () => {
        this.#become("connecting");
        for (const opened of this.#opened.values()) opened.connecting();
      },
      welcomed: () => this.#welcomed(),
      received: (message, fileId) => this.#opened.get(fileId)?.receive(message),
      lost: () => {
        this.#become("offline");
        for (const opened of this.#opened.values()) opened.disconnected();
      },
      refused: (error) => {
        this.#refusal = error;
        this.#become("ended");
        for (const opened of this.#opened.values()) opened.fail(error);
      },
    });
  }

  // ---- what a user of the library sees

  get status(): ClientStatus {
    return this.#status;
  }

  onStatus(listener: (status: ClientStatus) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  /** Opens a file, at once: what is kept of it appears as soon as the store has answered, the rest when the server has;
   * `document.live()` waits for that. The document that is open already, if there is one. */
  open(fileId: string): Document {
    const present = this.#opened.get(fileId);
    if (present instanceof Document && present.status.state !== "ended") return present;
    void present?.close();
    return this.#takeUp(new Document(this, fileId, this.#name()));
  }

  /** Opens the tree of a workspace, likewise; its texts are opened by `Workspace.open`, or here. */
  openWorkspace(workspaceId: string): Workspace {
    const present = this.#opened.get(workspaceId);
    if (present instanceof Workspace && present.status.state !== "ended") return present;
    void present?.close();
    return this.#takeUp(new Workspace(this, workspaceId, this.#name()));
  }

  #takeUp<T extends Opened>(opened: T): T {
    this.#opened.set(opened.fileId, opened);
    if (this.#refusal !== null) opened.fail(this.#refusal);
    if (this.#connection.isUp) opened.connected();
    else if (this.#status.state === "connecting") opened.connecting();
    if (this.#account !== undefined || this.#options.store === undefined) this.#begin(opened);
    this.#connection.start();
    return opened;
  }

  /** A hint that the network came or went, or the machine woke up: connects, or looks after the connection, at once. */
  networkChanged(): void {
    this.#connection.networkChanged();
    this.#delivery?.connection.networkChanged();
  }

  /** Stores everything that is not stored yet: for a page that is about to go. */
  async flush(): Promise<void> {
    await Promise.all([...this.#opened.values()].map((opened) => opened.flush()));
  }

  /** What this account has typed on this device and the server has not acknowledged, in any tab. */
  async unsent(): Promise<Unsent[]> {
    await this.flush();
    return (await this.#records()).filter(hasPending).map(unsentOf);
  }

  /** Drops what this account has unsent on this device, patches of it too; not what another tab has open. */
  async discardUnsent(): Promise<void> {
    for (const opened of this.#opened.values()) opened.discard();
    await this.flush();
    for (const record of await this.#records()) {
      const release = hasPending(record) ? await this.#locks.claim(lockName(record)) : null;
      if (release === null) continue;
      await this.#options.store?.delete(record);
      release();
    }
  }

  /** Closes the connection and all documents; resolves when what is pending is stored. */
  async close(): Promise<void> {
    const everything = [...this.#opened.values()];
    if (this.#delivery !== null) everything.push(this.#delivery.headless);
    const closed = Promise.all(everything.map((opened) => opened.close()));
    this.#connection.close();
    this.#delivery?.connection.close();
    for (const { release } of this.#keptElsewhere.splice(0)) release();
    this.#become("ended");
    await closed;
    await Promise.all(this.#busy.values());
  }

  // ---- for what is open

  get userId(): string {
    return this.#connection.userId;
  }

  get connectionId(): string {
    return this.#connection.connectionId;
  }

  get limits(): ServerLimits | null {
    return this.#connection.limits;
  }

  send(frame: string): void {
    this.#connection.send(frame);
  }

  forget(opened: Opened, closed: Promise<void>): void {
    const { fileId } = opened;
    if (this.#opened.get(fileId) === opened) this.#opened.delete(fileId);
    this.#occupy(fileId, closed);
  }

  documents(): readonly Document[] {
    return [...this.#opened.values()].filter((opened) => opened instanceof Document);
  }

  made(fileId: string): ReturnType<Workspace["made"]> {
    for (const workspace of this.#workspaces()) {
      const made = workspace.made(fileId);
      if (made !== null) return made;
    }
    return null;
  }

  released(): void {
    for (const document of this.documents()) document.released();
    if (this.#delivery?.headless instanceof Document) this.#delivery.headless.released();
  }

  #workspaces(): readonly Workspace[] {
    return [...this.#opened.values()].filter((opened) => opened instanceof Workspace);
  }

  // ---- the connection

  #connect(handlers: ConstructorParameters<typeof Connection>[1]): Connection {
    const { transport, credential, name = "coscribe-web" } = this.#options;
    const options = { transport, credential, name, clock: this.clock, random: this.#random, account: this.#account };
    return new Connection(options, handlers);
  }

  #welcomed(): void {
    const isNew = this.#account === undefined;
    this.#account ??= this.userId;
    this.#become("live");
    // Trees come first: what they have to make is known before a text is asked for.
    for (const opened of [...this.#workspaces(), ...this.documents()]) {
      if (isNew && this.#options.store !== undefined) this.#begin(opened);
      opened.connected();
    }
    void this.#deliverNext();
  }

  #become(state: ClientStatus["state"]): void {
    const userId = this.#connection.userId;
    const { state: stateBefore, userId: userBefore, error } = this.#status;
    if (state === stateBefore && userId === userBefore && error === this.#refusal) return;
    this.#status = { state, userId, error: this.#refusal };
    for (const listener of [...this.#statusListeners]) listener(this.#status);
  }

  // ---- the store

  async #records(): Promise<StoredRecord[]> {
    const { store } = this.#options;
    if (store === undefined || this.#account === undefined) return [];
    return (await store.list(this.#account)).sort((a, b) => b.savedAt - a.savedAt);
  }

  #occupy(fileId: string, action: Promise<void>): void {
    const all = Promise.all([this.#busy.get(fileId), action]).then(() => {
      if (this.#busy.get(fileId) === all) this.#busy.delete(fileId);
    });
    this.#busy.set(fileId, all);
  }

  /** Gives what is open what is kept of its file, and the record where it is kept from now on. Where the store does not
   * answer, it begins without. */
  #begin(opened: Opened): void {
    const { fileId } = opened;
    const looked = this.#lookUp(fileId, opened, this.#busy.get(fileId));
    const { promise: late, resolve } = deferred<null>();
    const cancel = this.clock.later(OPEN_TIMEOUT_MS, () => resolve(null));
    const begun = Promise.race([looked, late])
      .catch(() => null)
      .then((kept) => {
        cancel();
        if (kept === null) void looked.then((found) => found?.keeper.release()).catch(() => {});
        if (this.#opened.get(fileId) !== opened) kept?.keeper.release();
        else opened.begin(kept?.keeper ?? null, kept?.stored ?? null);
        void this.#deliverNext();
      });
    this.#occupy(fileId, begun);
  }

  async #lookUp(
    fileId: string,
    opened: Opened,
    before: Promise<void> | undefined,
  ): Promise<{ keeper: Keeper; stored: StoredFile | null } | null> {
    const { store } = this.#options;
    if (store === undefined || this.#account === undefined) return null;
    await before;
    let adopted: { keeper: Keeper; stored: StoredFile } | null = null;
    let others = 0;
    for (const record of await this.#records()) {
      if (record.fileId !== fileId) others += 1;
      if (record.fileId !== fileId && (others <= MAX_KEPT_FILES || !isIdle(record))) continue;
      const release = await this.#locks.claim(lockName(record));
      if (release === null) continue;
      const stored = record.fileId === fileId ? await usable(store, record) : null;
      if (stored !== null && adopted === null) {
        adopted = { keeper: new Keeper(store, this.clock, record, stored, release), stored };
      } else if (stored !== null && !isIdle(record)) {
        this.#keptElsewhere.push({ stored, release, opened });
      } else {
        if (isIdle(record)) await store.delete(record);
        release();
      }
    }
    if (adopted !== null) return adopted;
    const key = { account: this.#account, fileId, series: this.#name() };
    const release = (await this.#locks.claim(lockName(key))) ?? (() => {});
    return { keeper: new Keeper(store, this.clock, key, null, release), stored: null };
  }

  // ---- delivery

  /** Delivers what other records hold, one after the other, while the connection stands. */
  async #deliverNext(): Promise<void> {
    if (this.#delivery !== null || !this.#connection.isUp) return;
    const next = this.#keptElsewhere.shift();
    if (next === undefined) return;
    await this.#deliver(next.stored, next.release, next.opened);
    this.#delivery = null;
    void this.#deliverNext();
  }

  async #deliver(stored: StoredFile, release: () => void, visible: Opened): Promise<void> {
    const { store } = this.#options;
    if (store === undefined) return;
    const { record } = stored;
    const connection = this.#connect({
      connecting: () => headless.connecting(),
      welcomed: () => headless.connected(),
      received: (message, fileId) => {
        if (fileId === record.fileId) headless.receive(message);
      },
      lost: () => headless.disconnected(),
      refused: (error) => headless.fail(error),
    });
    const host: Host & WorkspaceHost = {
      clock: this.clock,
      get userId() {
        return connection.userId;
      },
      get connectionId() {
        return connection.connectionId;
      },
      get limits() {
        return connection.limits;
      },
      send: (frame) => connection.send(frame),
      forget: (_: Opened, closed: Promise<void>) => this.#occupy(record.fileId, closed),
      made: (fileId) => this.made(fileId),
      open: (fileId) => this.open(fileId),
      documents: () => [],
      released: () => this.released(),
    };
    const Kind = record.tree === undefined ? Document : Workspace;
    const headless: Opened = new Kind(host, record.fileId, this.#name());
    this.#delivery = { connection, headless };
    const keeper = new Keeper(store, this.clock, record, stored, release);
    headless.begin(keeper, stored);
    connection.start();
    const isThrough = await headless.synced().then(
      () => true,
      () => headless.status.unsent === 0,
    );
    const isTaken = headless.status.patches.length === 0 || (await this.#handOver(headless, visible));
    if (isThrough && isTaken) await keeper.remove();
    await headless.close();
    connection.close();
  }

  /** Whether the document that is open has taken the patches, and they are stored there. */
  async #handOver(headless: Opened, visible: Opened): Promise<boolean> {
    if (this.#opened.get(visible.fileId) !== visible) return false;
    if (headless instanceof Workspace && visible instanceof Workspace) {
      await visible.takePatches(headless.status.patches);
    } else if (headless instanceof Document && visible instanceof Document) {
      await visible.takePatches(headless.status.patches);
    } else return false;
    return visible.status.isKept;
  }

  #name(): string {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return Array.from({ length: 16 }, () => letters[Math.floor(this.#random() * letters.length)]).join("");
  }
}

/** A number from 0 to 1 that nobody else draws: what is made of it names operations for ever. */
function secureRandom(): number {
  const words = crypto.getRandomValues(new Uint32Array(1));
  return (words[0] ?? 0) / 2 ** 32;
}

/** The stored file, if its parts fit together; one that cannot be used stays where it is. */
async function usable(store: Store, key: RecordKey): Promise<StoredFile | null> {
  const stored = await store.load(key);
  try {
    if (stored?.record.tree !== undefined) treeRemainsOf(stored);
    else if (stored !== null) remainsOf(stored);
    return stored;
  } catch {
    return null;
  }
}

function lockName(key: RecordKey): string {
  return `coscribe ${nameOf(key)}`;
}

function hasPending(record: StoredRecord): boolean {
  const { tree } = record;
  const inTree = tree !== undefined && (tree.inFlight !== null || tree.queue.length > 0);
  return inTree || record.inFlight.length > 0 || record.queue.length > 0;
}

/** Whether nothing is lost with the record. */
function isIdle(record: StoredRecord): boolean {
  return !hasPending(record) && record.patches.length === 0 && (record.tree?.patches ?? []).length === 0;
}

function unsentOf(record: StoredRecord): Unsent {
  const pending = [...record.inFlight, ...record.queue];
  const { inFlight = null, queue = [] } = record.tree ?? {};
  const changes = [...(inFlight === null ? [] : [inFlight]), ...queue].map((change) => change.edits);
  const edits = pending.reduce((sum, item) => sum + item.edits, changes.length);
  const patch = patchOf(
    pending.map((item) => item.change),
    "unsent",
    "",
  );
  return { fileId: record.fileId, edits, patch, changes };
}
