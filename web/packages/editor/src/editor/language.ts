/** Highlighting by the name of the file; the grammar is loaded when it is first needed. */

import { HighlightStyle, LanguageDescription, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { tags } from "@lezer/highlight";

/** Programs whose names have no ending. All other names without one are plain text, for which nothing is fetched. */
export const WITHOUT_ENDING = /^(BUCK|BUILD|Dockerfile|Gemfile|Jenkinsfile|PKGBUILD|Rakefile)$/;

/** The extension for a file of this name; none for plain text, or when the grammar cannot be fetched (offline). */
export async function languageOf(name: string): Promise<Extension> {
  if (!name.includes(".") && !WITHOUT_ENDING.test(name)) return [];
  const { languages } = await import("@codemirror/language-data");
  const found = LanguageDescription.matchFilename(languages, name);
  if (found === null) return [];
  try {
    return await found.load();
  } catch {
    return [];
  }
}

/** Colours come from the style sheet, where they differ between light and dark. */
export const highlighting: Extension = syntaxHighlighting(
  HighlightStyle.define([
    {
      tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.controlKeyword],
      color: "var(--co-syntax-keyword)",
    },
    { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--co-syntax-string)" },
    { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--co-syntax-constant)" },
    { tag: [tags.comment, tags.meta], color: "var(--co-syntax-comment)", fontStyle: "italic" },
    { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--co-syntax-function)" },
    { tag: [tags.typeName, tags.className, tags.namespace], color: "var(--co-syntax-type)" },
    { tag: [tags.tagName, tags.attributeName, tags.propertyName], color: "var(--co-syntax-name)" },
    { tag: [tags.link, tags.url], color: "var(--co-syntax-name)", textDecoration: "underline" },
    { tag: tags.heading, fontWeight: "700" },
    { tag: tags.strong, fontWeight: "700" },
    { tag: tags.emphasis, fontStyle: "italic" },
    { tag: tags.strikethrough, textDecoration: "line-through" },
    { tag: tags.invalid, color: "var(--co-syntax-invalid)" },
  ]),
);

/** Whether a file of this name is read rather than run: plain text, Markdown, no ending at all. */
export function isProse(name: string): boolean {
  const ending = /\.([A-Za-z0-9]+)$/.exec(name)?.[1]?.toLowerCase();
  return ending === undefined || ["txt", "text", "md", "markdown", "rst", "adoc"].includes(ending);
}
