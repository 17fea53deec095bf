import { expect, test } from "vitest";
import { Keeper, type Kept } from "../src/keeper.ts";
import { MemoryStore, type Save } from "../src/store.ts";
import { VirtualClock } from "./virtual_clock.ts";

const KEY = { account: "ann", fileId: "notes", series: "one" };
const LINEAGE = { incarnation: "i", serverSequenceId: 0, chainHash: "00" };

/** A store that carries nothing out before `release`; what was begun is in its hands. */
class HoldingStore extends MemoryStore {
  readonly begun: Save[] = [];
  readonly #released = Promise.withResolvers<void>();

  override async save(save: Save): Promise<void> {
    this.begun.push(save);
    await this.#released.promise;
    await super.save(save);
  }

  release(): void {
    this.#released.resolve();
  }
}

test("what waits behind a running save is begun at once when the page is about to go", async () => {
  const store = new HoldingStore();
  const keeper = new Keeper(store, new VirtualClock(), KEY, null, () => {});
  let version = 0;
  const source: Kept = {
    record: () => ({ role: "editor", version, lineage: LINEAGE, message: "", inFlight: [], queue: [], patches: [] }),
    serverText: () => null,
    keptChanged: () => {},
  };
  keeper.begin(source);
  version = 1;
  const first = keeper.save();
  version = 2;
  void keeper.save();
  expect(store.begun.map((save) => save.record.version)).toEqual([1]);
  const flushed = keeper.flush();
  expect(store.begun.map((save) => save.record.version)).toEqual([1, 2]);
  store.release();
  await Promise.all([first, flushed]);
  expect((await store.load(KEY))?.record.version).toBe(2);
});
