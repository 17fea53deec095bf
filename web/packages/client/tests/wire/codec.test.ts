import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoscribeError } from "../../src/core/errors.ts";
import { apply, components, normalise } from "../../src/core/operation.ts";
import {
  checkText,
  compileOperation,
  decodeClient,
  decodeServer,
  encode,
  MAX_BATCH_EDITS,
  operationOf,
  wireForm,
} from "../../src/wire/codec.ts";
import type { CommittedOperation, ServerMessage } from "../../src/wire/messages.ts";
import { concurrent, nth, RUNS } from "../core/strategies.ts";

const operation: CommittedOperation = {
  operationId: "a:1",
  userId: "ann",
  serverSequenceId: 2,
  documentVersion: 2,
  operationType: "replace",
  position: 1,
  payload: { delete: 1, insert: "x😅" },
};
const committed: ServerMessage = {
  type: "committed",
  fileId: "notes",
  previousSequenceId: 1,
  chainHash: "00",
  operations: [operation],
};

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CoscribeError) return error.code;
    throw error;
  }
  return "nothing was refused";
}

function refusal(message: unknown): string {
  try {
    decodeServer(JSON.stringify(message));
  } catch (error) {
    if (error instanceof CoscribeError) return `${error.code}: ${error.detail}`;
    throw error;
  }
  return "nothing was refused";
}

describe("decode", () => {
  it("hands out what was sent, with what a newer server adds", () => {
    expect(decodeServer(encode(committed))).toStrictEqual(committed);
    const more = { ...committed, isNew: true, operations: [{ ...operation, isNew: [1] }] };
    expect(decodeServer(JSON.stringify(more))).toStrictEqual(more);
  });

  it("takes null where a field may be left out", () => {
    const error = {
      type: "error",
      code: "internal",
      fault: "server",
      retry: "rejoin",
      help: "",
      detail: "",
      fileId: null,
    };
    expect(decodeServer(JSON.stringify(error))).toStrictEqual(error);
    expect(decodeClient('{"type":"join","fileId":"notes","have":null}')).toStrictEqual({
      type: "join",
      fileId: "notes",
      have: null,
    });
  });

  it.each([
    ["", "malformed_json"],
    ["{", "malformed_json"],
    ['{"type":"pong","nonce":1}x', "malformed_json"],
    ["null", "invalid_message"],
    ["[]", "invalid_message"],
    ['"pong"', "invalid_message"],
    ["{}", "invalid_message"],
    ['{"type":1}', "invalid_message"],
    ['{"type":"ping"}', "unknown_type"],
    ['{"type":"Pong","nonce":1}', "unknown_type"],
    ['{"type":"toString"}', "unknown_type"],
    ['{"type":"pong"}', "invalid_message"],
    ['{"type":"left","fileId":"notes","connectionId":"\\ud83d"}', "invalid_text"],
    ['{"type":"left","fileId":"notes","connectionId":"\\uDE05"}', "invalid_text"],
  ])("refuses %s: %s", (raw, code) => {
    expect(codeOf(() => decodeServer(raw))).toBe(code);
  });

  it("takes a character that is escaped in two halves, and a backslash before ud83d", () => {
    const left = (connectionId: string) => `{"type":"left","fileId":"notes","connectionId":"${connectionId}"}`;
    expect(decodeServer(left("\\ud83d\\uDE05"))).toMatchObject({ connectionId: "😅" });
    expect(decodeServer(left("\\\\ud83d"))).toMatchObject({ connectionId: "\\ud83d" });
  });

  it.each<[string, object]>([
    ["committed.fileId: missing", { ...committed, fileId: undefined }],
    ["committed.fileId: expected string", { ...committed, fileId: 7 }],
    ["committed.previousSequenceId: expected integer", { ...committed, previousSequenceId: "1" }],
    ["committed.previousSequenceId: expected integer", { ...committed, previousSequenceId: 1.5 }],
    ["committed.operations: expected array", { ...committed, operations: {} }],
    ["committed.operations[1]: expected object", { ...committed, operations: [operation, null] }],
    [
      "committed.operations[0].operationType: expected one of batch, delete, insert, replace",
      { ...committed, operations: [{ ...operation, operationType: "move" }] },
    ],
    ...[null, true, -1, { delete: 1 }, { delete: -1, insert: "" }, [[0, 0]], [[0, 0, "", 0]], [[0, "", 0]]].map(
      (payload): [string, object] => [
        "committed.operations[0].payload: none of the forms it may have",
        { ...committed, operations: [{ ...operation, payload }] },
      ],
    ),
  ])("says what is wrong: %s", (detail, message) => {
    expect(refusal(message)).toBe(`invalid_message: ${detail}`);
  });

  it("keeps clients to the bounds of their fields", () => {
    const join = { type: "join", fileId: "x".repeat(129) };
    expect(codeOf(() => decodeClient(JSON.stringify(join)))).toBe("invalid_message");
    const chain = { type: "chain", fileId: "notes", userId: "ann", baseVersion: 1, operations: [] };
    expect(codeOf(() => decodeClient(JSON.stringify(chain)))).toBe("invalid_message");
    expect(codeOf(() => decodeClient('{"type":"ping","nonce":9007199254740993}'))).toBe("invalid_message");
  });

  it("anything at all is a message or a refusal", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom("committed", "snapshot", "error", "welcome"), (json, type) => {
        const value: unknown = JSON.parse(json);
        const spoilt = { ...committed, ...(typeof value === "object" ? value : { operations: value }), type };
        for (const raw of [json, JSON.stringify(spoilt)]) {
          try {
            decodeServer(raw);
          } catch (error) {
            expect(error).toBeInstanceOf(CoscribeError);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("operations", () => {
  it("an operation comes back from the wire as it was, batches made one", () => {
    fc.assert(
      fc.property(concurrent(1), ({ text, operations }) => {
        const sent = nth(operations, 0);
        const form = wireForm(sent);
        if (form.operationType === "insert" && form.payload === "") return;
        const back = operationOf({ ...operation, ...(JSON.parse(JSON.stringify(form)) as typeof form) });
        expect(apply(text, back)).toBe(apply(text, sent));
        if (form.operationType !== "batch") expect(components(back)).toStrictEqual(normalise(components(sent)));
      }),
      RUNS,
    );
  });

  it("counts what may be inserted in code points", () => {
    expect(compileOperation("insert", 0, "😅😅", 2)).toStrictEqual({ position: 0, deleted: 0, inserted: "😅😅" });
    expect(codeOf(() => compileOperation("insert", 0, "😅😅a", 2))).toBe("operation_too_large");
    expect(codeOf(() => compileOperation("replace", 0, { delete: 9, insert: "abc" }, 2))).toBe("operation_too_large");
    expect(
      codeOf(() =>
        compileOperation(
          "batch",
          0,
          [
            [0, 0, "ab"],
            [1, 0, "c"],
          ],
          2,
        ),
      ),
    ).toBe("operation_too_large");
  });

  it("bounds the edits of a batch that is sent, not of one that is committed", () => {
    const edits = Array.from({ length: MAX_BATCH_EDITS + 1 }, (_, index): [number, number, string] => [
      2 * index,
      1,
      "",
    ]);
    expect(codeOf(() => compileOperation("batch", 0, edits))).toBe("operation_too_large");
    expect(operationOf({ ...operation, operationType: "batch", position: 0, payload: edits })).toHaveLength(
      2 * MAX_BATCH_EDITS + 1,
    );
  });

  it.each([
    ["a\0b", "U+0000 at 1"],
    ["😅\r\n", "U+000D at 1"],
    ["😅\ud83d", "U+D83D at 1"],
    ["\ude05\ud83d", "U+DE05 at 0"],
  ])("no file holds %j", (text, detail) => {
    expect(() => checkText(text)).toThrow(`invalid_text: ${detail}`);
    expect(codeOf(() => compileOperation("insert", 0, text))).toBe("invalid_text");
  });

  it("two halves of a character in two edits are no character", () => {
    const halves: [number, number, string][] = [
      [0, 0, "\ud83d"],
      [0, 0, "\ude05"],
    ];
    expect(codeOf(() => compileOperation("batch", 0, halves))).toBe("invalid_text");
  });

  it("other text is fine", () => {
    for (const text of ["", "a\n\tb", "👩‍💻e\u0301\ufeff\u2028"]) expect(() => checkText(text)).not.toThrow();
  });
});
