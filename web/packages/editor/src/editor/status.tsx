/** The state of the document in the bar: a short word, its detail on click, and a live region for who cannot see it. */

import type { Document } from "@coscribe/client";
import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { Disclosed } from "./disclosed";
import { type StatusText, statusText } from "./status_text";
import { useStatus, useWasLive } from "./use_document";

/** *Saved* shows once it has held for so long (milliseconds), so that the word does not flicker while somebody types. */
const SETTLED = 400;
/** Said aloud only once it has held for so long. */
const SAID_AFTER = 1_500;

interface Props {
  readonly document: Document;
  readonly onReport: () => void;
}

export function Status({ document, onReport }: Props) {
  const wasLive = useWasLive(document);
  const { label, tone } = useSettled(document, wasLive);
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
        <Detail document={document} wasLive={wasLive} />
        <Button size="compact-sm" variant="default" onClick={onReport}>
          Report a problem
        </Button>
      </Disclosed>
      <Said label={label} />
    </>
  );
}

function Detail({ document, wasLive }: { readonly document: Document; readonly wasLive: boolean }) {
  const status = useStatus(document);
  return (
    <>
      <p className="co-detail">{statusText(status, wasLive).detail}</p>
      <p className="quiet">
        Version {status.version}, sequence {status.sequence}
        {status.heals > 0 && `, corrected itself ${status.heals === 1 ? "once" : `${status.heals} times`}`}
      </p>
    </>
  );
}

function Said({ label }: { readonly label: string }) {
  const [said, setSaid] = useState(label);
  useEffect(() => {
    const timer = setTimeout(() => setSaid(label), SAID_AFTER);
    return () => clearTimeout(timer);
  }, [label]);
  return (
    <div className="co-hidden" role="status" aria-live="polite" data-testid="status">
      {said}
    </div>
  );
}

/**
 * What the bar shows. Whatever is not *Saved* shows at once, *Saved* when it has held. React hears of it only when the
 * word changes, not of every keystroke and everything that comes in.
 */
function useSettled(document: Document, wasLive: boolean): StatusText {
  const [shown, setShown] = useState(() => statusText(document.status, wasLive));
  useEffect(() => {
    let latest = statusText(document.status, wasLive);
    let timer: number | undefined;
    setShown(latest);
    const stop = document.onStatus((status) => {
      const now = statusText(status, wasLive);
      if (now.label === latest.label) return;
      latest = now;
      clearTimeout(timer);
      if (status.isSaved) timer = window.setTimeout(() => setShown(now), SETTLED);
      else setShown((before) => (before.label === now.label ? before : now));
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [document, wasLive]);
  return shown;
}
