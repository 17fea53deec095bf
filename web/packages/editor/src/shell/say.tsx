/** Says something to everybody, whether they see the page or hear it. */

import { useEffect, useSyncExternalStore } from "react";

/** What can be done about it, once. */
export interface Answer {
  readonly label: string;
  readonly action: () => void;
}

interface Said {
  text: string;
  answer: Answer | undefined;
  /** So that the same words twice are two events. */
  count: number;
}

const SHOWN_FOR = 7_000;
/** Long enough to be reached by keyboard. */
const ASKED_FOR = 20_000;
let said: Said = { text: "", answer: undefined, count: 0 };
const listeners = new Set<() => void>();

export function say(text: string, answer?: Answer): void {
  said = { text, answer, count: said.count + 1 };
  for (const listener of listeners) listener();
}

/** The live region; once in a page, and there before anything is said. */
export function Spoken() {
  const { text, answer, count } = useSyncExternalStore(subscribe, () => said);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is said again is shown anew
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => say(""), answer === undefined ? SHOWN_FOR : ASKED_FOR);
    return () => clearTimeout(timer);
  }, [text, count]);
  return (
    <div className="said" role="status" aria-live="polite">
      {text && (
        <span key={count}>
          {text}
          {answer && (
            <button
              type="button"
              onClick={() => {
                say("");
                answer.action();
              }}
            >
              {answer.label}
            </button>
          )}
        </span>
      )}
    </div>
  );
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
