/** Where a workspace is shown: at the file that is open in it, by its id, which stays when the file is renamed. */

export function addressOfWorkspace(workspaceId: string, fileId = ""): string {
  const file = fileId === "" ? "" : `?${new URLSearchParams({ file: fileId })}`;
  return `/w/${encodeURIComponent(workspaceId)}${file}`;
}

/** The file that was gone to last ("": none). The address changes at once with a choice, before anything is drawn. */
export function fileInAddress(): string {
  return new URLSearchParams(window.location.search).get("file") ?? "";
}

/** The last name of a path. */
export function nameIn(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The folder that a path is in; "": the top. */
export function folderIn(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
