/** The text of the past, in CodeMirror: to be read, searched and copied. The player changes it, nobody else does. */

import { defaultKeymap } from "@codemirror/commands";
import { search, searchKeymap } from "@codemirror/search";
import {
  ChangeSet,
  type ChangeSpec,
  Compartment,
  EditorState,
  type Extension,
  StateEffect,
  StateField,
} from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  keymap,
  lineNumbers,
  WidgetType,
} from "@codemirror/view";
import { useEffect, useRef } from "react";
import { highlighting, isProse, languageOf } from "../editor/language";
import { styleNonce } from "../nonce";
import { safeColor } from "../parts/color";
import { type Attribution, attributionColors, type Piece, showAttribution } from "./attribution";
import type { Change, Step } from "./film";
import type { Player, Scene } from "./player";

/** Milliseconds that an edit stands out. */
const HIGHLIGHTED = 1_200;
/** Edits that stand out at a time. */
const MOST_HIGHLIGHTED = 40;

interface Props {
  readonly player: Player;
  /** The document's name: it tells the language. */
  readonly name: string;
  readonly attribution: Attribution | null;
  /** While who wrote what is shown, colours mean that and nothing else. */
  readonly isPlain: boolean;
  readonly colorOf: (author: string) => string;
  readonly describe: (piece: Piece, attribution: Attribution) => string;
  readonly onCaret: (offset: number) => void;
}

export function TextView({ player, name, attribution, isPlain, colorOf, describe, onCaret }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const language = useRef(new Compartment());
  const latest = useRef({ colorOf, describe, onCaret });
  latest.current = { colorOf, describe, onCaret };

  useEffect(() => {
    if (place.current === null) return undefined;
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        extensions: [
          reading,
          edited,
          language.current.of([]),
          attributionColors((piece, of) => latest.current.describe(piece, of)),
          EditorView.updateListener.of((update) => {
            const isAttributed = update.transactions.some((each) =>
              each.effects.some((effect) => effect.is(showAttribution)),
            );
            if (update.selectionSet || isAttributed) latest.current.onCaret(update.state.selection.main.head);
          }),
        ],
      }),
    });
    view.current = made;
    let fading = 0;
    const leave = player.showOn((scene) => {
      clearTimeout(fading);
      fading = window.setTimeout(() => made.dispatch({ effects: highlight.of(null) }), HIGHLIGHTED);
      show(made, scene, (author) => safeColor(latest.current.colorOf(author)));
    });
    return () => {
      clearTimeout(fading);
      leave();
      made.destroy();
      view.current = null;
    };
  }, [player]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new view (of a new player) wants its language too
  useEffect(() => {
    let isCurrent = true;
    void Promise.resolve(isPlain ? [] : languageOf(name)).then((found) => {
      const label = EditorView.contentAttributes.of({ "aria-label": `Text of ${name}, as it was` });
      const extensions = [label, isPlain ? [] : highlighting, found, isProse(name) ? [] : lineNumbers()];
      if (isCurrent) view.current?.dispatch({ effects: language.current.reconfigure(extensions) });
    });
    return () => {
      isCurrent = false;
    };
  }, [name, isPlain, player]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the same for its colours
  useEffect(() => {
    view.current?.dispatch({ effects: showAttribution.of(attribution) });
  }, [attribution, player]);

  return <div ref={place} className="co-editor" data-code={isProse(name) ? undefined : true} data-testid="past-text" />;
}

/** What every text of the past has: it can be read and searched with the keyboard, and not changed. */
export const reading: Extension = [
  EditorView.cspNonce.of(styleNonce()),
  EditorState.readOnly.of(true),
  EditorState.lineSeparator.of("\n"),
  EditorView.lineWrapping,
  EditorView.contentAttributes.of({ "aria-readonly": "true", tabindex: "0", inputmode: "none", spellcheck: "false" }),
  drawSelection(),
  search({ top: true }),
  keymap.of([...searchKeymap, ...defaultKeymap]),
  EditorView.theme({
    "&": { height: "100%", fontSize: "var(--co-text-size)" },
    "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
    ".cm-scroller": { fontFamily: "var(--co-text-font)", lineHeight: "1.6", overscrollBehavior: "contain" },
    ".cm-content": { padding: "1rem 0 4rem", caretColor: "var(--co-caret)" },
    ".cm-line": { padding: "0 1rem" },
    ".cm-cursor": { borderLeftColor: "var(--co-caret)", borderLeftWidth: "2px" },
    ".cm-gutters": { backgroundColor: "transparent", color: "var(--co-quiet)", border: "none" },
    "& .cm-selectionLayer .cm-selectionBackground, &.cm-focused .cm-selectionLayer .cm-selectionBackground": {
      backgroundColor: "var(--co-selected)",
    },
    ".cm-panels": { backgroundColor: "var(--co-panel)", color: "inherit" },
    ".cm-searchMatch": { backgroundColor: "var(--co-match)" },
    ".cm-searchMatch-selected": { backgroundColor: "var(--co-match-selected)" },
  }),
];

interface Highlight {
  readonly from: number;
  readonly to: number;
  readonly color: string;
}

/** Adds what was just edited, in the text as it is then; null: nothing stands out any more. */
const highlight = StateEffect.define<readonly Highlight[] | null>();

const edited = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(value, transaction) {
    let marks = value.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(highlight)) continue;
      const isFull = effect.value === null || marks.size + effect.value.length > MOST_HIGHLIGHTED;
      if (isFull) marks = Decoration.none;
      marks = marks.update({ add: (effect.value ?? []).map(decorationOf), sort: true });
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorationOf({ from, to, color }: Highlight) {
  if (from === to) return Decoration.widget({ widget: new Gap(color), side: 1 }).range(from);
  return Decoration.mark({ class: "co-edited", attributes: { style: `--co-color: ${color}` } }).range(from, to);
}

/** Where something was deleted. */
class Gap extends WidgetType {
  constructor(private readonly color: string) {
    super();
  }

  override eq(other: Gap): boolean {
    return this.color === other.color;
  }

  override toDOM(): HTMLElement {
    const gap = document.createElement("span");
    gap.className = "co-gap";
    gap.setAttribute("aria-hidden", "true");
    gap.style.setProperty("--co-color", this.color);
    return gap;
  }
}

function show(view: EditorView, scene: Scene, colorOf: (author: string) => string): void {
  if ("steps" in scene) {
    const changes = changesOf(scene.steps, scene.isBackward, view.state.doc.length);
    const last = scene.steps.at(scene.isBackward ? 0 : -1);
    view.dispatch({ changes, effects: last ? standOut(last, scene.isBackward, colorOf(last.author)) : [] });
    return;
  }
  const effects = scene.step === null ? [] : standOut(scene.step, false, colorOf(scene.step.author));
  view.dispatch({ changes: difference(view.state.doc.toString(), scene.text), effects });
}

function standOut(step: Step, isBackward: boolean, color: string): StateEffect<unknown>[] {
  const places = placesOf(step.changes, isBackward)
    .slice(0, MOST_HIGHLIGHTED)
    .map((place) => ({ ...place, color }));
  const first = places[0];
  const shown = first ? [EditorView.scrollIntoView(first.from, { y: "nearest", yMargin: 60 })] : [];
  return [highlight.of(places), ...shown];
}

/** Steps as one change of a text of `length` UTF-16 units. */
function changesOf(steps: readonly Step[], isBackward: boolean, length: number): ChangeSet {
  let all = ChangeSet.empty(length);
  for (const { changes } of isBackward ? steps.toReversed() : steps) {
    all = all.compose(ChangeSet.of(isBackward ? inverted(changes) : changes.map(specOf), all.newLength, "\n"));
  }
  return all;
}

function specOf({ from, deleted, inserted }: Change): ChangeSpec {
  return { from, to: from + deleted.length, insert: inserted };
}

function inverted(changes: readonly Change[]): ChangeSpec[] {
  let grown = 0;
  return changes.map(({ from, deleted, inserted }) => {
    const place = from + grown;
    grown += inserted.length - deleted.length;
    return specOf({ from: place, deleted: inserted, inserted: deleted });
  });
}

/** Where the changes of a step are in the text after it (or, backwards, before it). */
function placesOf(changes: readonly Change[], isBackward: boolean): { from: number; to: number }[] {
  let grown = 0;
  return changes.map(({ from, deleted, inserted }) => {
    const place = from + grown;
    if (!isBackward) grown += inserted.length - deleted.length;
    return { from: place, to: place + (isBackward ? deleted : inserted).length };
  });
}

/** What differs between two texts, as one change: what is the same at both ends stays, and so does the scrolling. */
function difference(before: string, after: string): ChangeSpec {
  const most = Math.min(before.length, after.length);
  let start = 0;
  while (start < most && before.charCodeAt(start) === after.charCodeAt(start)) start += 1;
  let end = 0;
  while (
    end < most - start &&
    before.charCodeAt(before.length - 1 - end) === after.charCodeAt(after.length - 1 - end)
  ) {
    end += 1;
  }
  return { from: start, to: before.length - end, insert: after.slice(start, after.length - end) };
}
