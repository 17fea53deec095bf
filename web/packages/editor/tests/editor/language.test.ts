import { LanguageDescription } from "@codemirror/language";
import { languages } from "@codemirror/language-data";
import { expect, test } from "vitest";
import { WITHOUT_ENDING } from "../../src/editor/language";

test("every name without an ending that a grammar is for is known as one", () => {
  const words = languages.flatMap(({ filename }) => filename?.source.match(/[A-Za-z]+/g) ?? []);
  const found = words.filter((name) => LanguageDescription.matchFilename(languages, name) !== null);
  expect(found.length).toBeGreaterThan(3);
  expect(found.filter((name) => !WITHOUT_ENDING.test(name))).toEqual([]);
  for (const name of ["Notes", "Dockerfile.md", "a BUILD"]) expect(WITHOUT_ENDING.test(name)).toBe(false);
});
