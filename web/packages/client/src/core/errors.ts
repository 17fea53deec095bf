/**
 * The one error of the client: a refusal with a stable code, of the server or of the client itself.
 *
 * The codes, and for each whose fault it is and what to do, are the table that the server has too; a newer server may
 * name one that is not in it.
 */

import { ERRORS, type ErrorCode } from "./generated/errors.ts";

export { ERRORS, type ErrorCode, type ErrorKind } from "./generated/errors.ts";

/** A code of the table, or one that a newer server has sent. */
export type AnyErrorCode = ErrorCode | (string & {});

/** `detail` is for people and may change; `fileId` and `operationId` say what was refused, if known. */
export class CoscribeError extends Error {
  override readonly name = "CoscribeError";
  readonly code: AnyErrorCode;
  readonly detail: string;
  readonly fileId: string | undefined;
  readonly operationId: string | undefined;

  constructor(code: AnyErrorCode, detail = "", fileId?: string, operationId?: string) {
    super(`${code}: ${detail || (isErrorCode(code) ? ERRORS[code].help : "the server knows more")}`);
    this.code = code;
    this.detail = detail;
    this.fileId = fileId;
    this.operationId = operationId;
  }
}

/** Whether a code is in the table of this build. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
