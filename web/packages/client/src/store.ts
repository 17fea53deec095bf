/**
 * Store: what survives a reload. One record for each (account, file, series); a series is one open document, and its
 * next lives. A record has three parts, and one save writes what changed of them in one transaction:
 *
 *     base            the server's text at some sequence; null where it is not kept
 *     operations      committed behind the base, up to the lineage of the record
 *     record          what is pending on top: the frozen message byte for byte, what is in flight and queued; patches
 *
 * So base + operations + pending is the text to show, and `record.lineage` is what to join with. Without a base the
 * text comes from the server, and the pending edits are carried to it.
 */

import type { CodePointEdit } from "./core/operation.ts";
import type { Change } from "./core/tree.ts";
import type { Patch } from "./patch.ts";
import type { CommittedOperation, Lineage, Role } from "./wire/messages.ts";
import type { TreeEdit } from "./wire/tree_codec.ts";
import type { TreePatch } from "./workspace.ts";

/** What a record is found by. Nothing is ever sent as another account than the one it was made by. */
export interface RecordKey {
  readonly account: string;
  readonly fileId: string;
  readonly series: string;
}

/** A pending edit; positions in code points. `restores`: what an undo brings back, sequence 0 while that is pending. */
export interface StoredPending {
  readonly operationId: string;
  readonly change: readonly CodePointEdit[];
  readonly edits: number;
  readonly restores: readonly { readonly operationId: string; readonly sequence: number }[];
  readonly origin?: "paste";
}

/** A step of undo or redo: what it does, what it is about (sequence 0 while that is pending), and what others have done
 * since. */
export interface StoredStep {
  readonly change: readonly CodePointEdit[];
  readonly of: readonly { readonly operationId: string; readonly sequence: number }[];
  readonly foreign: readonly (readonly CodePointEdit[])[];
}

/** As of the record's lineage, with what is pending on top; the oldest step first. */
export interface StoredUndo {
  readonly undo: readonly StoredStep[];
  readonly redo: readonly StoredStep[];
}

/** A change of a tree that can be undone or redone, and what it came to. */
export interface StoredTreeStep {
  readonly operationId: string;
  readonly sequence: number;
  readonly changes: readonly Change[];
}

/** Likewise; nothing in it refers to a point of the log. */
export interface StoredTreeUndo {
  readonly incarnation: string;
  readonly done: readonly StoredTreeStep[];
  readonly undone: readonly StoredTreeStep[];
}

export interface StoredRecord extends RecordKey {
  /** When it was saved, in milliseconds. */
  readonly savedAt: number;
  readonly role: Role;
  readonly version: number;
  readonly lineage: Lineage;
  readonly message: string;
  readonly inFlight: readonly StoredPending[];
  readonly queue: readonly StoredPending[];
  readonly patches: readonly Patch[];
  /** What can be undone: JSON of `StoredUndo`, or of `StoredTreeUndo`, for a string is stored many times faster than what
   * it says. */
  readonly undo?: string;
  /** Of the tree of a workspace, instead of `inFlight`, `queue` and `patches`. */
  readonly tree?: StoredTree;
}

/** A pending change of a tree, as its edits are on the wire; likewise. */
export interface StoredChange {
  readonly operationId: string;
  readonly edits: readonly TreeEdit[];
  readonly restores: { readonly operationId: string; readonly sequence: number } | null;
}

export interface StoredTree {
  readonly inFlight: StoredChange | null;
  readonly queue: readonly StoredChange[];
  readonly patches: readonly TreePatch[];
}

/** The server's text at a version and a place of its log. */
export interface StoredBase {
  readonly text: string;
  readonly version: number;
  readonly lineage: Lineage;
}

export interface StoredFile {
  readonly record: StoredRecord;
  readonly base: StoredBase | null;
  readonly operations: readonly CommittedOperation[];
}

/** `base`: a new one, with which the operations before it go; null drops both; left out, it stays. `operations` are
 * added behind those that are there. */
export interface Save {
  readonly record: StoredRecord;
  readonly base?: StoredBase | null;
  readonly operations: readonly CommittedOperation[];
}

/** Whatever is refused (no room, a private window) rejects, and leaves what was there. */
export interface Store {
  /** All records of an account, in no order. */
  list(account: string): Promise<StoredRecord[]>;
  load(key: RecordKey): Promise<StoredFile | null>;
  /** All of it or nothing. */
  save(save: Save): Promise<void>;
  delete(key: RecordKey): Promise<void>;
}

/** A store that is gone with the process. Values are copied, as by any other store. */
export class MemoryStore implements Store {
  readonly #files = new Map<string, StoredFile>();

  async list(account: string): Promise<StoredRecord[]> {
    const records = [...this.#files.values()].map((file) => file.record);
    return structuredClone(records.filter((record) => record.account === account));
  }

  async load(key: RecordKey): Promise<StoredFile | null> {
    return structuredClone(this.#files.get(nameOf(key)) ?? null);
  }

  async save({ record, base, operations }: Save): Promise<void> {
    const before = base === undefined ? this.#files.get(nameOf(record)) : undefined;
    this.#files.set(
      nameOf(record),
      structuredClone({
        record,
        base: base ?? before?.base ?? null,
        operations: [...(before?.operations ?? []), ...operations],
      }),
    );
  }

  async delete(key: RecordKey): Promise<void> {
    this.#files.delete(nameOf(key));
  }
}

/** One string for a record's key. */
export function nameOf({ account, fileId, series }: RecordKey): string {
  return JSON.stringify([account, fileId, series]);
}
