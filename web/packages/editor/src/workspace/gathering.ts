/** What somebody has dropped or chosen, folders with all that is in them, before any of it is uploaded. */

import { nameIn } from "./address";

export const MAX_FILES = 2_000;

export interface Picked {
  /** Where it goes, below the folder that it is dropped on. */
  readonly path: string;
  readonly file: File;
}

export interface Gathered {
  readonly files: readonly Picked[];
  /** Folders with nothing in them, which are made all the same. */
  readonly folders: readonly string[];
  /** What cannot be taken, each with the reason. */
  readonly refused: readonly string[];
}

/** By an input; one for folders says where in it each file is. */
export function gatherChosen(files: readonly File[]): Gathered {
  const found = new Gathering();
  for (const file of files) found.add(file.webkitRelativePath || file.name, file);
  return found;
}

/** What is on its way with a drop: called in its event, for nothing of it can be read later. */
export function gatherDropped(dropped: DataTransfer): Promise<Gathered> {
  const items = [...dropped.items].filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry());
  if (!entries.every((entry) => entry !== null)) return Promise.resolve(gatherChosen([...dropped.files]));
  return walk(entries);
}

class Gathering implements Gathered {
  readonly files: Picked[] = [];
  readonly folders: string[] = [];
  readonly refused: string[] = [];
  #beyond = 0;

  add(path: string, file: File): void {
    if (this.files.length < MAX_FILES) this.files.push({ path, file });
    else if (this.#beyond++ === 0) this.refused.push(`Everything behind the first ${MAX_FILES.toLocaleString()} files`);
  }

  get isFull(): boolean {
    return this.#beyond > 0;
  }
}

async function walk(entries: readonly FileSystemEntry[]): Promise<Gathered> {
  const found = new Gathering();
  const waiting = [...entries].reverse();
  for (let entry = waiting.pop(); entry !== undefined && !found.isFull; entry = waiting.pop()) {
    const path = entry.fullPath.replace(/^\/+/, "");
    try {
      if (isFolder(entry)) {
        const inside = await listed(entry);
        if (inside.length === 0) found.folders.push(path);
        waiting.push(...inside.reverse());
      } else found.add(path, await fileOf(entry as FileSystemFileEntry));
    } catch {
      found.refused.push(`${nameIn(path)}: it cannot be read`);
    }
  }
  return found;
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

/** A reader answers with a hundred at a time, and with none in the end. */
async function listed(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const more = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (more.length === 0) return found;
    found.push(...more);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}
