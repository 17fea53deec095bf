/** A place in a text that somebody wants to see: found by a search, or named in an address. */

import type { Text } from "@codemirror/state";
import { EditorView } from "@codemirror/view";

export interface Spot {
  /** From 1. */
  readonly line: number;
  /** Code points, as is `length`. */
  readonly column: number;
  readonly length: number;
}

/** Selects it, in the middle of the view. What is not there any more: what is nearest. */
export function showSpot(view: EditorView, spot: Spot): void {
  const { from, to } = rangeOf(view.state.doc, spot);
  view.dispatch({
    selection: { anchor: from, head: to },
    effects: EditorView.scrollIntoView(from, { y: "center" }),
  });
}

/** In UTF-16 units. */
export function rangeOf(text: Text, { line, column, length }: Spot): { from: number; to: number } {
  const found = text.line(Math.max(1, Math.min(line, text.lines)));
  const characters = [...found.text];
  const units = (count: number) => characters.slice(0, count).join("").length;
  return { from: found.from + units(column), to: found.from + units(column + length) };
}
