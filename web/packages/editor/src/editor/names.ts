/** The names of documents, workspaces and files in them that were opened here, for when the server cannot be asked. */

const KEY = "coscribe.names";
const MOST = 200;

/** `workspaceId`: what it is in, or is itself. */
export function keepName(documentId: string, name: string, workspaceId = ""): void {
  const others = read().filter(([id]) => id !== documentId);
  const kept = workspaceId === "" ? [documentId, name] : [documentId, name, workspaceId];
  try {
    localStorage.setItem(KEY, JSON.stringify([kept, ...others].slice(0, MOST)));
  } catch {
    return; // only a help
  }
}

export function keptName(documentId: string): string | undefined {
  return read().find(([id]) => id === documentId)?.[1];
}

/** "": it is in none. */
export function keptWorkspace(documentId: string): string {
  return read().find(([id]) => id === documentId)?.[2] ?? "";
}

/** On signing out: names tell something too. */
export function forgetNames(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    return;
  }
}

function read(): [documentId: string, name: string, workspaceId?: string][] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
