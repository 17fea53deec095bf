/** The text, in CodeMirror. Its state lives outside of React: nothing here renders again when somebody types. */

import { indentWithTab } from "@codemirror/commands";
import { foldGutter, foldKeymap } from "@codemirror/language";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { EditorView, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import type { Document } from "@coscribe/client";
import { useEffect, useRef } from "react";
import { collaborate, type OnRefused } from "./binding";
import { othersCarets } from "./carets";
import { type EarlyKeys, isWritingElsewhere } from "./early_keys";
import { follow } from "./follow";
import type { FollowedPerson } from "./followed_person";
import { isProse, languageOf } from "./language";
import { looks } from "./looks";
import { type Spot, showSpot } from "./spot";

interface Props {
  readonly document: Document;
  /** The document's name: it tells the language, and the reader of a screen what this is. */
  readonly name: string;
  readonly followed: FollowedPerson;
  readonly onRefused: OnRefused;
  /** What is to be seen: another object is gone to, however often it says the same. */
  readonly spot?: Spot | null;
  /** Another one takes the focus; null: others are in front of it. */
  readonly visit?: string | null;
  /** What was typed before this was in front. */
  readonly early?: EarlyKeys;
}

export function TextEditor({ document, name, followed, onRefused, spot = null, visit = "", early }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const named = useRef(new Compartment());

  useEffect(() => {
    if (place.current === null) return undefined;
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: document.text,
        extensions: [
          looks,
          collaborate(document, onRefused),
          othersCarets(document),
          follow(document, followed),
          named.current.of([]),
        ],
      }),
    });
    view.current = made;
    // For whoever looks at a page from outside: browser tests, and people with the console open.
    Object.assign(place.current, { coscribe: { view: made, document } });
    return () => {
      made.destroy();
      view.current = null;
    };
  }, [document, followed, onRefused]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new view (a new document) wants the focus too
  useEffect(() => {
    if (view.current === null) return;
    const typed = early?.take(document.fileId) ?? "";
    if (typed !== "" && !view.current.state.readOnly) {
      view.current.dispatch(view.current.state.replaceSelection(typed), { userEvent: "input.type" });
    }
    const mayFocus = early?.mayFocus(document.fileId) ?? !isWritingElsewhere();
    if (visit !== null && mayFocus) view.current.focus();
  }, [visit, document, followed, onRefused, early]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new view (a new document) wants its language too
  useEffect(() => {
    let isCurrent = true;
    void languageOf(name).then((language) => {
      if (isCurrent) view.current?.dispatch({ effects: named.current.reconfigure(asNamed(name, language)) });
    });
    return () => {
      isCurrent = false;
    };
  }, [name, document]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new view (a new document) goes there, too
  useEffect(() => {
    if (spot !== null && view.current !== null) showSpot(view.current, spot);
  }, [spot, document]);

  return <div ref={place} className="co-editor" data-code={isProse(name) ? undefined : ""} />;
}

/** What depends on the name: grammar, line numbers for programs, spelling for prose. */
function asNamed(name: string, language: Extension): Extension {
  const label = `Text of ${name}`;
  if (isProse(name)) {
    return [
      language,
      EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "true", autocapitalize: "sentences" }),
    ];
  }
  return [
    language,
    lineNumbers(),
    foldGutter(),
    highlightActiveLineGutter(),
    keymap.of([...foldKeymap, indentWithTab]),
    EditorView.contentAttributes.of({ "aria-label": `${label}. Escape, then Tab leaves it.`, spellcheck: "false" }),
  ];
}
