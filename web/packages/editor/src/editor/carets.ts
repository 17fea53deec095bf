/** Where the others are: carets and selections with a colour and a name, drawn as decorations of the text. */

import { type Extension, type Range, RangeSet, StateEffect } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  EditorView,
  type PluginValue,
  ViewPlugin,
  type ViewUpdate,
  WidgetType,
} from "@codemirror/view";
import type { Document, Participant } from "@coscribe/client";
import { safeColor } from "../parts/color";

/** The name shows for so long after its caret has moved (milliseconds). */
const NAME_SHOWS = 2_500;

/** At most so many are drawn; beyond it nobody could tell them apart. */
const MOST_CARETS = 50;

const redraw = StateEffect.define<null>();

/** The carets of everybody else in the document. */
export function othersCarets(document: Document): Extension {
  return [
    ViewPlugin.define((view) => new Carets(view, document), { decorations: (carets) => carets.decorations }),
    theme,
  ];
}

interface Shown {
  readonly anchor: number;
  readonly head: number;
  readonly movedAt: number;
}

class Carets implements PluginValue {
  readonly #view: EditorView;
  readonly #document: Document;
  decorations: DecorationSet = Decoration.none;
  readonly #shown = new Map<string, Shown>();
  readonly #stop: () => void;
  #frame = 0;
  #hiding = 0;

  constructor(view: EditorView, document: Document) {
    this.#view = view;
    this.#document = document;
    this.#stop = document.onParticipants(() => this.#soon());
    this.decorations = this.#draw();
  }

  update(update: ViewUpdate): void {
    const isAsked = update.transactions.some((transaction) => transaction.effects.some((effect) => effect.is(redraw)));
    if (isAsked || update.viewportChanged) this.decorations = this.#draw();
    else if (update.docChanged) this.decorations = this.decorations.map(update.changes);
  }

  destroy(): void {
    this.#stop();
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#hiding);
  }

  /** One drawing a frame, however many carets move; none while all that moves is out of sight. */
  #soon(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (!RangeSet.eq([this.decorations], [this.#draw()])) this.#view.dispatch({ effects: redraw.of(null) });
    });
  }

  /** Of the carets in sight. */
  #draw(): DecorationSet {
    const { from, to } = this.#view.viewport;
    const now = performance.now();
    const length = this.#view.state.doc.length;
    const marks: Range<Decoration>[] = [];
    const present = new Set<string>();
    for (const other of othersOf(this.#document).slice(0, MOST_CARETS)) {
      if (other.cursor === null) continue;
      const anchor = Math.min(other.cursor.anchor, length);
      const head = Math.min(other.cursor.head, length);
      const before = this.#shown.get(other.connectionId);
      const moved = before === undefined || before.anchor !== anchor || before.head !== head;
      const movedAt = moved ? now : before.movedAt;
      this.#shown.set(other.connectionId, { anchor, head, movedAt });
      present.add(other.connectionId);
      if (Math.max(anchor, head) < from || Math.min(anchor, head) > to) continue;
      if (anchor !== head) {
        marks.push(selectionMark(other.color).range(Math.min(anchor, head), Math.max(anchor, head)));
      }
      const widget = new CaretWidget(other.displayName, other.color, now - movedAt < NAME_SHOWS);
      marks.push(Decoration.widget({ widget, side: 1 }).range(head));
    }
    for (const connectionId of this.#shown.keys()) if (!present.has(connectionId)) this.#shown.delete(connectionId);
    this.#hideLater();
    return Decoration.set(marks, true);
  }

  #hideLater(): void {
    clearTimeout(this.#hiding);
    const now = performance.now();
    const fresh = [...this.#shown.values()].filter((each) => now - each.movedAt < NAME_SHOWS);
    if (fresh.length > 0) {
      this.#hiding = window.setTimeout(() => this.#soon(), NAME_SHOWS + 20);
    }
  }
}

/** Everybody in the document but this window, by name. */
function othersOf(document: Document): Participant[] {
  return [...document.participants.values()]
    .filter((each) => !each.isSelf)
    .sort((one, other) => one.displayName.localeCompare(other.displayName));
}

function selectionMark(color: string): Decoration {
  return Decoration.mark({ class: "co-selection", attributes: { style: `--co-color: ${safeColor(color)}` } });
}

class CaretWidget extends WidgetType {
  readonly #name: string;
  readonly #color: string;
  readonly #showsName: boolean;
  constructor(name: string, color: string, showsName: boolean) {
    super();
    this.#name = name;
    this.#color = color;
    this.#showsName = showsName;
  }

  override eq(other: CaretWidget): boolean {
    return this.#name === other.#name && this.#color === other.#color && this.#showsName === other.#showsName;
  }

  override toDOM(): HTMLElement {
    const caret = window.document.createElement("span");
    caret.className = "co-caret";
    caret.setAttribute("aria-hidden", "true");
    caret.style.setProperty("--co-color", safeColor(this.#color));
    const label = window.document.createElement("span");
    label.className = this.#showsName ? "co-caret-name co-caret-name-shown" : "co-caret-name";
    label.textContent = this.#name;
    caret.append(label);
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

const theme = EditorView.baseTheme({
  ".co-caret": {
    position: "relative",
    borderLeft: "2px solid var(--co-color)",
    marginLeft: "-1px",
    marginRight: "-1px",
  },
  ".co-caret-name": {
    position: "absolute",
    bottom: "100%",
    left: "-2px",
    padding: "0 5px",
    borderRadius: "4px 4px 4px 0",
    font: "600 11px/1.5 system-ui, sans-serif",
    color: "#fff",
    backgroundColor: "color-mix(in srgb, var(--co-color) 60%, #000)",
    whiteSpace: "nowrap",
    pointerEvents: "none",
    userSelect: "none",
    zIndex: "10",
    opacity: "0",
  },
  ".co-caret-name-shown, .co-caret:hover .co-caret-name": { opacity: "1" },
  ".co-selection": { backgroundColor: "color-mix(in srgb, var(--co-color, #888) 25%, transparent)" },
  "@media (prefers-reduced-motion: no-preference)": {
    ".co-caret-name": { transition: "opacity 200ms" },
  },
  "@media print": { ".co-caret, .co-caret-name": { display: "none" } },
});
