import { expect, test } from "vitest";
import { decoded, MAX_BYTES, pieces } from "../../src/workspace/uploading";

const bytes = (text: string) => new TextEncoder().encode(text);

test("a text says how it was written; what would not come back bit for bit is refused", () => {
  expect(decoded(bytes("a\nb\n"))).toEqual({ text: "a\nb\n", properties: {} });
  expect(decoded(bytes("a\r\nb\r\n"))).toEqual({ text: "a\nb\n", properties: { eol: "crlf" } });
  expect(decoded(bytes("\ufeffa"))).toEqual({ text: "a", properties: { bom: "yes" } });
  expect(decoded(bytes("\ufeff\ufeffa"))).toEqual({ text: "\ufeffa", properties: { bom: "yes" } });
  expect(decoded(bytes(""))).toEqual({ text: "", properties: {} });
  for (const mixed of ["a\r\nb\n", "a\rb", "a\r\r\n"]) expect(decoded(bytes(mixed))).toMatch(/more than one way/);
  expect(decoded(bytes("a\0"))).toMatch(/no text/);
  expect(decoded(new Uint8Array([0xff, 0xfe]))).toMatch(/no text in UTF-8/);
  expect(decoded(new Uint8Array(MAX_BYTES + 1))).toMatch(/more than 8 MB/);
});

test("a long text goes in pieces, none of which ends inside a character", () => {
  expect([...pieces("ab🙂c", 3)]).toEqual(["ab", "🙂c"]);
  expect([...pieces("ab🙂c", 4)]).toEqual(["ab🙂", "c"]);
  expect([...pieces("", 4)]).toEqual([]);
});
