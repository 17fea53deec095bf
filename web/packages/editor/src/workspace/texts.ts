/** The texts of the open tabs: each is a document of the client, all of them over its one connection. */

import type { Document, Workspace } from "@coscribe/client";

export class Texts {
  readonly #workspace: Workspace;
  readonly #listeners = new Set<() => void>();
  #open: ReadonlyMap<string, Document> = new Map();

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** By file; another map after each change. */
  readonly open = (): ReadonlyMap<string, Document> => this.#open;

  /** Opens what is to be open, and closes all else. What is unsent of that stays on the device. */
  show(fileIds: readonly string[]): void {
    const next = new Map<string, Document>();
    for (const fileId of fileIds) {
      if (this.#isText(fileId)) next.set(fileId, this.#open.get(fileId) ?? this.#workspace.open(fileId));
    }
    const isSame = next.size === this.#open.size && [...next.keys()].every((fileId) => this.#open.has(fileId));
    if (isSame) return;
    for (const [fileId, document] of this.#open) if (!next.has(fileId)) void document.close();
    this.#open = next;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Anew, where the text has ended: it was another kind of file meanwhile, or there was no access. */
  again(fileId: string): void {
    const shown = [...this.#open.keys()];
    this.show(shown.filter((each) => each !== fileId));
    this.show(shown);
  }

  /** Whatever is not known to be something else: without a connection there is no tree to ask. */
  #isText(fileId: string): boolean {
    const node = this.#workspace.node(fileId);
    return node === null || node.kind === "text";
  }
}
