/** What can be done with the tree. It is done at once; what cannot be done is said. */

import { CoscribeError, type Note, type Workspace } from "@coscribe/client";
import { textOf } from "../api/problem";
import { askForText } from "../parts/dialogs";
import { say } from "../shell/say";
import { nameIn } from "./address";
import { downloadAddress, folderArchiveAddress } from "./api";
import { wayBack } from "./doings";
import { TOP } from "./outline";

/** Does something with the tree, or says why not. Undefined: it was not done. */
export function act<Made>(action: () => Made): Made | undefined {
  try {
    return action();
  } catch (error) {
    say(wordsOf(error));
    return undefined;
  }
}

export function wordsOf(error: unknown): string {
  if (error instanceof RangeError) return "The files are not known yet: try again when the server has answered.";
  if (!(error instanceof CoscribeError)) return textOf(error);
  const detail = error.detail || error.code;
  return `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`;
}

/** What came of a change, where that is not what was asked. */
export function noteText(workspace: Workspace, { fileId, why }: Note): string {
  const name = nameIn(workspace.path(fileId) ?? "");
  switch (why) {
    case "numbered":
      return `The name was taken: it is “${name}” now.`;
    case "trashed_folder":
      return `Its folder was deleted meanwhile: “${name}” is in the trash with it, or stays where it was.`;
    case "cycle":
      return `“${name}” stays where it is: a folder cannot be inside itself.`;
    case "too_deep":
      return `“${name}” stays where it is: folders would be too deep.`;
    case "already":
      return `Somebody else has done that with “${name}” already.`;
    case "moved_up":
      return `The folder of “${name}” is not there any more: it is at ${workspace.path(fileId)} now.`;
    case "kept":
      return "Something in there is kept.";
  }
}

/** The folder that something new goes into: the node itself if it is one, else the one it is in. */
export function folderFor(workspace: Workspace, fileId: string): string {
  const node = fileId === TOP ? null : workspace.node(fileId);
  if (node === null) return TOP;
  return node.kind === "directory" ? fileId : node.parentId;
}

/** Says what was done last, and offers the way back: of this very change, whatever is done meanwhile. */
function tellDone(workspace: Workspace, text: string): void {
  const change = workspace.latest;
  say(text, { label: "Undo", action: () => takeBack(workspace, change) });
}

/** By default the latest. */
export function takeBack(workspace: Workspace, change = ""): void {
  act(() => say(workspace.undo(change) ? "Undone." : "There is nothing to undo."));
}

export function doAgain(workspace: Workspace): void {
  act(() => say(workspace.redo() ? "Done again." : "There is nothing to do again."));
}

export function remove(workspace: Workspace, fileId: string): void {
  const name = nameIn(workspace.path(fileId) ?? "");
  act(() => {
    workspace.remove(fileId);
    tellDone(workspace, `“${name}” is in the trash.`);
  });
}

export function rename(workspace: Workspace, fileId: string, name: string): void {
  const before = nameIn(workspace.path(fileId) ?? "");
  act(() => {
    workspace.move(fileId, { name });
    tellDone(workspace, `“${before}” is “${nameIn(workspace.path(fileId) ?? "")}” now.`);
  });
}

export function putBack(workspace: Workspace, fileId: string): void {
  act(() => {
    for (const each of wayBack(workspace, fileId)) workspace.restore(each);
    tellDone(workspace, `“${workspace.path(fileId)}” is back.`);
  });
}

/** Into a folder; nothing where it is there already, or is that folder. */
export function moveInto(workspace: Workspace, fileId: string, folderId: string): void {
  if (fileId === folderId || workspace.node(fileId)?.parentId === folderId) return;
  act(() => {
    workspace.move(fileId, { folderId });
    tellDone(workspace, `It is at ${workspace.path(fileId)} now.`);
  });
}

/** As by dragging, for whoever does not drag. */
export async function askWhere(workspace: Workspace, fileId: string): Promise<void> {
  const path = workspace.path(fileId) ?? "";
  await askForText("Move or rename", { label: "Path", value: path, submit: "Move" }, async (wanted) => {
    const clean = wanted.replace(/^\/+|\/+$/g, "");
    const folder = clean.slice(0, Math.max(0, clean.lastIndexOf("/")));
    const folderId = folder === "" ? TOP : workspace.find(folder);
    if (folderId === null || (folderId !== TOP && workspace.node(folderId)?.kind !== "directory")) {
      throw new RangeError(`there is no folder “${folder}”`);
    }
    workspace.move(fileId, { folderId, name: nameIn(clean) });
    tellDone(workspace, `It is at ${workspace.path(fileId)} now.`);
  });
}

/** A file as it is on the server; a folder as a zip file. */
export function download(workspace: Workspace, fileId: string): void {
  const path = workspace.path(fileId) ?? "";
  const isFolder = workspace.node(fileId)?.kind === "directory";
  const link = document.createElement("a");
  link.href = isFolder
    ? folderArchiveAddress(workspace.workspaceId, path)
    : downloadAddress(workspace.workspaceId, path);
  link.download = isFolder ? `${nameIn(path)}.zip` : nameIn(path);
  link.click();
}
