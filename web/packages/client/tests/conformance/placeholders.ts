/** Whole messages from those of a conversation, which leave out fields or put names in angle brackets for values. */

import { SHAPES } from "../../src/wire/generated/shapes.ts";
import type { Shape } from "../../src/wire/shape.ts";

const shapes: Readonly<Record<string, Shape>> = SHAPES;

function named(reference: string): Shape {
  const shape = shapes[reference.replace("#/$defs/", "")];
  if (shape === undefined) throw new Error(`no shape ${reference}`);
  return shape;
}

/** The least value of a shape. */
function least(shape: Shape): unknown {
  if (shape.$ref !== undefined) return least(named(shape.$ref));
  if (shape.anyOf !== undefined) return least(shape.anyOf[0] ?? {});
  if (shape.enum !== undefined) return shape.enum[0];
  if (shape.type === "object") return filledIn({}, shape);
  return { array: [], string: "<any>", integer: 0, boolean: false, null: null, none: undefined }[shape.type ?? "none"];
}

/** The value, with what `"<any>"` stands for, and (where it only has to be included) with what is missing. */
function filledIn(value: unknown, shape: Shape): unknown {
  if (value === "<any>") return least(shape);
  if (shape.$ref !== undefined) return filledIn(value, named(shape.$ref));
  if (Array.isArray(value) && shape.items) return value.map((item) => filledIn(item, shape.items || {}));
  if (shape.type !== "object" || typeof value !== "object" || value === null) return value;
  const fields = new Map<string, unknown>(Object.entries(value));
  for (const name of shape.required ?? []) if (!fields.has(name)) fields.set(name, "<any>");
  for (const [name, field] of fields) {
    const known = shape.properties?.[name];
    if (known !== undefined) fields.set(name, filledIn(field, known));
  }
  return Object.fromEntries(fields);
}

/** A message of the server that fits its schema and has everything that is expected of it. */
export function wholeMessage(expected: { readonly type: string }): unknown {
  return filledIn(expected, named(`${expected.type.charAt(0).toUpperCase()}${expected.type.slice(1)}`));
}
