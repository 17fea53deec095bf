/** The client's own text and positions: what the server counts in code points is counted by the same code everywhere. */

export { type CodePointEdit, fromEdits } from "../../../client/src/core/operation.ts";
export { lengthInCodePoints } from "../../../client/src/core/positions.ts";
export { TextBuffer } from "../../../client/src/core/text_buffer.ts";
