/** What plays the film: the playhead, speed, and who did what is seen. */

import { ActionIcon, Button, NativeSelect } from "@mantine/core";
import {
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerSkipBack,
  IconPlayerSkipForward,
  IconPlayerTrackNext,
  IconPlayerTrackPrev,
} from "@tabler/icons-react";
import type { HistoryAuthor } from "./api";
import type { Step } from "./film";
import { AuthorName, exactly } from "./people";
import { type Player, SPEEDS } from "./player";
import { usePlayer } from "./use_player";

interface Props {
  readonly player: Player;
  readonly authorOf: (userId: string) => HistoryAuthor;
  readonly nameOf: (version: number) => string;
}

export function PlayerBar({ player, authorOf, nameOf }: Props) {
  const { version, step, isPlaying, isWaiting, speed } = usePlayer(player, (state) => state);
  const { length, oldest } = player.film;
  const author = step && authorOf(step.author);
  const name = nameOf(version);
  const button = (label: string, Icon: typeof IconPlayerPlay, isOff: boolean, action: () => void) => (
    <ActionIcon
      variant="default"
      size="lg"
      aria-label={label}
      title={label}
      aria-disabled={isOff || undefined}
      onClick={() => !isOff && action()}
    >
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
  return (
    <section className="co-player" aria-label="Player">
      <div className="co-player-said" role={isPlaying ? undefined : "status"}>
        <span className="co-player-version">
          Version {version} of {length}
          {name && ` (“${name}”)`}
        </span>
        {author && step ? (
          <>
            <span className="co-player-who">
              <AuthorName author={author} />
            </span>
            <span className="quiet">
              {actOf(step)}, {exactly(step.at)}
            </span>
          </>
        ) : (
          <span className="quiet">{isWaiting ? "Loading…" : version === 0 ? "Before anything was written" : ""}</span>
        )}
      </div>
      <input
        type="range"
        className="co-scrubber"
        aria-label="Version"
        min={oldest}
        max={length}
        step={1}
        value={version}
        aria-valuetext={spoken(version, length, step, author, name)}
        aria-busy={isWaiting}
        onChange={(event) => void player.seek(event.currentTarget.valueAsNumber)}
      />
      <div className="co-player-buttons">
        {button("To the beginning", IconPlayerSkipBack, version === oldest, () => void player.step(oldest - version))}
        {button("One edit back", IconPlayerTrackPrev, version === oldest, () => void player.step(-1))}
        <Button
          className="co-play"
          leftSection={isPlaying ? <IconPlayerPause size={16} aria-hidden /> : <IconPlayerPlay size={16} aria-hidden />}
          onClick={() => (isPlaying ? player.pause() : player.play())}
        >
          {isPlaying ? "Pause" : "Play"}
        </Button>
        {button("One edit on", IconPlayerTrackNext, version === length, () => void player.step(1))}
        {button("To the end", IconPlayerSkipForward, version === length, () => void player.step(length - version))}
        <NativeSelect
          aria-label="Speed"
          className="co-speed"
          value={String(speed)}
          data={SPEEDS.map((each) => ({ value: String(each), label: `${each}×` }))}
          onChange={(event) => player.setSpeed(Number(event.currentTarget.value))}
        />
      </div>
    </section>
  );
}

function spoken(
  version: number,
  length: number,
  step: Step | null,
  author: HistoryAuthor | null,
  name: string,
): string {
  const where = `Version ${version} of ${length}${name && `, ${name}`}`;
  if (step === null || author === null) return version === 0 ? `${where}: before anything was written` : where;
  return `${where}: ${author.displayName}, ${exactly(step.at)}`;
}

function actOf({ changes }: Step): string {
  const isInserting = changes.some((change) => change.inserted !== "");
  const isDeleting = changes.some((change) => change.deleted !== "");
  if (isInserting && isDeleting) return "replaced";
  return isInserting ? "wrote" : "deleted";
}
