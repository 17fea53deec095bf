/** One file as it was, to be read, searched and copied; where it was then, and who wrote its lines. */

import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Problem, textOf } from "../api/problem";
import { difference } from "../editor/binding";
import { highlighting, isProse, languageOf } from "../editor/language";
import { type Attribution, attributionOf } from "../history/attribution";
import { reading } from "../history/text_view";
import { type FileThen, pastKeys, seeBlame } from "./api";
import { blame, showBlame } from "./blame";
import { useFile } from "./use_file";

interface Props {
  readonly workspaceId: string;
  /** "": none is chosen. */
  readonly fileId: string;
  readonly at: number;
}

export function PastFile({ workspaceId, fileId, at }: Props) {
  const found = useFile(workspaceId, fileId, at);
  const [isWho, setWho] = useState(false);
  const who = useBlame(workspaceId, found.isPlaceholderData ? undefined : found.data, at, isWho);
  if (fileId === "") return <p className="co-past-said">Choose a file to see it as it was.</p>;
  if (found.isError) return <p className="co-past-said">{refusal(found.error)}</p>;
  if (found.data === undefined) return <p className="co-past-said">Loading…</p>;
  const { entry, text } = found.data;
  return (
    <section className="co-past-file" aria-label="The file, as it was">
      <div className="co-past-bar">
        <bdi className="co-past-path">{entry.path}</bdi>
        {text !== null && (
          <Button
            size="compact-sm"
            variant={isWho ? "filled" : "default"}
            aria-pressed={isWho}
            onClick={() => setWho(!isWho)}
          >
            Who wrote this
          </Button>
        )}
      </div>
      {isWho && who.error !== null && <p className="co-past-said">{textOf(who.error)}</p>}
      {text === null ? (
        <p className="co-past-said">
          {entry.kind === "symlink"
            ? `It was a link to ${entry.content}.`
            : "It was binary, so it cannot be shown here."}
        </p>
      ) : (
        <PastText key={fileId} name={entry.name} text={text} attribution={isWho ? who.attribution : null} />
      )}
    </section>
  );
}

function refusal(error: unknown): string {
  const isMissing = error instanceof Problem && error.code === "file_not_found";
  if (!isMissing) return textOf(error);
  return error.detail.includes("trash") ? "This file was in the trash at that moment." : "There was no such file yet.";
}

function useBlame(workspaceId: string, file: FileThen | undefined, at: number, isWanted: boolean) {
  const found = useQuery({
    queryKey: pastKeys.blame(workspaceId, file?.entry.fileId ?? "", at),
    queryFn: ({ signal }) => seeBlame(workspaceId, file?.entry.path ?? "", at, signal),
    enabled: isWanted && file !== undefined && file.text !== null,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
  const text = file?.text ?? null;
  const attribution = useMemo(
    () => (found.data === undefined || text === null ? null : attributionOf(found.data, text)),
    [found.data, text],
  );
  return { attribution, error: found.error };
}

interface TextProps {
  readonly name: string;
  readonly text: string;
  readonly attribution: Attribution | null;
}

/** What stays the same stays where it is: the slider moves through a text without a jump. */
function PastText({ name, text, attribution }: TextProps) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const column = useRef(new Compartment());
  useEffect(() => {
    if (place.current === null) return undefined;
    const language = new Compartment();
    const label = EditorView.contentAttributes.of({ "aria-label": `Text of ${name}, as it was` });
    const numbers = isProse(name) ? [] : lineNumbers();
    const extensions = [reading, highlighting, label, column.current.of([]), numbers, language.of([])];
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
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same for who wrote it
  useEffect(() => {
    view.current?.dispatch({ effects: column.current.reconfigure(attribution === null ? [] : blame) });
    view.current?.dispatch({ effects: showBlame.of(attribution) });
  }, [attribution, text, name]);
  return <div ref={place} className="co-editor" data-code={isProse(name) ? undefined : true} data-testid="past-text" />;
}
