/** The JSON notation of trees and operations on them (see contract/conformance/tree.json), to and from the core's values. */

import { type AnyErrorCode, CoscribeError } from "../../src/core/errors.ts";
import type { Kind, NodeState, Tree, TreeOperation, Why } from "../../src/core/tree.ts";

interface JsonContent {
  readonly kind: Kind;
  readonly content?: string;
}

interface JsonProperties {
  readonly properties?: Readonly<Record<string, string>>;
}

export type JsonTreeOperation =
  | ({ do: "create"; id: string; in: string; name: string; exact?: boolean } & JsonContent & JsonProperties)
  | { do: "move"; id: string; to?: string; name?: string; replaces?: string; exact?: boolean }
  | { do: "delete"; id: string }
  | { do: "restore"; id: string; to?: string; name?: string }
  | ({ do: "put"; id: string } & JsonContent)
  | { do: "set"; id: string; key: string; value: string }
  | { do: "purge"; ids: string[] };

export type JsonTree = Readonly<
  Record<string, { in: string; name: string; trashed?: boolean } & JsonContent & JsonProperties>
>;

export type JsonNotes = readonly (readonly [fileId: string, why: Why])[];

export function decodeTreeOperation(operation: JsonTreeOperation): TreeOperation {
  switch (operation.do) {
    case "create": {
      const { do: verb, id: fileId, in: parentId, properties = {}, ...more } = operation;
      return { verb, fileId, parentId, properties: Object.entries(properties), ...more };
    }
    case "move": {
      const { do: verb, id: fileId, to: parentId, ...more } = operation;
      return { verb, fileId, parentId, ...more };
    }
    case "restore": {
      const { do: verb, id: fileId, to: parentId, name } = operation;
      return { verb, fileId, parentId, name };
    }
    case "put": {
      const { do: verb, id: fileId, ...more } = operation;
      return { verb, fileId, ...more };
    }
    case "set": {
      const { do: verb, id: fileId, ...more } = operation;
      return { verb, fileId, ...more };
    }
    case "delete":
      return { verb: "delete", fileId: operation.id };
    case "purge":
      return { verb: "purge", fileIds: operation.ids };
  }
}

/** What came of operations that are a unit: the notes, or the code of the refusal. */
export function attempt(
  tree: Tree,
  ...operations: readonly JsonTreeOperation[]
): { notes?: JsonNotes; refused?: AnyErrorCode } {
  try {
    const { notes } = tree.apply(operations.map(decodeTreeOperation));
    return { notes: notes.map(({ fileId, why }) => [fileId, why]) };
  } catch (error) {
    if (error instanceof CoscribeError) return { refused: error.code };
    throw error;
  }
}

/** The tree as the vectors have it. */
export function rows(tree: Tree): JsonTree {
  return Object.fromEntries(Array.from(tree.below(""), (fileId) => [fileId, row(tree.state(fileId))]));
}

function row({ parentId, name, kind, trashed, content, properties }: NodeState): JsonTree[string] {
  return {
    in: parentId,
    name,
    kind,
    ...(trashed ? { trashed } : {}),
    ...(content === "" ? {} : { content }),
    ...(properties.length === 0 ? {} : { properties: Object.fromEntries(properties) }),
  };
}
