import { expect, it } from "vitest";
import { type Check, compileShapes, type Shape } from "../../src/wire/shape.ts";

function check(shapes: Readonly<Record<string, Shape>>): Check {
  const compiled = compileShapes(shapes).get("Root");
  if (compiled === undefined) throw new Error("no Root");
  return compiled;
}

it("follows references, also to itself", () => {
  const tree = check({ Root: { type: "object", properties: { next: { $ref: "#/$defs/Root" } } } });
  expect(tree({ next: { next: {} } })).toBeUndefined();
  expect(tree({ next: { next: 1 } })).toBe(".next.next: expected object");
});

it("a reference to nothing refuses everything", () => {
  expect(check({ Root: { $ref: "#/$defs/Gone" } })(1)).toBe(": no shape Gone");
});

it.each<[Shape, unknown, string | undefined]>([
  [{ type: "integer", minimum: 0 }, -0, undefined],
  [{ type: "integer", minimum: 0 }, -1, ": expected 0 to 9007199254740991"],
  [{ type: "integer" }, 2 ** 53, ": expected integer"],
  [{ type: "boolean" }, false, undefined],
  [{ type: "boolean" }, 0, ": expected boolean"],
  [{ type: "null" }, undefined, ": expected null"],
  [{ type: "string", minLength: 1, maxLength: 2 }, "", ": expected 1 to 2 long"],
  [{ enum: ["a"] }, "b", ": expected one of a"],
  [{ type: "array", items: { type: "string" }, minItems: 2 }, ["a"], ": expected 2 or more"],
  [{ type: "array", prefixItems: [{ type: "string" }], items: false }, [1], "[0]: expected string"],
  [{ type: "array", prefixItems: [{ type: "string" }], items: false }, ["a", "b"], ": expected array of 1"],
])("%j of %j: %s", (shape, value, wrong) => {
  expect(check({ Root: shape })(value)).toBe(wrong);
});

it.each<Shape>([{}, { type: "array" }])("%j is no shape", (shape) => {
  expect(() => compileShapes({ Root: shape })).toThrow(TypeError);
});
