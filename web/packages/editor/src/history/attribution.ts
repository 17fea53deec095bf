/** Who wrote what of a text: pieces from left to right, and their colours in CodeMirror. */

import { RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  type EditorView,
  hoverTooltip,
  ViewPlugin,
  type ViewUpdate,
} from "@codemirror/view";
import { TextBuffer } from "@coscribe/client";
import { safeColor } from "../parts/color";
import type { Blame, BlameRun, HistoryAuthor } from "./api";

/** A piece of the text; `to` is the UTF-16 offset where it ends, and where the next one begins. */
export interface Piece {
  readonly to: number;
  readonly authorId: string;
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: BlameRun["kind"];
}

/** `authors`: those who wrote the most first, each with a colour unlike those before, as long as there is one. */
export interface Attribution {
  readonly version: number;
  readonly pieces: readonly Piece[];
  readonly authors: ReadonlyMap<string, WritingAuthor>;
}

export interface WritingAuthor extends HistoryAuthor {
  /** How much of the text is theirs, from 0 to 1. */
  readonly share: number;
}

/** For those whose own colour is somebody else's, too. */
const OTHER_COLORS = [
  "#1971c2",
  "#e8590c",
  "#2f9e44",
  "#9c36b5",
  "#0c8599",
  "#e03131",
  "#f08c00",
  "#6741d9",
  "#846358",
];

/** @param text the one that the blame is of */
export function attributionOf(blame: Blame, text: string): Attribution {
  const buffer = new TextBuffer(text);
  let position = 0;
  const pieces = blame.runs.map(({ length, authorId, version, at, kind }): Piece => {
    position = Math.min(position + length, buffer.lengthCodePoints);
    return { to: buffer.toUtf16(position), authorId, version, at, kind };
  });
  return { version: blame.version, pieces, authors: writersOf(blame, position) };
}

function writersOf(blame: Blame, length: number): Map<string, WritingAuthor> {
  const written = new Map<string, number>();
  for (const { authorId, length: own } of blame.runs) written.set(authorId, (written.get(authorId) ?? 0) + own);
  const known = new Map(blame.authors.map((author) => [author.userId, author]));
  const taken: string[] = [];
  const writers = [...written].sort(([, one], [, other]) => other - one);
  return new Map(
    writers.map(([userId, own]) => {
      const author = authorIn(known, userId);
      const isFree = (color: string) => taken.every((other) => isUnlike(color, other));
      const color = [safeColor(author.color), ...OTHER_COLORS].find(isFree) ?? safeColor(author.color);
      taken.push(color);
      return [userId, { ...author, color, share: length === 0 ? 0 : own / length }];
    }),
  );
}

/** Whether two colours, as #rrggbb, can be told apart. */
function isUnlike(one: string, other: string): boolean {
  const difference = [1, 3, 5].map((at) => channel(one, at) - channel(other, at));
  return Math.hypot(...difference) > 70;
}

function channel(color: string, at: number): number {
  return Number.parseInt(color.slice(at, at + 2), 16);
}

/** The piece that an offset is in, and where it begins; that of the end is the last one. */
export function pieceAt(attribution: Attribution, offset: number): { piece: Piece; from: number } | null {
  const { pieces } = attribution;
  const index = Math.min(firstBehind(pieces, offset), pieces.length - 1);
  const piece = pieces[index];
  return piece === undefined ? null : { piece, from: pieces[index - 1]?.to ?? 0 };
}

export function authorIn(authors: ReadonlyMap<string, HistoryAuthor>, userId: string): HistoryAuthor {
  return authors.get(userId) ?? { userId, displayName: userId, color: "#868e96" };
}

export const showAttribution = StateEffect.define<Attribution | null>();

/** What is coloured. A text that changes is no more the one that was attributed. */
const shown = StateField.define<Attribution | null>({
  create: () => null,
  update(value, transaction) {
    const asked = transaction.effects.find((effect) => effect.is(showAttribution));
    if (asked !== undefined) return asked.value as Attribution | null;
    return transaction.docChanged ? null : value;
  },
});

/** Only what can be seen is decorated: a text may have a hundred thousand pieces. */
const colors = ViewPlugin.define((view) => ({ decorations: paint(view), update: repaint }), {
  decorations: (value) => value.decorations,
});

function repaint(this: { decorations: DecorationSet }, update: ViewUpdate): void {
  const isOther = update.startState.field(shown) !== update.state.field(shown);
  if (isOther || update.viewportChanged || update.docChanged) this.decorations = paint(update.view);
}

function paint(view: EditorView): DecorationSet {
  const attribution = view.state.field(shown);
  const builder = new RangeSetBuilder<Decoration>();
  if (attribution === null) return builder.finish();
  const { pieces, authors } = attribution;
  for (const { from, to } of view.visibleRanges) {
    let start = from;
    for (let index = firstBehind(pieces, from); index < pieces.length && start < to; index += 1) {
      const piece = pieces[index];
      if (piece === undefined) break;
      const end = Math.min(piece.to, to);
      if (end > start) builder.add(start, end, markOf(authorIn(authors, piece.authorId)));
      start = end;
    }
  }
  return builder.finish();
}

function markOf({ color }: HistoryAuthor): Decoration {
  return Decoration.mark({ class: "co-written", attributes: { style: `--co-color: ${safeColor(color)}` } });
}

/** The index of the first piece that ends behind an offset. */
function firstBehind(pieces: readonly Piece[], offset: number): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle]?.to ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** @param describe what is said of a piece where the mouse rests */
export function attributionColors(describe: (piece: Piece, attribution: Attribution) => string) {
  const detail = hoverTooltip((view, offset) => {
    const attribution = view.state.field(shown);
    const found = attribution && pieceAt(attribution, offset);
    if (!attribution || !found) return null;
    return {
      pos: found.from,
      end: found.piece.to,
      above: true,
      create: () => {
        const dom = document.createElement("div");
        dom.className = "co-written-detail";
        dom.textContent = describe(found.piece, attribution);
        return { dom };
      },
    };
  });
  return [shown, colors, detail];
}
