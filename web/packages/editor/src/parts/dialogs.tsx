/** Dialogs that are opened by a call and answer it: they hold the focus, end with Escape and give the focus back. */

import { lazy, type ReactNode, Suspense, useSyncExternalStore } from "react";
import { textOf } from "../api/problem";
import { say } from "../shell/say";
import { openerOf } from "./opener";
import type { AskedText } from "./questions";

const ShownDialog = lazy(() => import("./shown_dialog"));
const Question = lazy(async () => ({ default: (await import("./questions")).Question }));
const TextQuestion = lazy(async () => ({ default: (await import("./questions")).TextQuestion }));
const Secret = lazy(async () => ({ default: (await import("./questions")).Secret }));

interface Entry {
  id: number;
  title: string;
  size: string;
  opened: boolean;
  /** What has the focus when it has closed. */
  opener: HTMLElement | null;
  content: (close: (answer?: string) => void) => ReactNode;
  resolve: (answer: string) => void;
}

let entries: Entry[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

/** Resolves when it has closed: to what `close` was called with, or to "". */
export function dialog(title: string, content: Entry["content"], size = "md"): Promise<string> {
  return new Promise((resolve) => {
    set([
      ...entries,
      { id: ++lastId, title, content, size, opened: true, opener: openerOf(document.activeElement), resolve },
    ]);
  });
}

/** Asks before something that cannot be taken back. */
export async function confirm(title: string, text: ReactNode, yes: string, isDangerous = true): Promise<boolean> {
  const answer = await dialog(title, (close) => (
    <Question text={text} yes={yes} isDangerous={isDangerous} close={close} />
  ));
  return answer === "yes";
}

/** Asks for one line of text; `action` may refuse by raising. */
export function askForText(
  title: string,
  asked: AskedText,
  action: (text: string) => Promise<unknown>,
): Promise<string> {
  return dialog(title, (close) => <TextQuestion {...asked} action={action} close={close} />);
}

/** Shows something that cannot be shown again. */
export function showOnce(title: string, text: string, secret: string): Promise<string> {
  return dialog(title, (close) => <Secret title={title} text={text} secret={secret} close={close} />);
}

/** Does something and says what went wrong, if it did. Resolves to whether it was done. */
export async function attempt(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    say(textOf(error));
    return false;
  }
}

/** All that are open, as by Escape: for when whoever opened them is not here any more. */
export function closeDialogs(): void {
  for (const { resolve } of entries) resolve("");
  set([]);
}

/** Where dialogs are shown; once in a page. How they look is loaded with the first one. */
export function Dialogs() {
  const shown = useSyncExternalStore(subscribe, () => entries);
  return (
    <Suspense>
      {shown.map(({ id, title, size, opened, opener, content, resolve }) => {
        const close = (answer = "") => {
          resolve(answer);
          set(entries.map((each) => (each.id === id ? { ...each, opened: false } : each)));
        };
        return (
          <ShownDialog
            key={id}
            title={title}
            size={size}
            opened={opened}
            opener={opener}
            onClose={() => close()}
            onClosed={() => set(entries.filter((each) => each.id !== id))}
          >
            {content(close)}
          </ShownDialog>
        );
      })}
    </Suspense>
  );
}

function set(next: Entry[]): void {
  entries = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
