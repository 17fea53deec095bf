/** Authors of the past, and moments of it, in words. */

import { safeColor } from "../parts/color";
import { Dot } from "../parts/notice";
import type { HistoryAuthor } from "./api";

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** @param at milliseconds since 1970 */
export function exactly(at: number): string {
  return EXACT.format(at);
}

/** From when to when, in few words. @param begun, ended RFC 3339 */
export function span(begun: string, ended: string): string {
  const [from, to] = [new Date(begun), new Date(ended)];
  const start = SHORT.format(from);
  if (start === SHORT.format(to)) return start;
  return `${start} – ${from.toDateString() === to.toDateString() ? CLOCK.format(to) : SHORT.format(to)}`;
}

export function AuthorName({ author }: { author: HistoryAuthor }) {
  return (
    <>
      <Dot color={safeColor(author.color)} />
      <span className="co-author">{author.displayName}</span>
    </>
  );
}
