import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { describe, expect, test } from "vitest";
import { IndexedDbStore } from "../../src/browser/indexed_db.ts";
import type { StoredRecord } from "../../src/store.ts";
import { storeContract } from "../store_contract.ts";

const record: StoredRecord = {
  ...{ account: "ann", fileId: "notes", series: "a", savedAt: 1, role: "editor", version: 0 },
  ...{ lineage: { incarnation: "one", serverSequenceId: 0, chainHash: "00" }, message: "" },
  ...{ inFlight: [], queue: [], patches: [] },
};

describe("IndexedDbStore", () => storeContract(() => new IndexedDbStore("coscribe", new IDBFactory())));

test("another store of the same name has the same records", async () => {
  const factory = new IDBFactory();
  await new IndexedDbStore("coscribe", factory).save({ record, operations: [] });
  expect(await new IndexedDbStore("coscribe", factory).list("ann")).toEqual([record]);
});

test("a save that cannot be stored rejects and leaves everything as it was", async () => {
  const store = new IndexedDbStore("coscribe", new IDBFactory());
  await store.save({ record, operations: [] });
  const unstorable = { ...record, savedAt: 2, patches: [() => {}] as unknown as StoredRecord["patches"] };
  await expect(store.save({ record: unstorable, base: null, operations: [] })).rejects.toThrow();
  expect(await store.list("ann")).toEqual([record]);
});

test("where the database cannot be opened every answer is a rejection, and the next time it is tried again", async () => {
  const factory = new IDBFactory();
  let isClosed = true;
  const open = factory.open.bind(factory);
  factory.open = (...names) => {
    if (isClosed) throw new DOMException("not here", "SecurityError");
    return open(...names);
  };
  const store = new IndexedDbStore("coscribe", factory);
  await expect(store.list("ann")).rejects.toThrow("not here");
  isClosed = false;
  expect(await store.list("ann")).toEqual([]);
});
