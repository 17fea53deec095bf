/**
 * Does a decoded value have the shape that the schema asks for? As much of JSON Schema as the wire uses, no more.
 *
 * Every shape is compiled once into a function. A check says nothing (undefined) of a value that is right, and of one
 * that is wrong where and why, as in ".operations[0].position: expected integer"; that text is made on the way back
 * up, so that the good case, which comes with every keystroke of everybody, makes no garbage. Fields that no shape
 * names are let through: a newer server may send more.
 */

export interface Shape {
  readonly $ref?: string;
  readonly anyOf?: readonly Shape[];
  readonly enum?: readonly string[];
  readonly type?: "object" | "array" | "string" | "integer" | "boolean" | "null";
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape | false;
  readonly prefixItems?: readonly Shape[];
  readonly minItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** What is wrong with a value, or undefined. */
export type Check = (value: unknown) => string | undefined;

/** Compiles shapes that refer to each other by `#/$defs/<name>`. */
export function compileShapes(shapes: Readonly<Record<string, Shape>>): ReadonlyMap<string, Check> {
  const named = new Map<string, Check>();
  const reference = (name: string): Check => {
    let check: Check | undefined;
    return (value) => {
      check ??= named.get(name);
      return check === undefined ? `: no shape ${name}` : check(value);
    };
  };
  for (const [name, shape] of Object.entries(shapes)) named.set(name, compile(shape, reference));
  return named;
}

function compile(shape: Shape, reference: (name: string) => Check): Check {
  const inner = (of: Shape): Check => compile(of, reference);
  if (shape.$ref !== undefined) return reference(shape.$ref.replace("#/$defs/", ""));
  if (shape.anyOf !== undefined) return anyOf(shape.anyOf.map(inner));
  if (shape.enum !== undefined) return oneOf(shape.enum);
  switch (shape.type) {
    case "object":
      return object(shape, inner);
    case "array":
      return shape.prefixItems === undefined ? array(shape, inner) : tuple(shape.prefixItems.map(inner));
    case "string":
      return string(shape);
    case "integer":
      return integer(shape);
    case "boolean":
      return (value) => (typeof value === "boolean" ? undefined : ": expected boolean");
    case "null":
      return (value) => (value === null ? undefined : ": expected null");
    default:
      throw new TypeError(`unknown shape ${JSON.stringify(shape)}`);
  }
}

function anyOf(checks: readonly Check[]): Check {
  return (value) => {
    for (const check of checks) if (check(value) === undefined) return undefined;
    return ": none of the forms it may have";
  };
}

function oneOf(values: readonly string[]): Check {
  return (value) =>
    (values as readonly unknown[]).includes(value) ? undefined : `: expected one of ${values.join(", ")}`;
}

function object({ properties = {}, required = [] }: Shape, inner: (of: Shape) => Check): Check {
  const fields = Object.entries(properties).map(
    ([name, shape]) => ({ name, check: inner(shape), optional: !required.includes(name) }) as const,
  );
  return (value) => {
    if (!isRecord(value)) return ": expected object";
    for (const { name, check, optional } of fields) {
      const field = value[name];
      if (field === undefined) {
        if (!optional) return `.${name}: missing`;
        continue;
      }
      const wrong = check(field);
      if (wrong !== undefined) return `.${name}${wrong}`;
    }
    return undefined;
  };
}

function array({ items, minItems = 0 }: Shape, inner: (of: Shape) => Check): Check {
  if (items === undefined || items === false) throw new TypeError("an array without items has no shape");
  const check = inner(items);
  return (value) => {
    if (!Array.isArray(value)) return ": expected array";
    if (value.length < minItems) return `: expected ${minItems} or more`;
    return firstWrong(value, () => check);
  };
}

function tuple(checks: readonly Check[]): Check {
  return (value) => {
    if (!Array.isArray(value) || value.length !== checks.length) return `: expected array of ${checks.length}`;
    return firstWrong(value, (index) => checks[index]);
  };
}

function firstWrong(values: readonly unknown[], checkOf: (index: number) => Check | undefined): string | undefined {
  for (let index = 0; index < values.length; index += 1) {
    const wrong = checkOf(index)?.(values[index]);
    if (wrong !== undefined) return `[${index}]${wrong}`;
  }
  return undefined;
}

function string({ minLength = 0, maxLength = Number.POSITIVE_INFINITY }: Shape): Check {
  return (value) => {
    if (typeof value !== "string") return ": expected string";
    return value.length < minLength || value.length > maxLength
      ? `: expected ${minLength} to ${maxLength} long`
      : undefined;
  };
}

function integer({ minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER }: Shape): Check {
  return (value) => {
    if (!Number.isSafeInteger(value)) return ": expected integer";
    return (value as number) < minimum || (value as number) > maximum
      ? `: expected ${minimum} to ${maximum}`
      : undefined;
  };
}

/** Whether a decoded value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
