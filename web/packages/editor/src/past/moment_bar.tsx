/** The slider over the whole tree, one operation a step. */

import { ActionIcon } from "@mantine/core";
import {
  IconPlayerSkipBack,
  IconPlayerSkipForward,
  IconPlayerTrackNext,
  IconPlayerTrackPrev,
} from "@tabler/icons-react";

interface Props {
  readonly sequence: number;
  /** The last one. */
  readonly length: number;
  readonly onGo: (sequence: number) => void;
}

export function MomentBar({ sequence, length, onGo }: Props) {
  const button = (label: string, Icon: typeof IconPlayerSkipBack, isOff: boolean, to: number) => (
    <ActionIcon
      variant="default"
      size="lg"
      aria-label={label}
      title={label}
      aria-disabled={isOff || undefined}
      onClick={() => !isOff && onGo(to)}
    >
      <Icon size={18} aria-hidden />
    </ActionIcon>
  );
  return (
    <section className="co-player" aria-label="Moment">
      <div className="co-player-said" role="status">
        <span className="co-player-version">
          {sequence === length ? "As it is now" : sequence === 0 ? "Before anything was made" : `After ${sequence}`}
        </span>
        <span className="quiet">{`${sequence} of ${length} changes`}</span>
      </div>
      <input
        type="range"
        className="co-scrubber"
        aria-label="Moment"
        aria-valuetext={`${sequence} of ${length} changes`}
        min={0}
        max={length}
        step={1}
        value={sequence}
        onChange={(event) => onGo(event.currentTarget.valueAsNumber)}
      />
      <div className="co-player-buttons">
        {button("To the beginning", IconPlayerSkipBack, sequence === 0, 0)}
        {button("One change back", IconPlayerTrackPrev, sequence === 0, sequence - 1)}
        {button("One change on", IconPlayerTrackNext, sequence === length, sequence + 1)}
        {button("To the end", IconPlayerSkipForward, sequence === length, length)}
      </div>
    </section>
  );
}
