/** The names of documents that were opened here, for when the server cannot be asked. */

const KEY = "coscribe.names";
const MOST = 200;

export function keepName(documentId: string, name: string): void {
  const others = read().filter(([id]) => id !== documentId);
  try {
    localStorage.setItem(KEY, JSON.stringify([[documentId, name], ...others].slice(0, MOST)));
  } catch {
    return; // only a help
  }
}

export function keptName(documentId: string): string | undefined {
  return read().find(([id]) => id === documentId)?.[1];
}

/** On signing out: names tell something too. */
export function forgetNames(): void {
  try {
    localStorage.removeItem(KEY);
  } catch {
    return;
  }
}

function read(): [documentId: string, name: string][] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
