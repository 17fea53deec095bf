import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { contentHash } from "../src/sha256.ts";

test("the hash is that of the text's UTF-8, at every length around a block", () => {
  for (let length = 0; length < 200; length += 1) {
    const text = "ä😀xyz".repeat(40).slice(0, length).toWellFormed();
    expect(contentHash(text)).toBe(createHash("sha256").update(text, "utf8").digest("hex"));
  }
  const long = "0123456789".repeat(20_000);
  expect(contentHash(long)).toBe(createHash("sha256").update(long).digest("hex"));
});
