/**
 * Several people, each with a device, type into one file over links that break, delay, repeat and skip; their pages
 * crash and are opened again from what is stored. In the end everybody has the server's text, and in it is, once, every
 * character that was typed and that nobody has deleted. Every character is unique, so each can be followed.
 */

import { expect, test } from "vitest";
import type { Document } from "../src/document.ts";
import { Device, type Tab } from "./device.ts";
import { FaultyNetwork } from "./faulty_network.ts";
import { OrderingServer } from "./ordering_server.ts";
import { oneOf, within, withSeeds } from "./random.ts";
import { settle, VirtualClock } from "./virtual_clock.ts";

const STEPS = 120;

/** A page and a copy of its text that is kept up by nothing but what it tells of its changes. */
class Page {
  readonly tab: Tab;
  readonly document: Document;
  mirror = "";

  constructor(device: Device) {
    this.tab = device.openTab();
    this.document = this.tab.open();
    this.mirror = this.document.text;
    this.document.onChange(({ edits }) => {
      if (edits === null) {
        this.mirror = this.document.text;
        return;
      }
      for (const { from, to, insert } of edits.toReversed()) {
        this.mirror = this.mirror.slice(0, from) + insert + this.mirror.slice(to);
      }
    });
  }
}

class Alphabet {
  #next = 0xf0000;
  #nextSmall = 0x4e00;

  /** Half of the characters are two UTF-16 units long. */
  take(random: () => number, count: number): string {
    let taken = "";
    for (let i = 0; i < count; i += 1) {
      if (random() < 0.5) taken += String.fromCodePoint(this.#next++);
      else taken += String.fromCodePoint(this.#nextSmall++);
    }
    return taken;
  }
}

function boundaries(text: string): number[] {
  const offsets = [0];
  for (const point of text) offsets.push((offsets.at(-1) ?? 0) + point.length);
  return offsets;
}

function type(random: () => number, document: Document, alphabet: Alphabet, typed: Set<string>): void {
  const offsets = boundaries(document.text);
  const size = offsets.length - 1;
  const edits = [];
  let position = 0;
  for (let left = oneOf(random, [1, 1, 1, 2, 3]); left > 0; left -= 1) {
    position += oneOf(random, [0, 0, 1, within(random, 0, size), size]);
    if (position > size) break;
    const deleted = Math.min(size - position, oneOf(random, [0, 0, 0, 1, 2, 5]));
    const insert = alphabet.take(random, oneOf(random, [0, 1, 1, 2]));
    for (const point of insert) typed.add(point);
    edits.push({ from: offsets[position] ?? 0, to: offsets[position + deleted] ?? 0, insert });
    position += deleted;
  }
  document.edit(edits, { joinsUndo: random() < 0.5 });
}

async function typeTogether(random: () => number, options: { slowness: number; skip: number }): Promise<void> {
  const clock = new VirtualClock();
  const alphabet = new Alphabet();
  const server = new OrderingServer(alphabet.take(random, 10));
  const typed = new Set(server.text);
  const deleted = new Set<string>();
  const faults = { delay: 80, cut: 0.02, duplicate: 0.1, skip: options.skip };
  const network = new FaultyNetwork(server, clock, random, faults);
  server.window = oneOf(random, [3, 10, 1_000]);
  const devices = ["ann", "bob", "cat", "dan", "eve"].slice(0, within(random, 3, 5)).map((name) => {
    const device = new Device(clock, network, name, random);
    device.slowness = options.slowness;
    return device;
  });
  const pages = devices.map((device) => ({ device, page: new Page(device) }));
  const acknowledged = new Set<string>();

  const act = (document: Document, action: () => void) => {
    const before = new Set(document.text);
    action();
    const after = new Set(document.text);
    for (const point of before) if (!after.has(point)) deleted.add(point);
  };

  for (let step = 0; step < STEPS; step += 1) {
    const one = oneOf(random, pages);
    const { document } = one.page;
    const dice = random();
    if (dice < 0.55 && document.status.canEdit) act(document, () => type(random, document, alphabet, typed));
    else if (dice < 0.65) act(document, () => document.undo());
    else if (dice < 0.7) act(document, () => document.redo());
    else if (dice < 0.75) document.setCursor(within(random, 0, document.length), within(random, 0, document.length));
    else if (dice < 0.77) network.cut();
    else if (dice < 0.78) server.rejoin(oneOf(random, ["storage_unavailable", "slow_consumer"]));
    else if (dice < 0.82) {
      if (document.status.isSaved) for (const point of document.text) acknowledged.add(point);
      await settle();
      one.page.tab.crash();
      await clock.pass(oneOf(random, [0, 1, 30, 500]));
      one.page = new Page(one.device);
    } else await clock.pass(oneOf(random, [0, 1, 5, 20, 100, 2_000]));
  }

  network.faults = { delay: 5, cut: 0, duplicate: 0, skip: 0 };
  network.cut();
  for (const device of devices) device.slowness = 0;
  await clock.pass(30_000);
  const isThrough = () => pages.every(({ page }) => page.document.status.isSaved && page.document.text === server.text);
  await clock.until(isThrough, 60_000);
  for (const { page } of pages) {
    expect(page.document.text).toBe(server.text);
    expect(page.mirror).toBe(server.text);
    expect(page.document.status).toMatchObject({ heals: 0, patches: [], sequence: server.sequence });
    for (const { cursor } of page.document.participants.values()) {
      if (cursor !== null) expect(boundaries(server.text)).toContain(cursor.head);
    }
  }
  const ids = server.entries.map((entry) => entry.committed.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  const times = new Map<string, number>();
  for (const point of server.text) times.set(point, (times.get(point) ?? 0) + 1);
  const isMeant = options.slowness === 0 ? typed : acknowledged;
  for (const point of isMeant) {
    if (!deleted.has(point)) expect(times.get(point), `U+${point.codePointAt(0)?.toString(16)}`).toBe(1);
  }
  for (const [point, count] of times) {
    expect(typed.has(point)).toBe(true);
    if (!deleted.has(point)) expect(count).toBe(1);
  }
}

test("everybody ends with one text, and every edit is in it once", async () => {
  await withSeeds(40, (random) => typeTogether(random, { slowness: 0, skip: 0.02 }));
}, 60_000);

test("the same with a store that is slow: what was acknowledged is there once", async () => {
  await withSeeds(20, (random) => typeTogether(random, { slowness: 60, skip: 0 }));
}, 60_000);
