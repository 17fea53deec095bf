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
import { Keeper, remainsOf } from "./keeper.ts";
import { type Locks, MemoryLocks } from "./locks.ts";
import { type Patch, patchOf } from "./patch.ts";
import { nameOf, type RecordKey, type Store, type StoredFile, type StoredRecord } from "./store.ts";
import type { Transport } from "./transport.ts";
import type { ServerLimits } from "./wire/codec.ts";

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
}

export class Client implements Host {
  readonly clock: Clock;
  readonly #options: ClientOptions;
  readonly #locks: Locks;
  readonly #random: () => number;
  readonly #connection: Connection;
  readonly #documents = new Map<string, Document>();
  /** By file: what has to be over before its records are looked at again. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #keptElsewhere: { stored: StoredFile; release: () => void; document: Document }[] = [];
  readonly #statusListeners = new Set<(status: ClientStatus) => void>();
  #delivery: { connection: Connection; document: Document } | null = null;
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
        for (const document of this.#documents.values()) document.connecting();
      },
      welcomed: () => this.#welcomed(),
      received: (message, fileId) => this.#documents.get(fileId)?.receive(message),
      lost: () => {
        this.#become("offline");
        for (const document of this.#documents.values()) document.disconnected();
      },
      refused: (error) => {
        this.#refusal = error;
        this.#become("ended");
        for (const document of this.#documents.values()) document.fail(error);
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
    const present = this.#documents.get(fileId);
    if (present !== undefined && present.status.state !== "ended") return present;
    void present?.close();
    const document = new Document(this, fileId, this.#name());
    this.#documents.set(fileId, document);
    if (this.#refusal !== null) document.fail(this.#refusal);
    if (this.#connection.isUp) document.connected();
    else if (this.#status.state === "connecting") document.connecting();
    if (this.#account !== undefined || this.#options.store === undefined) this.#begin(document);
    this.#connection.start();
    return document;
  }

  /** A hint that the network came or went, or the machine woke up: connects, or looks after the connection, at once. */
  networkChanged(): void {
    this.#connection.networkChanged();
    this.#delivery?.connection.networkChanged();
  }

  /** Stores everything that is not stored yet: for a page that is about to go. */
  async flush(): Promise<void> {
    await Promise.all([...this.#documents.values()].map((document) => document.flush()));
  }

  /** What this account has typed on this device and the server has not acknowledged, in any tab. */
  async unsent(): Promise<Unsent[]> {
    await this.flush();
    return (await this.#records()).filter(hasPending).map(unsentOf);
  }

  /** Drops what this account has unsent on this device, patches of it too; not what another tab has open. */
  async discardUnsent(): Promise<void> {
    for (const document of this.#documents.values()) document.discard();
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
    const documents = [...this.#documents.values()];
    if (this.#delivery !== null) documents.push(this.#delivery.document);
    const closed = Promise.all(documents.map((document) => document.close()));
    this.#connection.close();
    this.#delivery?.connection.close();
    for (const { release } of this.#keptElsewhere.splice(0)) release();
    this.#become("ended");
    await closed;
    await Promise.all(this.#busy.values());
  }

  // ---- for documents

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

  forget(document: Document, closed: Promise<void>): void {
    const { fileId } = document;
    if (this.#documents.get(fileId) === document) this.#documents.delete(fileId);
    this.#occupy(fileId, closed);
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
    for (const document of this.#documents.values()) {
      if (isNew && this.#options.store !== undefined) this.#begin(document);
      document.connected();
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

  /** Gives a document what is kept of its file, and the record where it is kept from now on. Where the store does not
   * answer, it begins without. */
  #begin(document: Document): void {
    const { fileId } = document;
    const looked = this.#lookUp(fileId, document, this.#busy.get(fileId));
    const { promise: late, resolve } = deferred<null>();
    const cancel = this.clock.later(OPEN_TIMEOUT_MS, () => resolve(null));
    const begun = Promise.race([looked, late])
      .catch(() => null)
      .then((kept) => {
        cancel();
        if (kept === null) void looked.then((found) => found?.keeper.release()).catch(() => {});
        if (this.#documents.get(fileId) !== document) kept?.keeper.release();
        else document.begin(kept?.keeper ?? null, kept?.stored ?? null);
        void this.#deliverNext();
      });
    this.#occupy(fileId, begun);
  }

  async #lookUp(
    fileId: string,
    document: Document,
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
        this.#keptElsewhere.push({ stored, release, document });
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
    await this.#deliver(next.stored, next.release, next.document);
    this.#delivery = null;
    void this.#deliverNext();
  }

  async #deliver(stored: StoredFile, release: () => void, visible: Document): Promise<void> {
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
    const host: Host = {
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
      forget: (_, closed) => this.#occupy(record.fileId, closed),
    };
    const headless = new Document(host, record.fileId, this.#name());
    this.#delivery = { connection, document: headless };
    const keeper = new Keeper(store, this.clock, record, stored, release);
    headless.begin(keeper, stored);
    connection.start();
    const isThrough = await headless.synced().then(
      () => true,
      () => headless.status.unsent === 0,
    );
    const { patches } = headless.status;
    const isTaken = patches.length === 0 || (await this.#handOver(patches, visible));
    if (isThrough && isTaken) await keeper.remove();
    await headless.close();
    connection.close();
  }

  /** Whether the document that is open has taken the patches, and they are stored there. */
  async #handOver(patches: readonly Patch[], visible: Document): Promise<boolean> {
    if (this.#documents.get(visible.fileId) !== visible) return false;
    await visible.takePatches(patches);
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
    if (stored !== null) remainsOf(stored);
    return stored;
  } catch {
    return null;
  }
}

function lockName(key: RecordKey): string {
  return `coscribe ${nameOf(key)}`;
}

function hasPending(record: StoredRecord): boolean {
  return record.inFlight.length > 0 || record.queue.length > 0;
}

/** Whether nothing is lost with the record. */
function isIdle(record: StoredRecord): boolean {
  return !hasPending(record) && record.patches.length === 0;
}

function unsentOf(record: StoredRecord): Unsent {
  const pending = [...record.inFlight, ...record.queue];
  const edits = pending.reduce((sum, item) => sum + item.edits, 0);
  const changes = pending.map((item) => item.change);
  return { fileId: record.fileId, edits, patch: patchOf(changes, "unsent", "") };
}
