import { expect, it } from "vitest";
import { CoscribeError, ERRORS, isErrorCode } from "../../src/core/errors.ts";

it("an error says what to do where nobody says more", () => {
  const error = new CoscribeError("not_joined");
  expect(error).toBeInstanceOf(Error);
  expect(error.message).toBe(`not_joined: ${ERRORS.not_joined.help}`);
  expect([error.name, error.detail, error.fileId]).toStrictEqual(["CoscribeError", "", undefined]);
});

it("an error knows what it was about", () => {
  const error = new CoscribeError("file_not_found", "no file x", "x", "a:1");
  expect(error.message).toBe("file_not_found: no file x");
  expect([error.code, error.fileId, error.operationId]).toStrictEqual(["file_not_found", "x", "a:1"]);
});

it("a code of a newer server is taken as it is", () => {
  expect(new CoscribeError("not_known_yet").message).toMatch(/^not_known_yet: /);
  expect([isErrorCode("not_known_yet"), isErrorCode("toString"), isErrorCode("internal")]).toStrictEqual([
    false,
    false,
    true,
  ]);
});
