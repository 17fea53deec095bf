/** An operation that inserts more than one message should hold, as several that follow each other. */

import { type CodePointEdit, fromEdits, type Operation, toEdits } from "./operation.ts";
import { advance, lengthInCodePoints } from "./positions.ts";

/**
 * Operations that compose to this one; none of them inserts more than `most` code points. The first one holds every
 * delete and what it can of the inserts; each of the others goes on with one of these, from left to right:
 *
 *     text --aaaaabbbbb--> .    as    text --aaaaa--> . --bbbbb behind it--> .
 */
export function pieces(operation: Operation, most: number): Operation[] {
  let room = most;
  const edits = toEdits(operation).map(([position, deleted, inserted]) => {
    const parts = cut(inserted, room, most);
    room -= lengthInCodePoints(parts[0] ?? "");
    return { position, deleted, parts };
  });
  if (edits.every(({ parts }) => parts.length === 1)) return [operation];
  const first = edits.map(({ position, deleted, parts: [part = ""] }): CodePointEdit => [position, deleted, part]);
  const rest: Operation[] = [];
  let shift = 0;
  for (const { position, deleted, parts } of edits) {
    let end = position + shift;
    for (const [index, part] of parts.entries()) {
      if (index > 0) rest.push(fromEdits([[end, 0, part]]));
      end += lengthInCodePoints(part);
    }
    shift = end - position - deleted;
  }
  return [fromEdits(first), ...rest];
}

/** At least one part: the first one of at most `room` code points, the others of at most `most`. */
function cut(text: string, room: number, most: number): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let size = room; lengthInCodePoints(text.slice(start)) > size; size = most) {
    const end = advance(text, start, size);
    parts.push(text.slice(start, end));
    start = end;
  }
  return [...parts, text.slice(start)];
}
