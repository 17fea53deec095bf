/**
 * Between the wire's form of a tree and the core's. On the wire the folder that everything is in has the workspace's own
 * id; in the core it is "". Of a new file the id is not said: it follows from the operation that makes it.
 */

import {
  type TreeOperation as CoreOperation,
  type Effect,
  type Kind,
  type NodeState,
  nodeId,
  ROOT,
} from "../core/tree.ts";
import type { TreeEntry, TreeNode, TreeOperation } from "./messages.ts";

/** One operation on a tree, as it is said on the wire. */
export type TreeEdit = TreeOperation["operations"][number];

/** The core's form of what an operation asks for. Whether it is in order is for the tree to say. */
export function coreOperations(workspaceId: string, operationId: string, edits: readonly TreeEdit[]): CoreOperation[] {
  return edits.map((edit, place) => coreOperation(edit, workspaceId, () => nodeId(workspaceId, operationId, place)));
}

function coreOperation(edit: TreeEdit, root: string, newId: () => string): CoreOperation {
  switch (edit.verb) {
    case "create": {
      const { parentId, name, kind, content = "", properties = {}, exact = false } = edit;
      const pairs = Object.entries(properties);
      const place = { fileId: newId(), parentId: inside(parentId, root) };
      return { verb: "create", ...place, name, kind: kind as Kind, content, properties: pairs, exact };
    }
    case "move": {
      const { fileId, parentId, name, replaces = "", exact = false } = edit;
      return { verb: "move", fileId, ...where(parentId, name, root), replaces, exact };
    }
    case "restore":
      return { verb: "restore", fileId: edit.fileId, ...where(edit.parentId, edit.name, root) };
    case "put":
      return { verb: "put", fileId: edit.fileId, kind: edit.kind as Kind, content: edit.content ?? "" };
    default:
      return edit;
  }
}

function where(
  parentId: string | null | undefined,
  name: string | null | undefined,
  root: string,
): { parentId?: string; name?: string } {
  return {
    ...(parentId == null ? {} : { parentId: inside(parentId, root) }),
    ...(name == null ? {} : { name }),
  };
}

/** The wire's form of an operation that makes no file: those that undo one make none. */
export function wireEdit(operation: CoreOperation, root: string): TreeEdit {
  switch (operation.verb) {
    case "create":
      throw new TypeError("what makes a file is made by its author");
    case "move":
    case "restore": {
      const { verb, fileId, parentId, name } = operation;
      const place = parentId === undefined ? {} : { parentId: parentId || root };
      return { verb, fileId, ...place, ...(name === undefined ? {} : { name }) };
    }
    case "purge":
      return { verb: "purge", fileIds: [...operation.fileIds] };
    default:
      return operation;
  }
}

/** What became of a tree, as it is taken in. */
export function effectOf(entry: TreeEntry, root: string): Effect {
  const state = (node: TreeNode | null) => (node === null ? null : stateOf(node, root));
  const changes = entry.changes.map(({ fileId, before, after }) => {
    return { fileId, before: state(before), after: state(after) };
  });
  return { changes, notes: [] };
}

/** The core's form of a node. */
export function stateOf(node: TreeNode, root: string): NodeState {
  const { parentId, name, kind, trashed = false, content = "", properties = {} } = node;
  const pairs = Object.entries(properties).sort(([one], [other]) => (one < other ? -1 : 1));
  return { parentId: inside(parentId, root), name, kind: kind as Kind, trashed, content, properties: pairs };
}

function inside(fileId: string, root: string): string {
  return fileId === root ? ROOT : fileId;
}

/** The ids of the files that an operation makes. */
export function madeBy(workspaceId: string, operationId: string, edits: readonly TreeEdit[]): string[] {
  return edits.flatMap((edit, place) => (edit.verb === "create" ? [nodeId(workspaceId, operationId, place)] : []));
}
