import { type CodePointEdit, compose, fromEdits, NOTHING, type Operation, toEdits } from "./core/operation.ts";

/**
 * Edits that cannot be applied any more, for their author to use otherwise; and why (`code` of the error table).
 * `edits`: each list is one operation on the text that the one before it leaves, as (position, deleted, inserted) in
 * code points. `text`: what they would have inserted, for people; a line break between two places.
 */
export interface Patch {
  readonly code: string;
  readonly detail: string;
  readonly edits: readonly (readonly CodePointEdit[])[];
  readonly text: string;
}

/** The patch of operations that follow each other. */
export function patchOf(edits: readonly (readonly CodePointEdit[])[], code: string, detail: string): Patch {
  const whole = edits.map(fromEdits).reduce<Operation>(compose, NOTHING);
  const inserted = toEdits(whole).map((edit) => edit[2]);
  return { code, detail, edits, text: inserted.filter((text) => text !== "").join("\n") };
}
