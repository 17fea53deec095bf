/**
 * Files from this device into a workspace, byte for byte, whatever is in them. Folders are made in the tree; then the files
 * are sent a few at a time, each by its path as that is by then. What is there already is asked about once, before anything
 * is sent. What is refused is named with the reason, and the others go on.
 */

import type { Workspace } from "@coscribe/client";
import { Problem, textOf } from "../api/problem";
import { newKey } from "../api/request";
import { wordsOf } from "./acts";
import { folderIn, nameIn } from "./address";
import * as api from "./api";
import type { Gathered, Picked } from "./gathering";
import { TOP } from "./outline";

const AT_ONCE = 3;
/** How often a file waits for a server that wants to hear less. */
const MOST_WAITS = 20;
/** Names of one file that are tried when both are to be kept. */
const MOST_NAMES = 100;

/** What becomes of files that are there already; "": nothing is uploaded. */
export type Answer = "replace" | "both" | "skip" | "";

export interface Uploading {
  readonly files: number;
  readonly finished: number;
  readonly bytes: number;
  readonly sent: number;
  readonly made: number;
  readonly skipped: number;
  readonly refused: readonly string[];
  readonly isOver: boolean;
}

/** What it needs of a workspace. */
export type UploadTarget = Pick<Workspace, "workspaceId" | "path" | "find" | "node" | "mkdir" | "synced">;

/** What carries the bytes. */
export type Carrier = Pick<typeof api, "putFile" | "tagOf">;

interface Planned extends Picked {
  readonly folderId: string;
  readonly name: string;
  readonly isThere: boolean;
}

export class Uploads {
  readonly #workspace: UploadTarget;
  readonly #ask: (paths: readonly string[]) => Promise<Answer>;
  readonly #carrier: Carrier;
  readonly #listeners = new Set<() => void>();
  #state: Uploading | null = null;
  #abort = new AbortController();
  #sent = new Map<Picked, number>();

  /** `ask` gets the paths of what is there already. */
  constructor(workspace: UploadTarget, ask: (paths: readonly string[]) => Promise<Answer>, carrier: Carrier = api) {
    this.#workspace = workspace;
    this.#ask = ask;
    this.#carrier = carrier;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** null: there is nothing to tell. */
  readonly state = (): Uploading | null => this.#state;

  /** One after the other: what comes meanwhile is refused with `RangeError`. Errors: those of `Workspace.synced`. */
  async begin(folderId: string, gathered: Gathered): Promise<void> {
    if (this.#state?.isOver === false) throw new RangeError("an upload is under way");
    this.#abort = new AbortController();
    this.#sent = new Map();
    this.#state = {
      files: gathered.files.length,
      finished: 0,
      bytes: gathered.files.reduce((sum, { file }) => sum + file.size, 0),
      sent: 0,
      made: 0,
      skipped: 0,
      refused: gathered.refused,
      isOver: false,
    };
    this.#set({});
    const hold = (event: Event) => event.preventDefault(); // the browser asks before the page goes
    addEventListener("beforeunload", hold);
    try {
      for (const path of gathered.folders) this.#folder(folderId, path);
      const planned = this.#plan(folderId, gathered.files);
      await Promise.race([this.#workspace.synced(), this.#cancelled()]); // a file goes into a folder that the server has
      const there = planned.filter(({ isThere }) => isThere);
      const answer = there.length === 0 ? "both" : await this.#ask(there.map(({ path }) => path));
      if (answer === "") this.#abort.abort();
      const left = [...planned];
      const work = async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) await this.#one(next, answer);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, work));
    } finally {
      removeEventListener("beforeunload", hold);
      this.#set({ isOver: true });
    }
  }

  /** What is on its way is given up, what is there stays. */
  cancel(): void {
    this.#abort.abort();
  }

  dismiss(): void {
    if (this.#state?.isOver === false) return;
    this.#state = null;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Makes the folders that are missing. */
  #plan(folderId: string, files: readonly Picked[]): Planned[] {
    const planned: Planned[] = [];
    const folders = new Map<string, string | null>();
    for (const picked of files) {
      const above = folderIn(picked.path);
      if (!folders.has(above)) folders.set(above, this.#folder(folderId, above));
      const inside = folders.get(above) ?? null;
      if (inside === null) {
        this.#refuse(picked, "its folder cannot be made");
        continue;
      }
      const name = nameIn(picked.path);
      const there = this.#workspace.find(this.#join(inside, name));
      if (there !== null && this.#workspace.node(there)?.kind === "directory") {
        this.#refuse(picked, "a folder has that name");
        continue;
      }
      planned.push({ ...picked, folderId: inside, name, isThere: there !== null });
    }
    return planned;
  }

  /** The id of a folder below another one; null: it cannot be made, and that has been told. */
  #folder(folderId: string, path: string): string | null {
    let at = folderId;
    for (const name of path.split("/").filter((name) => name !== "")) {
      const found = this.#workspace.find(this.#join(at, name));
      if (found !== null && this.#workspace.node(found)?.kind !== "directory") {
        this.#tell(`${path}: a file has the name of that folder`);
        return null;
      }
      try {
        at = found ?? this.#workspace.mkdir(name, at);
      } catch (error) {
        this.#tell(`${path}: ${wordsOf(error)}`);
        return null;
      }
    }
    return at;
  }

  async #one(planned: Planned, answer: Answer): Promise<void> {
    if (this.#abort.signal.aborted || (planned.isThere && answer === "skip")) {
      this.#finish(planned, { skipped: (this.#state?.skipped ?? 0) + 1 });
      return;
    }
    try {
      await planned.file.slice(0, 1).arrayBuffer();
    } catch {
      this.#refuse(planned, "it cannot be read: it has moved, or is a folder");
      return;
    }
    try {
      if (planned.isThere && answer === "replace") await this.#replace(planned);
      else await this.#make(planned);
      this.#finish(planned, { made: (this.#state?.made ?? 0) + 1 });
    } catch (error) {
      if (this.#abort.signal.aborted) this.#finish(planned, { skipped: (this.#state?.skipped ?? 0) + 1 });
      else this.#refuse(planned, reasonOf(error));
    }
  }

  #cancelled(): Promise<void> {
    return new Promise((resolve) => this.#abort.signal.addEventListener("abort", () => resolve()));
  }

  async #replace(planned: Planned): Promise<void> {
    const path = this.#join(planned.folderId, planned.name);
    const base = await this.#carrier.tagOf(this.#workspace.workspaceId, path, this.#abort.signal);
    await this.#put(planned, path, base);
  }

  /** By the first name that is free. */
  async #make(planned: Planned): Promise<void> {
    for (let number = 1; ; number++) {
      const name = number === 1 ? planned.name : numbered(planned.name, number);
      const path = this.#join(planned.folderId, name);
      if (number > 1 && number < MOST_NAMES && this.#workspace.find(path) !== null) continue;
      if (number === 1 && planned.isThere) continue;
      try {
        await this.#put(planned, path, null);
        return;
      } catch (error) {
        if (!(error instanceof Problem && error.code === "conflict") || number >= MOST_NAMES) throw error;
      }
    }
  }

  async #put(planned: Planned, path: string, base: string | null): Promise<void> {
    const once = newKey();
    const sent = (bytes: number) => {
      this.#sent.set(planned, bytes);
      this.#set({});
    };
    for (let waits = 0; ; waits++) {
      try {
        await this.#carrier.putFile(this.#workspace.workspaceId, path, planned.file, {
          base,
          once,
          sent,
          signal: this.#abort.signal,
        });
        return;
      } catch (error) {
        if (!(error instanceof Problem && error.status === 429) || waits === MOST_WAITS) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1_000 * error.retryAfter));
      }
    }
  }

  #join(folderId: string, path: string): string {
    const above = folderId === TOP ? "" : (this.#workspace.path(folderId) ?? "");
    return above === "" ? path : `${above}/${path}`;
  }

  #refuse(picked: Picked, reason: string): void {
    this.#tell(`${picked.path}: ${reason}`);
    this.#finish(picked, {});
  }

  #finish(picked: Picked, change: Partial<Uploading>): void {
    this.#sent.set(picked, picked.file.size);
    this.#set({ ...change, finished: (this.#state?.finished ?? 0) + 1 });
  }

  #tell(refused: string): void {
    this.#set({ refused: [...(this.#state?.refused ?? []), refused] });
  }

  #set(change: Partial<Uploading>): void {
    if (this.#state === null) return;
    const sent = [...this.#sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#state = { ...this.#state, ...change, sent: Math.min(sent, this.#state.bytes) };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** As the server numbers names that are taken. */
function numbered(name: string, number: number): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)} (${number})${name.slice(dot)}` : `${name} (${number})`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Problem)) return textOf(error);
  const most = error.code === "file_too_large" ? /at most (\d+)/.exec(error.detail)?.[1] : undefined;
  if (most !== undefined) return `it is larger than ${sizeText(Number(most))}, the most that a file may have here`;
  if (error.code === "precondition_failed") return "somebody has changed it in this moment: upload it again";
  return error.text;
}

/** Bytes, as people say them. */
export function sizeText(bytes: number): string {
  const units = ["bytes", "KB", "MB", "GB"];
  let size = bytes;
  let unit = 0;
  for (; Math.round(size) >= 1_000 && unit < units.length - 1; unit++) size /= 1_000;
  const shown = unit === 0 || size >= 100 ? Math.round(size) : Math.round(size * 10) / 10;
  return `${shown} ${bytes === 1 ? "byte" : units[unit]}`;
}
