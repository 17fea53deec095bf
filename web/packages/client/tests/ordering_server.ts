/**
 * OrderingServer: a small authoritative server in memory. It rebases, numbers and broadcasts operations, answers joins
 * with a tail, or with a snapshot where the tail is longer than `window`, keeps the fates, and acknowledges duplicates.
 * It throws where a client breaks the protocol: another message under a known id, a base that it never sent.
 */

import { apply, changes, LEFT, type Operation, reach, transform } from "../src/core/operation.ts";
import { lengthInCodePoints } from "../src/core/positions.ts";
import { contentHash } from "../src/sha256.ts";
import {
  type Chain,
  type ClientMessage,
  type CommittedOperation,
  type Cursor,
  compileOperation,
  decodeClient,
  encode,
  type OperationFate,
  type Participant,
  type Role,
  type Operation as SentOperation,
  type ServerMessage,
  wireForm,
} from "../src/wire/codec.ts";

export const FILE = "notes";

const LIMITS = {
  messageBytes: 8_000_000,
  operationLength: 1_000_000,
  fileLength: 16_000_000,
  chainOperations: 256,
  filesPerConnection: 1_024,
};

interface Entry {
  readonly committed: CommittedOperation;
  readonly operation: Operation;
}

/** One connection, seen from the server. */
export interface Seat {
  userId: string;
  readonly connectionId: string;
  deliver(frame: string): void;
  hangUp(): void;
  state: "out" | "joining" | "live";
  presence: Participant | null;
  asksForCursor?: boolean;
}

export class OrderingServer {
  text: string;
  incarnation = "one";
  window = 20;
  refusesJoins = false;
  /** What is before that sequence is not in the log any more. */
  prunedThrough = 0;
  readonly entries: Entry[] = [];
  readonly texts: string[];
  readonly limits = { ...LIMITS };
  /** Where people were the last time, in the text of now. */
  readonly lastCursors = new Map<string, Cursor>();
  readonly roles = new Map<string, Role | null>();
  /** What is refused, by operation id or else by content: the code of the error, or null. */
  refuse: (message: SentOperation | Chain) => string | null = () => null;
  readonly received: ClientMessage[] = [];
  readonly #seats = new Set<Seat>();
  readonly #raw = new Map<string, string>();
  #connections = 0;

  constructor(text = "") {
    this.text = text;
    this.texts = [text];
  }

  get sequence(): number {
    return this.entries.length;
  }

  get version(): number {
    return this.entries.at(-1)?.committed.documentVersion ?? 0;
  }

  connect(deliver: (frame: string) => void, hangUp: () => void): Seat {
    this.#connections += 1;
    const connectionId = `connection-${this.#connections}`;
    const seat: Seat = { userId: "", connectionId, deliver, hangUp, state: "out", presence: null };
    this.#seats.add(seat);
    return seat;
  }

  disconnect(seat: Seat): void {
    this.#seats.delete(seat);
    this.#leave(seat);
  }

  receive(seat: Seat, raw: string): void {
    const message = decodeClient(raw);
    this.received.push(message);
    switch (message.type) {
      case "hello":
        seat.userId = message.token;
        this.#send(seat, {
          type: "welcome",
          protocol: 1,
          userId: seat.userId,
          connectionId: seat.connectionId,
          limits: this.limits,
          server: "ordering",
        });
        break;
      case "join":
        seat.asksForCursor = message.lastCursor === true;
        this.#join(seat, message.have ?? null, message.inFlight ?? []);
        break;
      case "snapshotApplied":
        if (seat.state === "joining") this.#goLive(seat, message.snapshotSequenceId, []);
        break;
      case "leave":
        this.#leave(seat);
        break;
      case "operation":
      case "chain":
        this.#submit(seat, message, raw);
        break;
      case "resend":
        this.#resend(seat, message.have.serverSequenceId, message.throughSequenceId);
        break;
      case "getChecksum":
        this.#send(seat, {
          type: "checksum",
          fileId: FILE,
          documentVersion: this.version,
          serverSequenceId: this.sequence,
          contentHash: contentHash(this.text),
        });
        break;
      case "setPresence":
        if (seat.presence === null) break;
        seat.presence = {
          ...seat.presence,
          documentVersion: message.documentVersion,
          cursor: message.cursor ?? null,
        };
        for (const other of this.#live()) {
          if (other !== seat) this.#send(other, { type: "presence", fileId: FILE, participant: seat.presence });
        }
        break;
      case "ping":
        this.#send(seat, { type: "pong", nonce: message.nonce ?? 0 });
        break;
    }
  }

  /** As if somebody who is not there had done it. */
  commit(operation: Operation, userId = "somebody", operationId = `there:${this.sequence + 1}`): void {
    this.#commit([{ operation, operationId }], this.version, userId, encode({ type: "ping", nonce: this.sequence }));
  }

  /** Another log, with this text: what clients have is unknown to it. */
  restoreBackup(text: string): void {
    this.incarnation += "'";
    this.entries.length = 0;
    this.texts.splice(0, this.texts.length, text);
    this.text = text;
    this.#raw.clear();
    for (const seat of [...this.#seats]) seat.hangUp();
  }

  /** Access of a user, from now on; null takes it away. */
  setRole(userId: string, role: Role | null): void {
    this.roles.set(userId, role);
    for (const seat of this.#seats) {
      if (seat.userId !== userId || seat.state === "out") continue;
      if (role !== null) {
        this.#send(seat, { type: "roleChanged", fileId: FILE, role });
      } else {
        this.#leave(seat);
        this.#error(seat, "access_removed", "never");
      }
    }
  }

  /** `retryAfter` milliseconds, as in protocol version 2. */
  rejoin(reason: string, retryAfter?: number): void {
    for (const seat of this.#seats) {
      if (seat.presence === null) continue;
      seat.state = "out";
      this.#send(seat, { type: "rejoin", fileId: FILE, reason, ...(retryAfter === undefined ? {} : { retryAfter }) });
    }
  }

  /** As if everybody who is joining had left and joined once more before the answer was there. */
  snapshotAgain(): void {
    for (const seat of this.#seats) {
      if (seat.state === "joining") this.#snapshot(seat, this.#role(seat) ?? "viewer", [], false);
    }
  }

  /** Loses what would have been told to whoever is live. */
  forgetToTell(action: () => void): void {
    const states = [...this.#seats].map((seat) => [seat, seat.state] as const);
    for (const [seat] of states) seat.state = "out";
    action();
    for (const [seat, state] of states) seat.state = state;
  }

  chainHash(sequence = this.sequence): string {
    return `${this.incarnation.length}`.padStart(4, "0") + sequence.toString(16).padStart(60, "0");
  }

  #role(seat: Seat): Role | null {
    return this.roles.has(seat.userId) ? (this.roles.get(seat.userId) ?? null) : "editor";
  }

  #live(): Seat[] {
    return [...this.#seats].filter((seat) => seat.state === "live");
  }

  #send(seat: Seat, message: ServerMessage): void {
    seat.deliver(encode(message));
  }

  #error(seat: Seat, code: string, retry: "never" | "same" | "rejoin", extra: object = {}): void {
    const error = { type: "error" as const, code, fault: "client" as const, retry, help: "", detail: "", fileId: FILE };
    this.#send(seat, { ...error, ...extra });
  }

  #fate(seat: Seat, operationId: string, isLost: boolean): OperationFate {
    const entry = this.entries.find(({ committed }) => committed.operationId === operationId);
    if (entry?.committed.userId === seat.userId) {
      const { serverSequenceId, documentVersion } = entry.committed;
      return { operationId, fate: "committed", serverSequenceId, documentVersion };
    }
    return { operationId, fate: isLost ? "unknowable" : "notCommitted" };
  }

  #join(
    seat: Seat,
    have: { incarnation: string; serverSequenceId: number; chainHash: string } | null,
    inFlight: readonly string[],
  ): void {
    if (seat.state !== "out") {
      this.#error(seat, "already_joined", "never");
      return;
    }
    if (this.refusesJoins) {
      this.#error(seat, "storage_unavailable", "rejoin");
      return;
    }
    const role = this.#role(seat);
    const isKnown =
      have !== null &&
      have.incarnation === this.incarnation &&
      have.serverSequenceId >= this.prunedThrough &&
      have.serverSequenceId <= this.sequence &&
      have.chainHash === this.chainHash(have.serverSequenceId);
    const fates = inFlight.map((id) => this.#fate(seat, id, have !== null && !isKnown));
    if (role === null) {
      this.#error(seat, "file_not_found", "never", { fates });
      return;
    }
    seat.presence = { connectionId: seat.connectionId, userId: seat.userId, displayName: "", color: "#000000", role };
    if (isKnown && this.sequence - have.serverSequenceId <= this.window) {
      this.#goLive(seat, have.serverSequenceId, fates);
      return;
    }
    seat.state = "joining";
    this.#snapshot(seat, role, fates, have !== null && !isKnown);
  }

  #snapshot(seat: Seat, role: Role, fates: OperationFate[], lineageLost: boolean): void {
    this.#send(seat, {
      type: "snapshot",
      fileId: FILE,
      snapshotVersion: this.version,
      snapshotSequenceId: this.sequence,
      incarnation: this.incarnation,
      chainHash: this.chainHash(),
      role,
      fates,
      lineageLost,
      content: this.text,
    });
  }

  #goLive(seat: Seat, after: number, fates: OperationFate[]): void {
    seat.state = "live";
    if (after < this.sequence) this.#send(seat, this.#committed(after));
    const participants = this.#live().flatMap((other) => (other.presence === null ? [] : [other.presence]));
    const lastCursor = this.lastCursors.get(seat.userId);
    this.#send(seat, {
      type: "live",
      fileId: FILE,
      serverSequenceId: this.sequence,
      documentVersion: this.version,
      incarnation: this.incarnation,
      role: this.#role(seat) ?? "viewer",
      fates,
      participants,
      ...(lastCursor !== undefined && seat.asksForCursor ? { lastCursor } : {}),
    });
    for (const other of this.#live()) {
      if (other !== seat && seat.presence !== null) {
        this.#send(other, { type: "presence", fileId: FILE, participant: seat.presence });
      }
    }
  }

  #leave(seat: Seat): void {
    seat.state = "out";
    if (seat.presence === null) return;
    seat.presence = null;
    for (const other of this.#live()) {
      this.#send(other, { type: "left", fileId: FILE, connectionId: seat.connectionId });
    }
  }

  #resend(seat: Seat, after: number, through: number): void {
    const page = this.entries.slice(after, Math.min(after + 7, through)).map((entry) => entry.committed);
    const last = page.at(-1)?.serverSequenceId ?? after;
    this.#send(seat, {
      type: "resent",
      fileId: FILE,
      previousSequenceId: after,
      chainHash: this.chainHash(last),
      more: last < Math.min(through, this.sequence),
      operations: page,
    });
  }

  #committed(after: number): ServerMessage {
    const operations = this.entries.slice(after).map((entry) => entry.committed);
    return { type: "committed", fileId: FILE, previousSequenceId: after, chainHash: this.chainHash(), operations };
  }

  #submit(seat: Seat, message: SentOperation | Chain, raw: string): void {
    const elements = message.type === "operation" ? [message] : message.operations;
    const operationId = elements[0]?.operationId ?? "";
    const known = elements.map((element) => this.#raw.get(element.operationId));
    if (message.type === "chain" && known.some((before) => before !== undefined && before !== raw)) {
      this.#error(seat, "chain_mismatch", "never", { operationId });
      return;
    }
    if (known.some((before) => before !== undefined)) {
      if (known.some((before) => before !== raw)) throw new Error(`${operationId} was sent with other content`);
      const places = elements.map((element) => {
        const entry = this.entries.find(({ committed }) => committed.operationId === element.operationId);
        return {
          operationId: element.operationId,
          serverSequenceId: entry?.committed.serverSequenceId ?? 0,
          documentVersion: entry?.committed.documentVersion ?? 0,
        };
      });
      this.#send(seat, { type: "ack", fileId: FILE, operations: places });
      return;
    }
    if (seat.state !== "live") {
      this.#error(seat, "not_joined", "rejoin", { operationId });
      return;
    }
    const code = this.refuse(message) ?? (this.#role(seat) === "viewer" ? "permission_denied" : null);
    if (code !== null) {
      this.#error(seat, code, code === "rate_limited" ? "same" : "never", { operationId });
      return;
    }
    if (message.userId !== seat.userId) throw new Error(`${seat.userId} sent as ${message.userId}`);
    if (message.baseVersion > this.version) throw new Error(`${operationId} is based on a version to come`);
    const requests = elements.map((element) => ({
      operationId: element.operationId,
      operation: compileOperation(element.operationType, element.position, element.payload),
      restores: element.restores ?? [],
    }));
    this.#commit(requests, message.baseVersion, message.userId, raw);
  }

  #commit(
    requests: readonly { operationId: string; operation: Operation; restores?: readonly number[] }[],
    baseVersion: number,
    userId: string,
    raw: string,
  ): void {
    const after = this.sequence;
    let others = this.entries
      .filter((entry) => entry.committed.documentVersion > baseVersion)
      .map((entry) => entry.operation);
    for (const { operationId, operation: sent, restores = [] } of requests) {
      let operation = sent;
      const carried: Operation[] = [];
      for (const other of others) {
        carried.push(transform(other, operation, "right"));
        operation = transform(operation, other, LEFT);
      }
      others = carried;
      if (!changes(operation)) operation = [];
      if (reach(operation) > lengthInCodePoints(this.text)) throw new Error(`${operationId} reaches past the end`);
      this.text = apply(this.text, operation);
      this.texts.push(this.text);
      const committed: CommittedOperation = {
        operationId,
        userId,
        serverSequenceId: this.sequence + 1,
        documentVersion: this.version + (changes(operation) ? 1 : 0),
        ...wireForm(operation),
        ...(restores.length > 0 ? { restores: [...restores] } : {}),
      };
      this.entries.push({ committed, operation });
      this.#raw.set(operationId, raw);
    }
    for (const seat of this.#live()) this.#send(seat, this.#committed(after));
  }
}
