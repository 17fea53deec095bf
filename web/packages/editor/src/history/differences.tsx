/** What differs between two texts: side by side, or one below the other where it is narrow. */

import { getChunks, goToNextChunk, goToPreviousChunk, MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { ActionIcon } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { highlighting, isProse, languageOf } from "../editor/language";
import { reading } from "./text_view";

interface Side {
  readonly text: string;
  readonly label: string;
}

interface Props {
  readonly name: string;
  readonly before: Side;
  readonly after: Side;
}

/** Texts that have little in common are compared roughly, so that the page does not stand still. */
const COMPARING = {
  collapseUnchanged: { margin: 3, minSize: 6 },
  diffConfig: { scanLimit: 1_000, timeout: 500 },
  gutter: true,
};

export default function Differences({ name, before, after }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const [count, setCount] = useState<number | null>(null);
  const isNarrow = useMediaQuery("(max-width: 700px)", undefined, { getInitialValueInEffect: false }) === true;

  useEffect(() => {
    const parent = place.current;
    if (parent === null) return undefined;
    let made: { destroy: () => void } | null = null;
    let isCurrent = true;
    void languageOf(name).then((language) => {
      if (!isCurrent) return;
      const both = [reading, comparing, highlighting, language, isProse(name) ? [] : lineNumbers()];
      if (isNarrow) {
        const unified = unifiedMergeView({ ...COMPARING, original: before.text, mergeControls: false });
        const label = labelled(`${after.label}, with what was deleted since ${before.label}`);
        const only = new EditorView({ parent, doc: after.text, extensions: [both, label, unified] });
        [made, view.current] = [only, only];
      } else {
        const a = { doc: before.text, extensions: [both, labelled(before.label)] };
        const b = { doc: after.text, extensions: [both, labelled(after.label)] };
        const merge = new MergeView({ ...COMPARING, parent, a, b });
        [made, view.current] = [merge, merge.b];
      }
      setCount(getChunks(view.current.state)?.chunks.length ?? 0);
    });
    return () => {
      isCurrent = false;
      made?.destroy();
      view.current = null;
    };
  }, [name, before.text, before.label, after.text, after.label, isNarrow]);

  const go = (command: typeof goToNextChunk) => {
    if (view.current === null) return;
    command(view.current);
    view.current.focus();
  };
  return (
    <>
      <div className="co-differences-bar">
        <p role="status">{count === null ? "Comparing…" : countText(count)}</p>
        {count !== null && count > 0 && (
          <div className="actions">
            <ActionIcon
              variant="default"
              size="lg"
              aria-label="Previous difference"
              onClick={() => go(goToPreviousChunk)}
            >
              <IconArrowUp size={18} aria-hidden />
            </ActionIcon>
            <ActionIcon variant="default" size="lg" aria-label="Next difference" onClick={() => go(goToNextChunk)}>
              <IconArrowDown size={18} aria-hidden />
            </ActionIcon>
          </div>
        )}
      </div>
      <div className="co-sides" aria-hidden>
        {isNarrow ? (
          <span>
            {before.label} → {after.label}
          </span>
        ) : (
          <>
            <span>{before.label}</span>
            <span>{after.label}</span>
          </>
        )}
      </div>
      <div ref={place} className="co-differences" data-code={isProse(name) ? undefined : true} />
    </>
  );
}

function countText(count: number): string {
  if (count === 0) return "Both texts are the same.";
  return count === 1 ? "They differ in one place." : `They differ in ${count} places.`;
}

function labelled(label: string): Extension {
  return EditorView.contentAttributes.of({ "aria-label": label });
}

const comparing: Extension = [
  EditorState.phrases.of({ "$ unchanged lines": "$ lines are the same" }),
  keymap.of([
    { key: "F7", run: goToNextChunk },
    { key: "Shift-F7", run: goToPreviousChunk },
  ]),
];
