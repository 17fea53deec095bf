import { isSplice, type Operation, toEdits } from "./core/operation.ts";
import { lengthInCodePoints } from "./core/positions.ts";
import { type ClientMessage, operationOf, type ServerMessage } from "./wire/codec.ts";

const MAX_MESSAGES = 200;
const MAX_OPERATIONS = 20;

/** A message without any text in it. `at`: milliseconds. Each operation: its id, place, and the shape of its edits. */
export interface TracedMessage {
  readonly at: number;
  readonly direction: "in" | "out";
  readonly type: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** The last messages of a document, for diagnostics: what was said, never what was written. */
export class MessageTrace {
  readonly #messages: TracedMessage[] = [];

  get messages(): readonly TracedMessage[] {
    return [...this.#messages];
  }

  note(direction: "in" | "out", message: ClientMessage | ServerMessage, at: number): void {
    this.#messages.push({ at, direction, type: message.type, details: detailsOf(message) });
    if (this.#messages.length > MAX_MESSAGES) this.#messages.shift();
  }

  /** An operation of ours was sent, or sent again. */
  noteSent(operationIds: readonly string[], characters: number, at: number): void {
    this.#messages.push({ at, direction: "out", type: "operation", details: { operationIds, characters } });
    if (this.#messages.length > MAX_MESSAGES) this.#messages.shift();
  }
}

/** Fields that may say something of the text, or of who somebody is, are left out by naming those that do not. */
function detailsOf(message: ClientMessage | ServerMessage): Record<string, unknown> {
  switch (message.type) {
    case "committed":
    case "resent":
      return {
        previousSequenceId: message.previousSequenceId,
        count: message.operations.length,
        operations: message.operations.slice(0, MAX_OPERATIONS).map((operation) => ({
          operationId: operation.operationId,
          serverSequenceId: operation.serverSequenceId,
          documentVersion: operation.documentVersion,
          edits: shapeOf(operationOf(operation)),
        })),
      };
    case "snapshot":
      return {
        snapshotVersion: message.snapshotVersion,
        snapshotSequenceId: message.snapshotSequenceId,
        incarnation: message.incarnation,
        lineageLost: message.lineageLost,
        fates: message.fates,
        characters: message.content.length,
      };
    case "join":
      return { have: message.have ?? null, inFlight: message.inFlight ?? [] };
    case "live":
      return {
        serverSequenceId: message.serverSequenceId,
        documentVersion: message.documentVersion,
        incarnation: message.incarnation,
        fates: message.fates,
      };
    case "ack":
      return { operations: message.operations.slice(0, MAX_OPERATIONS) };
    case "error":
      return { code: message.code, retry: message.retry, operationId: message.operationId ?? null };
    case "rejoin":
      return { reason: message.reason };
    case "snapshotApplied":
      return { snapshotSequenceId: message.snapshotSequenceId };
    case "resend":
      return { have: message.have, throughSequenceId: message.throughSequenceId };
    case "setPresence":
      return { documentVersion: message.documentVersion, cursor: message.cursor ?? null };
    case "checksum":
      return { documentVersion: message.documentVersion, serverSequenceId: message.serverSequenceId };
    case "roleChanged":
      return { role: message.role };
    default:
      return {};
  }
}

function shapeOf(operation: Operation): unknown {
  const edits = toEdits(operation).map(([position, deleted, inserted]) => {
    return { position, deleted, inserted: lengthInCodePoints(inserted) };
  });
  return isSplice(operation) || edits.length <= MAX_OPERATIONS ? edits : { count: edits.length };
}
