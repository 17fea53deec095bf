/** The looks of the text and the keys that edit it: everything of CodeMirror that knows nothing of documents. */

import { defaultKeymap } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  crosshairCursor,
  drawSelection,
  dropCursor,
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  rectangularSelection,
} from "@codemirror/view";
import { styleNonce } from "../nonce";
import { highlighting } from "./language";

/** How the text looks and is edited, whoever holds it. */
export const looks: Extension = [
  EditorView.cspNonce.of(styleNonce()),
  EditorState.allowMultipleSelections.of(true),
  EditorView.lineWrapping,
  EditorView.contentAttributes.of({ tabindex: "0" }), // it is reached by keyboard when it is read-only too
  highlightSpecialChars(),
  drawSelection(),
  dropCursor(),
  rectangularSelection(),
  crosshairCursor(),
  highlightActiveLine(),
  highlightSelectionMatches(),
  bracketMatching(),
  indentOnInput(),
  highlighting,
  search({ top: true }),
  keymap.of([...searchKeymap, ...defaultKeymap]),
  EditorView.theme({
    "&": { height: "100%", fontSize: "var(--co-text-size)" },
    ".cm-scroller": { fontFamily: "var(--co-text-font)", lineHeight: "1.6", overscrollBehavior: "contain" },
    ".cm-content": { padding: "1.25rem 0 40vh", caretColor: "var(--co-caret)" },
    ".cm-line": { padding: "0 var(--co-text-margin)" },
    ".cm-cursor": { borderLeftColor: "var(--co-caret)", borderLeftWidth: "2px" },
    ".cm-gutters": { backgroundColor: "transparent", color: "var(--co-quiet)", border: "none" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--co-active-line)" },
    "&.cm-focused": { outline: "none" },
    "& .cm-selectionLayer .cm-selectionBackground, &.cm-focused .cm-selectionLayer .cm-selectionBackground": {
      backgroundColor: "var(--co-selected)",
    },
    ".cm-panels": { backgroundColor: "var(--co-panel)", color: "inherit", fontFamily: "inherit" },
    ".cm-panel.cm-search": { fontSize: "0.95rem", padding: "0.4rem 2.5rem 0.5rem 0.75rem" },
    ".cm-panel.cm-search [name=close]": { width: "1.75rem", height: "1.75rem", right: "0.4rem", top: "0.4rem" },
    ".cm-textfield, .cm-button": {
      backgroundColor: "var(--mantine-color-default)",
      backgroundImage: "none",
      borderColor: "var(--mantine-color-default-border)",
      borderRadius: "0.25rem",
      padding: "0.2rem 0.5rem",
      color: "inherit",
      fontSize: "0.875rem",
    },
    ".cm-searchMatch": { backgroundColor: "var(--co-match)" },
    ".cm-searchMatch-selected": { backgroundColor: "var(--co-match-selected)" },
    ".cm-selectionMatch": { backgroundColor: "var(--co-same)" },
  }),
];
