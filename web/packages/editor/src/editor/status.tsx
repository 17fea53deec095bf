/** The state of the document in the bar: a short word, its detail on click, and a live region for who cannot see it. */

import type { Document, DocumentStatus } from "@coscribe/client";
import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { Disclosed } from "./disclosed";
import { statusText } from "./status_text";
import { useStatus, useWasLive } from "./use_document";

/** *Saved* shows once it has held for so long, so that the word does not flicker while somebody types. */
const SETTLED = 400;
/** Said aloud only once it has held for so long. */
const SAID_AFTER = 1_500;

interface Props {
  readonly document: Document;
  readonly onReport: () => void;
}

export function Status({ document, onReport }: Props) {
  const status = useStatus(document);
  const shown = useSettled(status, status.isSaved ? SETTLED : 0);
  const said = useSettled(shown, SAID_AFTER);
  const wasLive = useWasLive(document);
  const { label, tone, detail } = statusText(shown, wasLive);
  return (
    <>
      <Disclosed
        className="co-status"
        data-tone={tone}
        aria-label={`State: ${label}`}
        width={300}
        face={
          <>
            <span className="co-status-dot" aria-hidden="true" />
            <span className="co-status-label">{label}</span>
          </>
        }
      >
        <p className="co-detail">{detail}</p>
        <p className="quiet">
          Version {shown.version}, sequence {shown.sequence}
          {shown.heals > 0 && `, corrected itself ${shown.heals === 1 ? "once" : `${shown.heals} times`}`}
        </p>
        <Button size="compact-sm" variant="default" onClick={onReport}>
          Report a problem
        </Button>
      </Disclosed>
      <div className="co-hidden" role="status" aria-live="polite" data-testid="status">
        {statusText(said, wasLive).label}
      </div>
    </>
  );
}

/** The value, once it has not changed for so long; at once where that is 0. */
function useSettled(status: DocumentStatus, milliseconds: number): DocumentStatus {
  const [settled, setSettled] = useState(status);
  useEffect(() => {
    if (milliseconds === 0) {
      setSettled(status);
      return undefined;
    }
    const timer = setTimeout(() => setSettled(status), milliseconds);
    return () => clearTimeout(timer);
  }, [status, milliseconds]);
  return settled;
}
