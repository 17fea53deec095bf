/** Who wrote the lines of a text, when, and how: a column beside it. */

import { type Extension, StateEffect, StateField } from "@codemirror/state";
import { GutterMarker, gutter } from "@codemirror/view";
import { type Attribution, authorIn, type Piece, pieceAt } from "../history/attribution";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const showBlame = StateEffect.define<Attribution | null>();

/** What is attributed. A text that changes is no more that one. */
const shown = StateField.define<Attribution | null>({
  create: () => null,
  update(value, transaction) {
    const asked = transaction.effects.find((effect) => effect.is(showBlame));
    if (asked !== undefined) return asked.value as Attribution | null;
    return transaction.docChanged ? null : value;
  },
});

/** How it came in; nothing is said of what was typed. */
const HOW: Readonly<Record<Piece["kind"], string>> = { human: "", paste: "pasted", agent: "program", disk: "disk" };

/** A name, and how it was written where the name does not say so. */
function said(name: string, how: string): string {
  return how === "" || name.toLowerCase() === how ? name : `${name} (${how})`;
}

/** The newest piece of those that a line has; null: it has none. */
export function pieceOfLine(attribution: Attribution, from: number, to: number): Piece | null {
  let newest: Piece | null = null;
  for (let at = from; at <= to; ) {
    const found = pieceAt(attribution, at);
    if (found === null || found.piece.to <= at) break;
    if (newest === null || found.piece.version > newest.version) newest = found.piece;
    at = found.piece.to;
  }
  return newest;
}

class Author extends GutterMarker {
  constructor(
    private readonly piece: Piece,
    private readonly name: string,
    private readonly color: string,
    /** The line above is of the same piece of work. */
    private readonly goesOn: boolean,
  ) {
    super();
  }

  override eq(other: Author): boolean {
    return this.piece === other.piece && this.name === other.name && this.goesOn === other.goesOn;
  }

  override toDOM(): HTMLElement {
    const place = document.createElement("div");
    const who = said(this.name, HOW[this.piece.kind]);
    place.className = "co-blame-line";
    place.style.setProperty("--co-color", this.color);
    place.title = `${who}, ${new Date(this.piece.at).toLocaleString()}, version ${this.piece.version}`;
    if (this.goesOn) return place;
    place.append(partOf("co-blame-who", who), partOf("co-blame-when", DAY.format(this.piece.at)));
    return place;
  }
}

function partOf(className: string, text: string): HTMLElement {
  const part = document.createElement("span");
  part.className = className;
  part.textContent = text;
  return part;
}

/** The column; it is there while something is attributed. */
export const blame: Extension = [
  shown,
  gutter({
    class: "co-blame",
    lineMarker(view, block) {
      const attribution = view.state.field(shown);
      if (attribution === null) return null;
      const line = view.state.doc.lineAt(block.from);
      const piece = pieceOfLine(attribution, line.from, line.to);
      if (piece === null) return null;
      const above = line.number === 1 ? null : view.state.doc.line(line.number - 1);
      const before = above === null ? null : pieceOfLine(attribution, above.from, above.to);
      const goesOn = before !== null && before.authorId === piece.authorId && before.version === piece.version;
      const { displayName, color } = authorIn(attribution.authors, piece.authorId);
      return new Author(piece, displayName, color, goesOn);
    },
    lineMarkerChange: (update) => update.startState.field(shown) !== update.state.field(shown),
  }),
];
