/**
 * Where the vectors are, what each of them is called, and which of them passed.
 *
 * The names are the same in every language, so that two runs can be compared: `transform.json#12`,
 * `apply.json#pastTheEnd/3`, `conversations/ping`, `external/ot-apply#77`. COSCRIBE_VECTOR_IDS names the file that the
 * ids of those that passed are written to.
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import process from "node:process";

const ROOT = resolve(import.meta.dirname, "../../../../..");
const FOLDER = join(ROOT, "contract", "conformance");
const EXTERNAL = join(resolve(ROOT, process.env["COSCRIBE_DATA"] || "../shared/data"), "vectors");

export interface Vector<T> {
  readonly id: string;
  readonly value: T;
}

/** The cases of a file of contract/conformance, by default those that are not of a special kind. */
export function frozen<T>(name: string, key = "cases"): Vector<T>[] {
  const cases: T[] = JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf-8"))[key];
  const prefix = key === "cases" ? "" : `${key}/`;
  return cases.map((value, index) => ({ id: `${name}.json#${prefix}${index}`, value }));
}

export function conversations<T>(): Vector<T>[] {
  const folder = join(FOLDER, "conversations");
  const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
  return files.sort().map((file) => ({
    id: `conversations/${basename(file, ".json")}`,
    value: JSON.parse(readFileSync(join(folder, file), "utf-8")),
  }));
}

/** The records of a file of published vectors, of so many lines each; undefined where the file is not there. */
export function external(file: string, linesEach = 1): Vector<unknown[]>[] | undefined {
  const path = join(EXTERNAL, file);
  if (!existsSync(path)) return undefined;
  const lines = readFileSync(path, "utf-8").split("\n");
  const filled = lines.filter((line) => line.trim() !== "");
  const name = file.replace(/\..*/, "");
  return Array.from({ length: filled.length / linesEach }, (_, index) => ({
    id: `external/${name}#${index}`,
    value: filled.slice(index * linesEach, (index + 1) * linesEach).map(parsed),
  }));
}

/** A line is JSON, but for the side of text-unicode, which is a bare word. */
function parsed(line: string): unknown {
  return line === "left" || line === "right" ? line : JSON.parse(line);
}

const passed: string[] = [];

/** Runs every vector, notes those that pass, and fails with the first few of those that do not. */
export function each<T>(vectors: readonly Vector<T>[], run: (value: T) => void): void {
  const failures: string[] = [];
  for (const { id, value } of vectors) {
    try {
      run(value);
      passed.push(id);
    } catch (error) {
      failures.push(`${id}: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${vectors.length} failed\n${failures.slice(0, 5).join("\n")}`);
  }
}

export function writePassed(): void {
  const path = process.env["COSCRIBE_VECTOR_IDS"];
  if (path)
    writeFileSync(
      path,
      passed
        .sort()
        .map((id) => `${id}\n`)
        .join(""),
    );
}
