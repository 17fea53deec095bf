/**
 * The JSON notation of operations, to and from the core's values. It translates, and changes nothing else.
 *
 * number = retain; string or `{"i": s}` = insert; `{"d": n}` or `{"d": "text"}` = delete.
 */

import { type Component, type Components, components, type Operation, simplify } from "../../src/core/operation.ts";
import { lengthInCodePoints } from "../../src/core/positions.ts";

export type JsonComponent = number | string | { readonly i: string } | { readonly d: number | string };
export type JsonOperation = readonly JsonComponent[];

export function decode(operation: JsonOperation): Components {
  return operation.map(component);
}

function component(part: JsonComponent): Component {
  if (typeof part !== "object") return part;
  if ("i" in part) return part.i;
  return typeof part.d === "number" ? { size: part.d } : { size: lengthInCodePoints(part.d), text: part.d };
}

/** `objects`: inserts as `{"i": s}`, the notation of text-unicode. */
export function encode(operation: Operation, objects = false): JsonOperation {
  return components(operation).map((part) => {
    if (typeof part === "object") return { d: part.text ?? part.size };
    return objects && typeof part === "string" ? { i: part } : part;
  });
}

/** As components, and as the splice that they amount to, if they do: what takes the fast paths. */
export function forms(operation: JsonOperation): Operation[] {
  return [decode(operation), simplify(decode(operation))];
}
