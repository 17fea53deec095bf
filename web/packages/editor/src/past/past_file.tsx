/** One file as it was, to be read, searched and copied. */

import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Problem, textOf } from "../api/problem";
import { difference } from "../editor/binding";
import { highlighting, isProse, languageOf } from "../editor/language";
import { reading } from "../history/text_view";
import { nameIn } from "../workspace/address";
import { pastKeys, readFile } from "./api";

interface Props {
  readonly workspaceId: string;
  /** Its path then; "": none is chosen. */
  readonly file: string;
  readonly at: number;
}

export function PastFile({ workspaceId, file, at }: Props) {
  const found = useQuery({
    queryKey: pastKeys.file(workspaceId, file, at),
    queryFn: ({ signal }) => readFile(workspaceId, file, at, signal),
    enabled: file !== "",
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: keepPreviousData,
  });
  if (file === "") return <p className="co-past-said">Choose a file to see it as it was.</p>;
  if (found.isError) return <p className="co-past-said">{refusal(found.error, file)}</p>;
  if (found.data === undefined) return <p className="co-past-said">Loading…</p>;
  const { entry, text } = found.data;
  if (text === null) return <p className="co-past-said">“{entry.name}” is no text.</p>;
  return <PastText key={file} name={nameIn(file)} text={text} />;
}

function refusal(error: unknown, file: string): string {
  const isMissing = error instanceof Problem && error.code === "file_not_found";
  return isMissing ? `There was no “${file}” at that moment.` : textOf(error);
}

/** What stays the same stays where it is: the slider moves through a text without a jump. */
function PastText({ name, text }: { readonly name: string; readonly text: string }) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  useEffect(() => {
    if (place.current === null) return undefined;
    const language = new Compartment();
    const label = EditorView.contentAttributes.of({ "aria-label": `Text of ${name}, as it was` });
    const extensions = [reading, highlighting, label, isProse(name) ? [] : lineNumbers(), language.of([])];
    const made = new EditorView({ parent: place.current, state: EditorState.create({ extensions }) });
    view.current = made;
    void languageOf(name).then((found) => {
      if (view.current === made) made.dispatch({ effects: language.reconfigure(found) });
    });
    return () => {
      made.destroy();
      view.current = null;
    };
  }, [name]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new view (of another name) wants its text too
  useEffect(() => {
    const shown = view.current?.state.doc.toString() ?? "";
    const changes = difference(shown, text);
    if (changes !== null) view.current?.dispatch({ changes });
  }, [text, name]);
  return <div ref={place} className="co-editor" data-code={isProse(name) ? undefined : true} data-testid="past-text" />;
}
