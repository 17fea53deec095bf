/** Says something to everybody, whether they see the page or hear it. */

import { useEffect, useSyncExternalStore } from "react";

interface Said {
  text: string;
  /** So that the same words twice are two events. */
  count: number;
}

const SHOWN_FOR = 7_000;
let said: Said = { text: "", count: 0 };
const listeners = new Set<() => void>();

export function say(text: string): void {
  said = { text, count: said.count + 1 };
  for (const listener of listeners) listener();
}

/** The live region; once in a page, and there before anything is said. */
export function Spoken() {
  const { text, count } = useSyncExternalStore(subscribe, () => said);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is said again is shown anew
  useEffect(() => {
    if (!text) return;
    const timer = setTimeout(() => say(""), SHOWN_FOR);
    return () => clearTimeout(timer);
  }, [text, count]);
  return (
    <div className="said" role="status" aria-live="polite">
      {text && <span key={count}>{text}</span>}
    </div>
  );
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
