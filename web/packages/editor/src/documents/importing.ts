/**
 * Many files made into documents, a few at a time. Every file has a result of its own; one that is sent again, because
 * nobody knew what became of it, is sent with the key it had and makes no second document.
 */

import { importDocument } from "../api/documents";
import { Problem, textOf } from "../api/problem";
import { newKey } from "../api/request";

export interface Import {
  key: string;
  file: File;
  state: "waiting" | "sending" | "done" | "refused";
  /** Of what was made. */
  documentId: string;
  /** Why it was refused. */
  reason: string;
  /** Whether the same file may do better at another time. */
  isWorthAgain: boolean;
}

export const MAX_FILES = 500;
const AT_ONCE = 2;
const MAX_WAIT = 30;

/** What was chosen or dropped, before anything is sent. Files beyond `MAX_FILES` are refused. */
export function plan(files: readonly File[]): Import[] {
  return files.map((file, index) => ({
    key: newKey(),
    file,
    state: index < MAX_FILES ? "waiting" : "refused",
    documentId: "",
    reason: index < MAX_FILES ? "" : `At most ${MAX_FILES} files at a time.`,
    isWorthAgain: index >= MAX_FILES,
  }));
}

/** Sends what waits; `changed` is called with each import that became another one. Resolves when none waits. */
export async function runImports(imports: readonly Import[], changed: (next: Import) => void): Promise<void> {
  const queue = imports.filter((each) => each.state === "waiting");
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      changed({ ...next, state: "sending" });
      changed(await sendOne(next));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function sendOne(item: Import): Promise<Import> {
  try {
    const text = await readable(item.file);
    const { documentId } = await patiently(() => importDocument(item.file.name, text, item.key));
    return { ...item, state: "done", documentId };
  } catch (error) {
    const isWorthAgain = !(error instanceof Problem) || error.isUncertain || error.status === 429;
    return { ...item, state: "refused", reason: textOf(error), isWorthAgain };
  }
}

/** Folders come as files too, and cannot be read. */
async function readable(file: File): Promise<ArrayBuffer> {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Problem(400, { title: "This cannot be read: a folder, or a file that has moved", retry: "never" });
  }
}

/** Waits as long as the server asks for, once. */
async function patiently<Answer>(request: () => Promise<Answer>): Promise<Answer> {
  try {
    return await request();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 429) throw error;
    await new Promise((resolve) => setTimeout(resolve, Math.min(error.retryAfter, MAX_WAIT) * 1_000));
    return request();
  }
}
