// Writes what is generated from contract/: the types of messages and of the API, what a decoder checks, the error table.
//
//     node tools/generate.mjs            write the files
//     node tools/generate.mjs --check    exit 1 and name what is stale
//
// The contract is itself generated, from the server's code, by the project's tools/generate.py: run that first.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { compile } from "json-schema-to-typescript";

const WEB = dirname(import.meta.dirname);
const CONTRACT = join(dirname(WEB), "contract");
const CLIENT = join(WEB, "packages", "client", "src");
const EDITOR = join(WEB, "packages", "editor", "src");

/** What a decoder needs of a schema; the rest is for people. */
const CHECKED = new Set("$ref anyOf enum type properties required items prefixItems minItems".split(" "));
const BOUNDS = new Set("minimum maximum minLength maxLength".split(" "));

const read = (name) => JSON.parse(readFileSync(join(CONTRACT, name), "utf-8"));
const banner = (source) => `// Generated from contract/${source} by web/tools/generate.mjs.\n`;
const oneLineEach = (entries) =>
  Object.entries(entries)
    .map(([name, value]) => `  ${name}: ${JSON.stringify(value)},\n`)
    .join("");

/** A copy of a schema with every schema in it, itself included, replaced by what `change` makes of it. */
function rewrite(schema, change) {
  const inner = (value) => rewrite(value, change);
  const each = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, inner(value)]));
  const copy = { ...schema };
  for (const key of ["properties", "$defs"]) if (copy[key]) copy[key] = each(copy[key]);
  for (const key of ["anyOf", "prefixItems"]) if (copy[key]) copy[key] = copy[key].map(inner);
  for (const key of ["items", "additionalProperties"]) if (typeof copy[key] === "object") copy[key] = inner(copy[key]);
  return change(copy);
}

/** In the words that the compiler of types knows. Names come from `$defs` alone: no type per titled property. */
function forTypes({ title, prefixItems, ...schema }) {
  if (schema.$ref) return { $ref: schema.$ref.replace("#/components/schemas/", "#/$defs/") };
  if (prefixItems) return { ...schema, items: prefixItems, additionalItems: false };
  const { minItems, maxItems, ...rest } = schema;
  return rest;
}

async function types(source, definitions) {
  const compiled = await compile(rewrite({ type: "object", $defs: definitions }, forTypes), "Root", {
    additionalProperties: false,
    bannerComment: banner(source),
    style: { printWidth: 120 },
    unknownAny: true,
    unreachableDefinitions: true,
  });
  // The compiler wants a root, and says of each definition that the root refers to it.
  return compiled
    .replace(/export interface Root \{\}\n/, "")
    .replaceAll(/^ \* This interface was referenced by `Root`'s JSON-Schema\n \* via the `definition` ".*"\.\n/gm, "")
    .replaceAll(/^\/\*\*\n \*\/\n/gm, "")
    .replaceAll(/^ \*\n \*\/\n/gm, " */\n");
}

function shapes(definitions) {
  const reduce = (schema) =>
    Object.fromEntries(Object.entries(schema).filter(([key]) => CHECKED.has(key) || BOUNDS.has(key)));
  const reduced = rewrite({ $defs: definitions }, (schema) => (schema.$defs ? schema : reduce(schema))).$defs;
  return `${banner("wire.schema.json")}\nimport type { Shape } from "../shape.ts";\n\nexport const SHAPES = {\n${oneLineEach(reduced)}} as const satisfies Readonly<Record<string, Shape>>;\n`;
}

function errors(table) {
  const kinds = Object.fromEntries(table.map(({ code, ...kind }) => [code, kind]));
  return `${banner("errors.json")}
/** One row of the error table. */
export interface ErrorKind {
  readonly fault: "client" | "server";
  readonly retry: "never" | "same" | "rejoin";
  /** Whether the connection ends with it. */
  readonly closes: boolean;
  /** What to do, for people. */
  readonly help: string;
}

export const ERRORS = {
${oneLineEach(kinds)}} as const satisfies Readonly<Record<string, ErrorKind>>;

export type ErrorCode = keyof typeof ERRORS;
`;
}

async function generated() {
  const wire = read("wire.schema.json").$defs;
  const files = new Map([
    [join(CLIENT, "core", "generated", "errors.ts"), errors(read("errors.json").errors)],
    [join(CLIENT, "wire", "generated", "messages.ts"), await types("wire.schema.json", wire)],
    [join(CLIENT, "wire", "generated", "shapes.ts"), shapes(wire)],
  ]);
  if (existsSync(join(CONTRACT, "openapi.json"))) {
    const models = await types("openapi.json", read("openapi.json").components.schemas);
    files.set(join(EDITOR, "api", "generated", "models.ts"), models);
  }
  return files;
}

const files = await generated();
const stale = [...files].filter(([path, text]) => !existsSync(path) || readFileSync(path, "utf-8") !== text);
if (process.argv.includes("--check")) {
  for (const [path] of stale) process.stderr.write(`stale: ${relative(WEB, path)}; run node web/tools/generate.mjs\n`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const [path, text] of stale) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}
