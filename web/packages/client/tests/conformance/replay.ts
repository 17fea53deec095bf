/**
 * A conversation as a client sees it: what it sends and gets goes through the codec, and what is committed is applied.
 *
 * The server is not there, so what a conversation says about storage and clocks is passed over. What remains is a replica
 * for every connection and file, from its snapshot (or from what it says it has) on: the chain of sequences and versions
 * must have no gap, the text at one sequence is the same for all, and at the end so is the text of all that are live at one
 * server. (Another server may have lost the file without knowing it yet: what it has is old, but not wrong.)
 */

import { createHash } from "node:crypto";
import { expect } from "vitest";
import { changes, type Operation } from "../../src/core/operation.ts";
import { TextBuffer } from "../../src/core/text_buffer.ts";
import { decodeClient, decodeServer, encode, operationOf, wireForm } from "../../src/wire/codec.ts";
import type { CommittedOperation, ServerMessage } from "../../src/wire/messages.ts";
import { wholeMessage } from "./placeholders.ts";

interface Step {
  readonly from?: string;
  readonly send?: unknown;
  readonly to?: string | readonly string[];
  readonly expect?: { readonly type: string };
  readonly includes?: { readonly type: string };
  readonly closed?: unknown;
  readonly hangUp?: boolean;
  readonly reads?: boolean;
  readonly storage?: string;
  readonly open?: string;
  readonly server?: string;
}

export interface ConversationRecord {
  readonly given?: { readonly text?: string; readonly live?: readonly string[] };
  readonly steps: readonly Step[];
}

interface Replica {
  readonly text: TextBuffer;
  version: number;
  sequence: number;
  isLive: boolean;
}

interface Past {
  readonly text: string;
  readonly version: number;
}

const FILE_ID = "notes";

export class Replay {
  /** By connection, then by file. A file whose text the conversation does not tell is not there. */
  readonly #replicas = new Map<string, Map<string, Replica>>();
  /** By file and sequence: what every replica has to have there. */
  readonly #past = new Map<string, Past>();
  /** Connections that do not read, and so are behind. */
  readonly #deaf = new Set<string>();
  readonly #servers = new Map<string, string>();
  /** How many operations were applied to some replica. */
  applied = 0;

  constructor({ given = {} }: ConversationRecord) {
    const written = given.text === undefined ? 0 : 1;
    this.#past.set(`${FILE_ID}@0`, { text: "", version: 0 });
    for (const name of given.live ?? []) {
      this.#begin(name, FILE_ID, given.text ?? "", written, written).isLive = true;
    }
  }

  run(record: ConversationRecord): void {
    for (const step of record.steps) this.#step(step);
    this.#checkAllAlike();
  }

  #step(step: Step): void {
    const people = typeof step.to === "string" ? [step.to] : (step.to ?? []);
    const expected = step.expect ?? step.includes;
    if (step.send !== undefined && step.from !== undefined) this.#sent(step.from, step.send);
    if (expected !== undefined) for (const name of people) this.#got(name, received(expected), expected);
    if (step.closed !== undefined) for (const name of people) this.#replicas.delete(name);
    if (step.hangUp === true && step.from !== undefined) this.#replicas.delete(step.from);
    if (step.storage === "restart") this.#replicas.clear();
    if (step.open !== undefined) this.#servers.set(step.open, step.server ?? "first");
    if (step.reads === false && step.from !== undefined) this.#deaf.add(step.from);
    if (step.reads === true && step.from !== undefined) this.#deaf.delete(step.from);
  }

  #sent(name: string, message: unknown): void {
    const decoded = decodeClient(JSON.stringify(message));
    expect(JSON.parse(encode(decoded))).toStrictEqual(message);
    if (decoded.type === "join" && decoded.have) {
      const { serverSequenceId, documentVersion } = decoded.have;
      const past = this.#past.get(`${decoded.fileId}@${serverSequenceId}`);
      this.#files(name).delete(decoded.fileId);
      if (past?.version === documentVersion) {
        this.#begin(name, decoded.fileId, past.text, documentVersion, serverSequenceId);
      }
    } else if (decoded.type === "leave") {
      this.#files(name).delete(decoded.fileId);
    }
  }

  #got(name: string, message: ServerMessage, expected: object): void {
    if (message.type === "committed") {
      this.#committed(name, message.fileId, message.previousSequenceId, message.operations);
    } else if (message.type === "snapshot") {
      if ("content" in expected) {
        this.#begin(name, message.fileId, message.content, message.snapshotVersion, message.snapshotSequenceId);
      } else this.#files(name).delete(message.fileId);
    } else if (message.type === "live") {
      this.#live(name, message.fileId, message.serverSequenceId, message.documentVersion);
    } else if (message.type === "rejoin") {
      this.#files(name).delete(message.fileId);
    } else if (message.type === "error" && message.code === "access_removed" && message.fileId) {
      this.#files(name).delete(message.fileId);
    } else if (message.type === "resent") {
      checkChain(message.previousSequenceId, message.operations);
    } else if (message.type === "checksum") {
      const text = this.#past.get(`${message.fileId}@${message.serverSequenceId}`)?.text;
      if (text !== undefined) expect(message.contentHash).toBe(createHash("sha256").update(text).digest("hex"));
    }
  }

  #committed(name: string, fileId: string, previous: number, operations: readonly CommittedOperation[]): void {
    checkChain(previous, operations);
    const replica = this.#files(name).get(fileId);
    if (replica === undefined) throw new Error(`${name} gets operations of ${fileId}, which it does not have open`);
    expect(previous).toBe(replica.sequence);
    for (const committed of operations) {
      const operation = operationOf(committed);
      checkWireForm(committed, operation);
      replica.text.apply(operation);
      replica.version += changes(operation) ? 1 : 0;
      replica.sequence = committed.serverSequenceId;
      expect(committed.documentVersion).toBe(replica.version);
      this.#remember(fileId, replica);
      this.applied += 1;
    }
  }

  #live(name: string, fileId: string, sequence: number, version: number): void {
    const replica = this.#files(name).get(fileId);
    if (replica === undefined) return;
    expect({ sequence, version }).toStrictEqual({ sequence: replica.sequence, version: replica.version });
    replica.isLive = true;
  }

  #begin(name: string, fileId: string, content: string, version: number, sequence: number): Replica {
    const replica = { text: new TextBuffer(content), version, sequence, isLive: false };
    this.#files(name).set(fileId, replica);
    this.#remember(fileId, replica);
    return replica;
  }

  #files(name: string): Map<string, Replica> {
    const files = this.#replicas.get(name) ?? new Map<string, Replica>();
    this.#replicas.set(name, files);
    return files;
  }

  /** What a replica has at a sequence is what every other one has there. */
  #remember(fileId: string, replica: Replica): void {
    const place = `${fileId}@${replica.sequence}`;
    const past = { text: replica.text.toString(), version: replica.version };
    expect(past).toStrictEqual(this.#past.get(place) ?? past);
    this.#past.set(place, past);
  }

  #checkAllAlike(): void {
    const ends = new Map<string, object>();
    for (const [name, files] of this.#replicas) {
      for (const [fileId, { text, version, sequence, isLive }] of files) {
        if (!isLive || this.#deaf.has(name)) continue;
        const end = { text: text.toString(), version, sequence };
        const place = `${fileId} at ${this.#servers.get(name) ?? "first"}`;
        expect(end).toStrictEqual(ends.get(place) ?? end);
        ends.set(place, end);
      }
    }
  }
}

/** The message as the decoder hands it out, which must have kept every field, known or not. */
function received(expected: { readonly type: string }): ServerMessage {
  const whole = wholeMessage(expected);
  const message = decodeServer(JSON.stringify(whole));
  expect(message).toStrictEqual(whole);
  const more = { ...(whole as object), fieldOfANewerServer: [1] };
  expect(decodeServer(JSON.stringify(more))).toStrictEqual(more);
  return message;
}

function checkChain(previous: number, operations: readonly CommittedOperation[]): void {
  let last = previous;
  for (const { serverSequenceId } of operations) {
    expect(serverSequenceId).toBeGreaterThan(last);
    last = serverSequenceId;
  }
}

/** A committed edit is written back as it came. (Of a batch, edits that touch may have become one.) */
function checkWireForm({ operationType, position, payload }: CommittedOperation, operation: Operation): void {
  if (operationType === "batch") return;
  expect(wireForm(operation)).toStrictEqual({ operationType, position, payload });
}
