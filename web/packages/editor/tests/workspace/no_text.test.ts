import { expect, test } from "vitest";
import { imageTypeOf } from "../../src/workspace/no_text";

test("an image is known by how it begins, and nothing that could run is one", () => {
  const type = (text: string) => imageTypeOf(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  expect(type("\x89PNG\r\n\x1a\n....")).toBe("image/png");
  expect(type("\xff\xd8\xff\xe0")).toBe("image/jpeg");
  expect(type("GIF89a.")).toBe("image/gif");
  expect(type("RIFF\n\0\0\0WEBPVP8 ")).toBe("image/webp");
  expect(type("\0\0\0\x1cftypavif")).toBe("image/avif");
  for (const other of ["", "<svg xmlns=", "<!doctype html>", "%PDF-1.7", "PNG", "RIFF....WAVE"]) {
    expect(type(other)).toBe("");
  }
});
