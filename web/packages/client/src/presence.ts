/**
 * Presence: who has the file open, and where their carets are in our text; and ours, for them.
 *
 * A caret comes with the version it refers to. It is carried to our text once, and from then on over every edit, ours
 * and theirs; one of a version that we do not have yet waits for it. Ours goes the other way whenever it is told: at
 * most every `CURSOR_MS`, the last one always, and none that the others can work out for themselves.
 */

import type { Clock } from "./clock.ts";
import { movePosition } from "./core/operation.ts";
import type { Applied, Replica } from "./replica.ts";
import type { Cursor, Role, SetPresence, Participant as WireParticipant } from "./wire/codec.ts";

const CURSOR_MS = 50;

/** Somebody who has the file open; the cursor is in UTF-16 units of our text. */
export interface Participant {
  readonly connectionId: string;
  readonly userId: string;
  readonly displayName: string;
  readonly color: string;
  readonly role: Role;
  readonly isSelf: boolean;
  readonly cursor: { readonly anchor: number; readonly head: number } | null;
}

interface Present {
  readonly wire: WireParticipant;
  /** In code points of our text; null: none is shown, or it is of a version that is still to come. */
  cursor: Cursor | null;
}

/** What presence needs of its document. `tell`: null while nobody listens to us. */
export interface Surroundings {
  readonly clock: Clock;
  readonly connectionId: string;
  readonly tell: ((message: SetPresence) => void) | null;
}

export class Presence {
  readonly #replica: Replica;
  readonly #around: Surroundings;
  readonly #changed: () => void;
  #present = new Map<string, Present>();
  #participants: ReadonlyMap<string, Participant> | null = null;
  #cursor: Cursor | null = null;
  #isDue = false;
  #toldAt = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;

  constructor(replica: Replica, around: Surroundings, changed: () => void) {
    this.#replica = replica;
    this.#around = around;
    this.#changed = changed;
  }

  /** By connection; another map after each change. */
  get participants(): ReadonlyMap<string, Participant> {
    this.#participants ??= new Map([...this.#present].map(([id, present]) => [id, this.#participant(present)]));
    return this.#participants;
  }

  // ---- ours

  /** Our selection, in code points of our text. */
  setCursor(cursor: Cursor): void {
    if (cursor.anchor === this.#cursor?.anchor && cursor.head === this.#cursor.head) return;
    this.#cursor = cursor;
    this.tell();
  }

  /** Our selection, in UTF-16 units of our text; null: nobody has said. */
  get cursor(): { readonly anchor: number; readonly head: number } | null {
    return this.#cursor === null ? null : this.#inUnits(this.#cursor);
  }

  /** Where we were the last time, at a version that the replica has; it counts unless we are somewhere by now. */
  comeBack(version: number, { anchor, head }: Cursor): void {
    if (this.#cursor !== null) return;
    const { userId } = this.#replica;
    const [from, to] = [anchor, head].map((at) => this.#replica.cursorToLocal(version, at, userId));
    if (from != null && to != null) this.#cursor = { anchor: from, head: to };
  }

  /** The text is another one: what we had selected is not there any more. */
  forgetCursor(): void {
    this.#cursor = null;
  }

  /** Tells the others where we are, soon. */
  tell(): void {
    if (this.#cursor === null) return;
    this.#isDue = true;
    if (this.#cancel !== null) return;
    const { clock } = this.#around;
    const wait = this.#toldAt + CURSOR_MS - clock.now();
    if (wait <= 0) this.#tell();
    else this.#cancel = clock.later(wait, () => this.#tell());
  }

  #tell(): void {
    const { clock, tell } = this.#around;
    this.#cancel = null;
    if (tell === null || this.#cursor === null || !this.#isDue) return;
    this.#isDue = false;
    this.#toldAt = clock.now();
    const replica = this.#replica;
    const anchor = replica.cursorToServer(this.#cursor.anchor);
    const head = replica.cursorToServer(this.#cursor.head);
    const { fileId, version: documentVersion } = replica;
    tell({ type: "setPresence", fileId, documentVersion, cursor: { anchor, head } });
  }

  // ---- theirs

  /** These, and nobody else, have the file open. */
  replace(participants: readonly WireParticipant[]): void {
    if (participants.length === 0 && this.#present.size === 0) return;
    this.#present = new Map(participants.map((wire) => [wire.connectionId, this.#placed(wire)]));
    this.#touch();
  }

  /** Somebody came or moved. */
  put(participant: WireParticipant): void {
    this.#present.set(participant.connectionId, this.#placed(participant));
    this.#touch();
  }

  remove(connectionId: string): void {
    this.#present.delete(connectionId);
    this.#touch();
  }

  /** Our text has changed by these, in turn: every caret goes along, with the inserts of its owner also at its place. */
  carry(applied: readonly Applied[]): void {
    for (const { operation, author } of applied) {
      const over = (cursor: Cursor, isOwn: boolean): Cursor => ({
        anchor: movePosition(cursor.anchor, operation, !isOwn),
        head: movePosition(cursor.head, operation, !isOwn),
      });
      if (this.#cursor !== null) this.#cursor = over(this.#cursor, author === "");
      for (const present of this.#present.values()) {
        const { connectionId, userId } = present.wire;
        const isOwn = author === "" ? connectionId === this.#around.connectionId : author === userId;
        if (present.cursor !== null) present.cursor = over(present.cursor, isOwn);
      }
    }
    if (applied.length > 0 && this.#present.size > 0) this.#touch();
  }

  /** The replica is at a later version: carets that waited for it may be placed now. */
  placeWaiting(): void {
    for (const [id, present] of this.#present) {
      if (present.cursor !== null || present.wire.cursor == null) continue;
      const placed = this.#placed(present.wire);
      if (placed.cursor === null) continue;
      this.#present.set(id, placed);
      this.#touch();
    }
  }

  #placed(wire: WireParticipant): Present {
    const { cursor, documentVersion, userId } = wire;
    if (cursor == null || documentVersion == null) return { wire, cursor: null };
    const anchor = this.#replica.cursorToLocal(documentVersion, cursor.anchor, userId);
    const head = this.#replica.cursorToLocal(documentVersion, cursor.head, userId);
    return { wire, cursor: anchor === null || head === null ? null : { anchor, head } };
  }

  #participant({ wire, cursor }: Present): Participant {
    const { connectionId, userId, displayName, color, role } = wire;
    return {
      ...{ connectionId, userId, displayName, color, role },
      isSelf: connectionId === this.#around.connectionId,
      cursor: cursor === null ? null : this.#inUnits(cursor),
    };
  }

  #inUnits({ anchor, head }: Cursor): { anchor: number; head: number } {
    const buffer = this.#replica.buffer;
    const place = (position: number) => buffer?.toUtf16(Math.min(position, buffer.lengthCodePoints)) ?? 0;
    return { anchor: place(anchor), head: place(head) };
  }

  #touch(): void {
    this.#participants = null;
    this.#changed();
  }
}
