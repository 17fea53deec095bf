/** The history of one document, once it is known that there is one, and that it may be seen. */

import { Button, Menu } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconChevronDown } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { keys } from "../api/keys";
import type { DocumentRow } from "../api/models";
import { attempt, confirm } from "../parts/dialogs";
import { download } from "../parts/download";
import { Page } from "../parts/page";
import { say } from "../shell/say";
import { Failed } from "../states/failed";
import { Opening } from "../states/opening";
import {
  type HistoryAuthor,
  historyKeys,
  listOperations,
  logAddress,
  type Present,
  restoreVersion,
  seeBlame,
  seeContent,
} from "./api";
import { attributionOf, authorIn } from "./attribution";
import { Compare, type Pair } from "./compare";
import { Film } from "./film";
import { type Names, useNames } from "./names";
import { Player } from "./player";
import { PlayerBar } from "./player_bar";
import { TextView } from "./text_view";
import { Timeline } from "./timeline";
import { usePlayer } from "./use_player";
import { describePiece, Who } from "./who";

interface Props {
  readonly item: DocumentRow;
  readonly present: Present;
}

type Authors = Map<string, HistoryAuthor>;

export function History({ item, present }: Props) {
  const { documentId } = item;
  const [opened, setOpened] = useState<{ player: Player; authors: Authors } | null>(null);
  const [parameters] = useSearchParams();
  const firstVersion = useRef(versionIn(parameters.get("version"), present.documentVersion));

  useEffect(() => {
    const authors: Authors = new Map();
    const film = new Film(sourceOf(documentId, authors), present.documentVersion, present.text, present.oldestVersion);
    const player = new Player(film, firstVersion.current);
    setOpened({ player, authors });
    return () => player.close();
  }, [documentId, present]);

  return opened === null ? <Opening /> : <Shown item={item} {...opened} />;
}

function Shown({ item, player, authors }: { item: DocumentRow; player: Player; authors: Authors }) {
  const { documentId, name } = item;
  const [parameters, setParameters] = useSearchParams();
  const [isWho, setWho] = useState(false);
  const [caret, setCaret] = useState(0);
  const names = useNames(documentId);
  const error = usePlayer(player, (state) => state.error);
  const { length } = player.film;
  const pair = pairIn(parameters.get("compare"), length);
  const who = useAttribution(documentId, player, isWho && pair === null);

  const compare = (next: Pair | null) => {
    player.pause();
    setParameters((before) => {
      const after = new URLSearchParams(before);
      if (next === null) after.delete("compare");
      else after.set("compare", `${next.from}..${next.to}`);
      return after;
    });
  };
  const leaveCompare = () => pair !== null && compare(null);
  const show = (version: number) => {
    leaveCompare();
    player.pause();
    void player.seek(version);
  };
  const play = (from: number, to: number) => {
    leaveCompare();
    player.playBetween(from, to);
  };
  return (
    <Page
      title={`History of ${name}`}
      actions={
        <>
          <Button component={Link} to={addressOf(documentId)} variant="default">
            To the document
          </Button>
          <Button
            variant={isWho && pair === null ? "filled" : "default"}
            aria-pressed={isWho && pair === null}
            onClick={() => {
              leaveCompare();
              player.pause();
              setWho(pair !== null || !isWho);
            }}
          >
            Who wrote this
          </Button>
          <Button
            variant={pair ? "filled" : "default"}
            aria-pressed={pair !== null}
            onClick={() => compare(pair ? null : firstPair(player.state().version, length, names))}
          >
            Compare
          </Button>
          <VersionMenu item={item} player={player} onName={names.give} />
        </>
      }
    >
      <div className="co-history">
        <div className="co-past">
          {error !== null && <Failed error={error} again={() => void player.seek(player.state().version)} />}
          {pair ? (
            <Compare
              documentId={documentId}
              name={name}
              pair={pair}
              length={length}
              names={names}
              onCompare={compare}
              onClose={() => compare(null)}
            />
          ) : (
            <>
              {isWho && <Who {...who} caret={caret} onShow={show} />}
              <TextView
                player={player}
                name={name}
                attribution={who.attribution}
                isPlain={isWho}
                colorOf={(author) => authorIn(authors, author).color}
                describe={describePiece}
                onCaret={setCaret}
              />
              <PlayerBar player={player} authorOf={(author) => authorIn(authors, author)} nameOf={names.of} />
            </>
          )}
        </div>
        <Timeline
          documentId={documentId}
          player={player}
          names={names}
          onShow={show}
          onPlay={play}
          onCompare={(from, to) => compare({ from, to })}
        />
      </div>
    </Page>
  );
}

/** What can be done with the version that is shown. */
function VersionMenu({
  item,
  player,
  onName,
}: {
  item: DocumentRow;
  player: Player;
  onName: (version: number) => Promise<unknown>;
}) {
  const { documentId, name } = item;
  const queries = useQueryClient();
  const navigate = useNavigate();
  const shown = () => {
    player.pause();
    return player.state().version;
  };
  const restore = async () => {
    const version = shown();
    const text =
      `The text becomes what it was at version ${version}, as a new edit of yours. ` +
      "The history stays whole, and what others write at the same time stays, too.";
    if (!(await confirm(`Restore version ${version}?`, text, "Restore", false))) return;
    await attempt(async () => {
      await restoreVersion(documentId, version);
      await queries.invalidateQueries({ queryKey: keys.documents });
      say(`Version ${version} is restored, as a new edit.`);
      navigate(addressOf(documentId));
    });
  };
  const save = async () => {
    const version = shown();
    const text = await player.film.textAt(version, new AbortController().signal);
    download(new Blob([text], { type: "text/plain;charset=utf-8" }), fileName(name, version));
  };
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <Button variant="default" rightSection={<IconChevronDown size={16} aria-hidden />}>
          This version
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => void onName(shown())}>Name it…</Menu.Item>
        <Menu.Item onClick={() => void restore()}>Restore it…</Menu.Item>
        <Menu.Item onClick={() => void attempt(save)}>Download its text</Menu.Item>
        <Menu.Divider />
        <Menu.Item component="a" href={logAddress(documentId)} download>
          Download the full log
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** Who wrote the text that is shown, once the playhead rests. */
function useAttribution(documentId: string, player: Player, isWanted: boolean) {
  const isPlaying = usePlayer(player, (state) => state.isPlaying);
  const resting = usePlayer(player, (state) => (state.isPlaying || state.isWaiting ? -1 : state.version));
  const [version] = useDebouncedValue(resting, 250);
  const found = useQuery({
    queryKey: historyKeys.blame(documentId, version),
    queryFn: async ({ signal }) => {
      const [blame, text] = await Promise.all([
        seeBlame(documentId, version, signal),
        player.film.textAt(version, signal),
      ]);
      return attributionOf(blame, text);
    },
    enabled: isWanted && version >= 0 && version === resting,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });
  const attribution = useMemo(
    () => (isWanted && found.data?.version === resting ? found.data : null),
    [isWanted, found.data, resting],
  );
  return { attribution, isPlaying, error: isWanted ? found.error : null, again: () => void found.refetch() };
}

function sourceOf(documentId: string, authors: Authors) {
  return {
    text: async (version: number, signal: AbortSignal) => (await seeContent(documentId, version, signal)).text,
    operations: async (after: number, limit: number, signal: AbortSignal) => {
      const found = await listOperations(documentId, after, limit, signal);
      for (const author of found.authors) authors.set(author.userId, author);
      return found.operations;
    },
  };
}

function addressOf(documentId: string): string {
  return `/d/${encodeURIComponent(documentId)}`;
}

/** A version in the address; the last one where there is none. */
function versionIn(text: string | null, length: number): number {
  return text !== null && /^\d{1,15}$/.test(text) ? Math.min(Number(text), length) : length;
}

/** The shown version and the present one; if that is shown, the last one before it that has a name, and it. */
function firstPair(version: number, length: number, names: Names): Pair {
  const named = names.all.findLast((each) => each.version < length)?.version ?? 0;
  return { from: version < length ? version : named, to: length };
}

/** `3..12` in the address. */
function pairIn(text: string | null, length: number): Pair | null {
  const [, from, to] = /^(\d{1,15})\.\.(\d{1,15})$/.exec(text ?? "") ?? [];
  if (from === undefined || to === undefined) return null;
  return { from: versionIn(from, length), to: versionIn(to, length) };
}

/** `Notes.md` as `Notes (version 12).md`. */
function fileName(name: string, version: number): string {
  const [, stem = name, ending = ""] = /^(.+?)(\.[A-Za-z0-9]{1,10})?$/s.exec(name) ?? [];
  return `${stem} (version ${version})${ending || ".txt"}`;
}
