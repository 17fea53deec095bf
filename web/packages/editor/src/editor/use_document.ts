/** React's view of a document: re-rendered only when what is shown of it has changed. */

import type { Document, DocumentStatus, Participant } from "@coscribe/client";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

export function useStatus(document: Document): DocumentStatus {
  return useStatusOf(document, (status) => status);
}

/** A part of the status: what depends on it alone is not rendered again by every operation that comes in. */
export function useStatusOf<Part>(document: Document, part: (status: DocumentStatus) => Part): Part {
  return useSyncExternalStore(
    (listener) => document.onStatus(listener),
    () => part(document.status),
  );
}

/** Somebody in the document, whatever number of windows they have open. */
export interface Person {
  readonly userId: string;
  readonly displayName: string;
  readonly color: string;
  readonly role: Participant["role"];
  readonly windows: number;
  readonly isSelf: boolean;
}

/** Everybody who is here, oneself first. Changes when somebody comes, goes or has another role, not with carets. */
export function usePeople(document: Document): readonly Person[] {
  const people = useMemo(() => {
    let latest: readonly Person[] = [];
    let key = "";
    return (): readonly Person[] => {
      const now = peopleOf(document);
      const nowKey = JSON.stringify(now);
      if (nowKey !== key) [latest, key] = [now, nowKey];
      return latest;
    };
  }, [document]);
  return useSyncExternalStore((listener) => document.onParticipants(listener), people);
}

function peopleOf(document: Document): Person[] {
  const byUser = new Map<string, Person>();
  for (const { userId, displayName, color, role, isSelf } of document.participants.values()) {
    const before = byUser.get(userId);
    const windows = (before?.windows ?? 0) + 1;
    byUser.set(userId, { userId, displayName, color, role, windows, isSelf: isSelf || (before?.isSelf ?? false) });
  }
  const own = (person: Person): number => (person.isSelf ? 0 : 1);
  return [...byUser.values()].sort(
    (one, other) => own(one) - own(other) || one.displayName.localeCompare(other.displayName),
  );
}

/** Whether the document was live at some time since it was opened here. */
export function useWasLive(document: Document): boolean {
  const [wasLive, setWasLive] = useState(document.status.state === "live");
  useEffect(() => document.onStatus(({ state }) => state === "live" && setWasLive(true)), [document]);
  return wasLive;
}
