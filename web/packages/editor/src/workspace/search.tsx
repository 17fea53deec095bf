/** Searching in the files: what is found, by file, and the way there. */

import { ActionIcon, Button, Loader, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconLetterCase, IconLetterW, IconRegex } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { textOf } from "../api/problem";
import type { Spot } from "../editor/spot";
import { folderIn, nameIn } from "./address";
import { type FoundFile, type FoundPlace, searchFiles, type Wanted } from "./api";

/** Pages that are asked for without being told to, where one ends because it took long. */
const PAGES = 10;

interface Props {
  readonly workspaceId: string;
  readonly onOpen: (fileId: string, spot?: Spot) => void;
}

export function SearchPanel({ workspaceId, onOpen }: Props) {
  const [wanted, setWanted] = useState<Wanted>(NOTHING);
  const [asked] = useDebouncedValue(wanted, 300);
  const change = (part: Partial<Wanted>) => setWanted({ ...wanted, ...part });
  const toggle = (label: string, Icon: typeof IconRegex, isOn: boolean, part: Partial<Wanted>) => (
    <ActionIcon
      variant={isOn ? "filled" : "default"}
      size="lg"
      aria-label={label}
      title={label}
      aria-pressed={isOn}
      onClick={() => change(part)}
    >
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
  return (
    <search className="co-search">
      <div className="co-search-form">
        <TextInput
          aria-label="Search in names and texts"
          placeholder="Search in names and texts"
          type="search"
          maxLength={500}
          value={wanted.text}
          ref={focused}
          onChange={(event) => change({ text: event.currentTarget.value })}
        />
        <div className="co-search-options">
          {toggle("Upper and lower case differ", IconLetterCase, wanted.keepsCase, { keepsCase: !wanted.keepsCase })}
          {toggle("Whole words", IconLetterW, wanted.isWord, { isWord: !wanted.isWord })}
          {toggle("Regular expression", IconRegex, wanted.isRegex, { isRegex: !wanted.isRegex })}
          <TextInput
            aria-label="Only files like"
            placeholder="*.md, src/"
            value={wanted.globs}
            maxLength={500}
            onChange={(event) => change({ globs: event.currentTarget.value })}
          />
        </div>
      </div>
      {asked.text !== "" && <Results workspaceId={workspaceId} wanted={asked} onOpen={onOpen} />}
    </search>
  );
}

const NOTHING: Wanted = { text: "", isRegex: false, keepsCase: false, isWord: false, globs: "" };

function focused(input: HTMLInputElement | null): void {
  input?.focus();
}

function Results({ workspaceId, wanted, onOpen }: Props & { wanted: Wanted }) {
  const found = useInfiniteQuery({
    queryKey: ["search", workspaceId, wanted],
    queryFn: ({ pageParam, signal }) => searchFiles(workspaceId, wanted, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextAfter ?? undefined,
    gcTime: 0,
  });
  const { hasNextPage, isFetching, fetchNextPage } = found;
  const pages = found.data?.pages ?? [];
  const goesOn = hasNextPage && pages.length < PAGES && pages.at(-1)?.cut !== "places";
  useEffect(() => {
    if (goesOn && !isFetching) void fetchNextPage();
  }, [goesOn, isFetching, fetchNextPage]);
  const files = pages.flatMap((page) => page.files);
  return (
    <>
      <p className="co-search-said" role="status">
        {found.isError ? textOf(found.error) : summary(files, isFetching || goesOn, hasNextPage)}
        {isFetching && <Loader size="xs" aria-hidden />}
      </p>
      <div className="co-search-found">
        <ul aria-label="Found">
          {files.map((file) => (
            <FoundIn key={file.fileId} file={file} onOpen={onOpen} />
          ))}
        </ul>
        {hasNextPage && !goesOn && (
          <Button size="compact-sm" variant="default" m="xs" loading={isFetching} onClick={() => void fetchNextPage()}>
            Go on
          </Button>
        )}
      </div>
    </>
  );
}

function summary(files: readonly FoundFile[], isSearching: boolean, hasMore: boolean): string {
  const places = files.reduce((sum, file) => sum + file.places.length, 0);
  const more = hasMore || files.some((file) => file.hasMore) ? "At least " : "";
  if (files.length === 0) return isSearching ? "Searching …" : "Nothing was found.";
  const inFiles = files.length === 1 ? "1 file" : `${files.length} files`;
  return `${more}${places === 1 ? "1 place" : `${places} places`} in ${inFiles}${isSearching ? " …" : ""}`;
}

function FoundIn({ file, onOpen }: { readonly file: FoundFile; readonly onOpen: Props["onOpen"] }) {
  return (
    <li>
      <button type="button" className="co-found-file" title={file.path} onClick={() => onOpen(file.fileId)}>
        <bdi>{nameIn(file.path)}</bdi>
        {folderIn(file.path) !== "" && <bdi className="quiet">{folderIn(file.path)}</bdi>}
      </button>
      {file.places.length > 0 && (
        <ul aria-label={`In ${file.path}`}>
          {file.places.map((place) => (
            <li key={`${place.line} ${place.column}`}>
              <button type="button" className="co-found-place" onClick={() => onOpen(file.fileId, spotOf(place))}>
                <span className="co-found-line">{place.line}</span>
                <span className="co-found-text">
                  {shortened(place.before)}
                  <mark>{place.text}</mark>
                  {place.behind}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {file.hasMore && <p className="co-search-said">More in this file.</p>}
    </li>
  );
}

/** So much before a place that it is in sight. */
function shortened(before: string): string {
  const begin = before.trimStart();
  const characters = [...begin];
  return characters.length > 18 ? `…${characters.slice(-16).join("")}` : begin;
}

function spotOf({ line, column, length }: FoundPlace): Spot {
  return { line, column, length };
}
