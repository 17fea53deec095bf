/** Between text frames, messages and the core's values. Everything that is wrong with a message's form is found here. */

import { CoscribeError } from "../core/errors.ts";
import { fromEdits, isSplice, NOTHING, type Operation, toEdits } from "../core/operation.ts";
import { lengthInCodePoints } from "../core/positions.ts";
import { SHAPES } from "./generated/shapes.ts";
import type {
  ClientMessage,
  CommittedOperation,
  OperationType,
  Payload,
  Replacement,
  ServerMessage,
  WireForm,
} from "./messages.ts";
import { type Check, compileShapes, isRecord } from "./shape.ts";

export type * from "./messages.ts";

/** What a server takes in one operation; its welcome message may name less. */
export const MAX_BATCH_EDITS = 10_000;

/** One message as a text frame. */
export function encode(message: ClientMessage | ServerMessage): string {
  return JSON.stringify(message);
}

/**
 * One message of the server; unknown fields are kept, and left to be ignored.
 *
 * Errors: `malformed_json`, `unknown_type`, `invalid_message`, `invalid_text`.
 */
export function decodeServer(raw: string): ServerMessage {
  return decode(raw, SERVER) as ServerMessage;
}

/** One message of a client. Errors as for `decodeServer`. */
export function decodeClient(raw: string): ClientMessage {
  return decode(raw, CLIENT) as ClientMessage;
}

const CHECKS = compileShapes(SHAPES);
const SERVER = checksByType(SHAPES.ServerMessage.anyOf);
const CLIENT = checksByType(SHAPES.ClientMessage.anyOf);

/** The name of a message on the wire is the one of its shape, beginning small. */
function checksByType(messages: readonly { readonly $ref: string }[]): ReadonlyMap<unknown, Check> {
  const byType = new Map<unknown, Check>();
  for (const { $ref } of messages) {
    const name = $ref.replace("#/$defs/", "");
    const check = CHECKS.get(name);
    if (check === undefined) throw new TypeError(`no shape ${name}`);
    byType.set(`${name.charAt(0).toLowerCase()}${name.slice(1)}`, check);
  }
  return byType;
}

function decode(raw: string, checks: ReadonlyMap<unknown, Check>): unknown {
  const message = parse(raw);
  if (!isRecord(message)) throw new CoscribeError("invalid_message", "a message is a JSON object");
  const { type } = message;
  if (typeof type !== "string") throw new CoscribeError("invalid_message", "a message has a type");
  const check = checks.get(type);
  if (check === undefined) throw new CoscribeError("unknown_type", `there is no message ${type.slice(0, 40)}`);
  const wrong = check(message);
  if (wrong !== undefined) throw new CoscribeError("invalid_message", `${type}${wrong}`);
  return message;
}

function parse(raw: string): unknown {
  // Half a character can only come in as an escape: a frame itself is UTF-8.
  const escapes = raw.includes("\\ud") || raw.includes("\\uD");
  try {
    return escapes ? JSON.parse(raw, refuseLoneSurrogate) : JSON.parse(raw);
  } catch (error) {
    if (error instanceof CoscribeError) throw error;
    throw new CoscribeError("malformed_json", error instanceof Error ? error.message : "");
  }
}

const LONE_SURROGATE = /[\ud800-\udfff]/u;

function refuseLoneSurrogate(key: string, value: unknown): unknown {
  if (LONE_SURROGATE.test(key) || (typeof value === "string" && LONE_SURROGATE.test(value))) {
    throw new CoscribeError("invalid_text", "a lone surrogate");
  }
  return value;
}

/**
 * The core's form of an operation that somebody is about to send. `operationLength`: how many code points it may insert.
 *
 * Errors: `invalid_payload`, `invalid_text`, `operation_too_large`.
 */
export function compileOperation(
  operationType: OperationType,
  position: number,
  payload: Payload,
  operationLength = Number.POSITIVE_INFINITY,
): Operation {
  if (operationType === "batch" && position === 0 && Array.isArray(payload) && payload.length > MAX_BATCH_EDITS) {
    throw new CoscribeError("operation_too_large", `${payload.length} edits in one batch`);
  }
  return compile(operationType, position, payload, operationLength);
}

/**
 * The core's form of a committed operation. No limit holds for it: what is committed may have been split by others.
 *
 * Errors: `invalid_payload`, `invalid_text`.
 */
export function operationOf(committed: CommittedOperation): Operation {
  return compile(committed.operationType, committed.position, committed.payload, Number.POSITIVE_INFINITY);
}

function compile(operationType: OperationType, position: number, payload: Payload, operationLength: number): Operation {
  if (operationType === "insert" && typeof payload === "string" && payload !== "") {
    checkInserted(payload, operationLength);
    return { position, deleted: 0, inserted: payload };
  }
  if (operationType === "delete" && typeof payload === "number" && payload > 0) {
    return { position, deleted: payload, inserted: "" };
  }
  if (operationType === "replace" && isReplacement(payload) && payload.delete > 0 && payload.insert !== "") {
    checkInserted(payload.insert, operationLength);
    return { position, deleted: payload.delete, inserted: payload.insert };
  }
  if (operationType === "batch" && Array.isArray(payload) && position === 0) {
    // Joined, two halves of a character would look like a whole one.
    for (const [, , inserted] of payload) checkText(inserted);
    checkLength(payload.map((edit) => edit[2]).join(""), operationLength);
    return payload.length > 0 ? fromEdits(payload) : NOTHING;
  }
  throw new CoscribeError("invalid_payload", `this is no payload for ${operationType}`);
}

function isReplacement(payload: Payload): payload is Replacement {
  return typeof payload === "object" && !Array.isArray(payload);
}

function checkInserted(text: string, operationLength: number): void {
  checkLength(text, operationLength);
  checkText(text);
}

function checkLength(text: string, operationLength: number): void {
  if (text.length <= operationLength) return;
  const length = lengthInCodePoints(text);
  if (length > operationLength) {
    throw new CoscribeError("operation_too_large", `${length} code points, at most ${operationLength}`);
  }
}

/** What no file holds: NUL, CR, lone surrogates. (With the flag u those of a pair are one code point, and not found.) */
export const REFUSED_CHARACTERS = /[\0\r\ud800-\udfff]/u;

/** Refuses what no file holds: NUL, CR (a line ends with LF) and lone surrogates. Errors: `invalid_text`. */
export function checkText(text: string): void {
  const found = REFUSED_CHARACTERS.exec(text);
  if (found === null) return;
  const name = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  throw new CoscribeError("invalid_text", `U+${name} at ${lengthInCodePoints(text.slice(0, found.index))} of the text`);
}

/** operationType, position and payload of an operation. */
export function wireForm(operation: Operation): WireForm {
  if (!isSplice(operation)) return { operationType: "batch", position: 0, payload: toEdits(operation) };
  const { position, deleted, inserted } = operation;
  if (deleted === 0) return { operationType: "insert", position, payload: inserted };
  if (inserted === "") return { operationType: "delete", position, payload: deleted };
  return { operationType: "replace", position, payload: { delete: deleted, insert: inserted } };
}
