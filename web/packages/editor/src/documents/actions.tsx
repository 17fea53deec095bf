/** What one may do with a document, by role and state. */

import {
  createDocument,
  createWorkspace,
  deleteForGood,
  duplicateDocument,
  exportDocument,
  leaveDocument,
  renameDocument,
  setStatus,
} from "../api/documents";
import type { DocumentRow } from "../api/models";
import { askForText, confirm } from "../parts/dialogs";
import { download } from "../parts/download";
import type { RowAction } from "../parts/row_menu";
import { say } from "../shell/say";

interface Around {
  open: (made: DocumentRow) => void;
  refresh: () => Promise<unknown>;
  /** An administrator may, without a role. */
  isManager?: boolean;
}

export function documentActions(item: DocumentRow, { open, refresh, isManager }: Around): RowAction[] {
  const { documentId, kind, name, status, role } = item;
  const actions: RowAction[] = [];
  const set = (what: "archive" | "trash" | "restore", told: string) => async () => {
    await setStatus(documentId, what);
    await refresh();
    say(told);
  };
  if (status === "active" && (role === "owner" || role === "editor")) {
    actions.push({ text: "Rename", action: () => rename(item, refresh) });
  }
  if (status !== "trashed" && role && kind !== "workspace") {
    actions.push({
      text: "Duplicate",
      action: async () => open(await duplicateDocument(documentId)),
    });
    actions.push({ text: "Export", action: () => exportOne(documentId) });
  }
  if (isManager ?? role === "owner") {
    if (status === "active") {
      const told = "Archived: everybody can read it, nobody can edit it.";
      actions.push({ text: "Archive", action: set("archive", told) });
    }
    if (status !== "active") actions.push({ text: "Restore", action: set("restore", "Restored.") });
    if (status !== "trashed") actions.push({ text: "Move to trash", action: set("trash", "Moved to the trash.") });
    if (status === "trashed") {
      actions.push({ text: "Delete for good", action: () => remove(item, refresh), isDangerous: true });
    }
  } else if (role) {
    actions.push({
      text: "Leave",
      action: async () => {
        const text = `You will not see “${name}” any more, until somebody lets you in again.`;
        if (!(await confirm(`Leave this ${kind === "workspace" ? "workspace" : "document"}?`, text, "Leave"))) return;
        await leaveDocument(documentId);
        await refresh();
        say(`You have left “${name}”.`);
      },
    });
  }
  return actions;
}

/** Asks for a name and opens what was made. */
export async function makeDocument(open: (made: DocumentRow) => void): Promise<void> {
  await askForText("New document", { label: "Name", value: "Untitled", submit: "Create" }, async (name) => {
    open(await createDocument(name));
  });
}

/** Likewise a tree of files. */
export async function makeWorkspace(open: (made: DocumentRow) => void): Promise<void> {
  await askForText("New workspace", { label: "Name", value: "Untitled", submit: "Create" }, async (name) => {
    open(await createWorkspace(name));
  });
}

export async function rename(
  item: Pick<DocumentRow, "documentId" | "name">,
  done: (name: string) => Promise<unknown>,
): Promise<void> {
  await askForText("Rename", { label: "Name", value: item.name, submit: "Rename" }, async (name) => {
    await renameDocument(item.documentId, name);
    await done(name);
  });
}

export async function exportOne(documentId: string): Promise<void> {
  const { blob, name } = await exportDocument(documentId);
  download(blob, name);
}

async function remove(item: DocumentRow, refresh: () => Promise<unknown>): Promise<void> {
  const text = `“${item.name}” goes with its whole history, for everybody. This cannot be taken back.`;
  if (!(await confirm("Delete for good?", text, "Delete for good"))) return;
  await deleteForGood(item.documentId);
  await refresh();
  say("Deleted.");
}
