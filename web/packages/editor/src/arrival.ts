/**
 * What brought somebody here: the link of a mail, of a person, of the console, or of where one signs in elsewhere.
 *
 * The secret of such a link is in the fragment, which browsers send to nobody. It is taken out of the address before
 * anything is shown, so that it stays in no history, and is kept in memory: gone when the page is left. The server makes
 * links as `/#kind=secret`; each kind has an address of its own here. Addresses of the page before this one
 * (`/#/documents/ID`) lead to where they led.
 */

import { useSyncExternalStore } from "react";

export type ArrivalKind = "setup" | "invitation" | "verify" | "reset" | "link" | "linked" | "error";

export interface Arrival {
  kind: ArrivalKind;
  /** Of `linked` the provider, of `error` the code of the refusal. */
  secret: string;
}

const ADDRESSES: Record<ArrivalKind, string> = {
  setup: "/setup",
  invitation: "/invite",
  verify: "/verify",
  reset: "/reset",
  link: "/link",
  linked: "/account/sessions",
  error: "/sign-in",
};

const FORMER: [RegExp, (found: string) => string][] = [
  [/^#\/documents\/([^/]+)$/, (id) => `/d/${id}`],
  [/^#\/list\/(\w+)$/, (list) => `/?list=${list}`],
  [/^#\/(sign-in|sign-up|account|admin|admin\/documents)$/, (where) => `/${where}`],
  [/^#\/forgot()$/, () => "/reset"],
  [/^#\/()$/, () => "/"],
];

let arrival: Arrival | null = null;
const listeners = new Set<() => void>();

/** Takes the secret out of the address; returns the address to show, null if there is nothing to take. */
export function takeArrival(hash: string): string | null {
  const [, kind, value] = /^#([a-z]+)=(.*)$/s.exec(hash) ?? [];
  if (kind !== undefined && value !== undefined && isKind(kind)) {
    setArrival({ kind, secret: decoded(value) });
    return ADDRESSES[kind];
  }
  for (const [pattern, address] of FORMER) {
    const found = pattern.exec(hash)?.[1];
    if (found !== undefined) return address(found);
  }
  return null;
}

export function setArrival(next: Arrival | null): void {
  arrival = next;
  for (const listener of listeners) listener();
}

/** What is still to be done for whoever came by a link; null if nothing is. */
export function useArrival(): Arrival | null {
  return useSyncExternalStore(subscribe, () => arrival);
}

/** Where it goes on, for somebody who has just signed in. */
export function addressOf(pending: Arrival): string {
  return ADDRESSES[pending.kind];
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function isKind(kind: string): kind is ArrivalKind {
  return Object.hasOwn(ADDRESSES, kind);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
