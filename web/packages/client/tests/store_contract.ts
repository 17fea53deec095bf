import { expect, test } from "vitest";
import type { Store, StoredBase, StoredRecord } from "../src/store.ts";
import type { CommittedOperation } from "../src/wire/codec.ts";

const lineage = (serverSequenceId: number) => ({ incarnation: "one", serverSequenceId, chainHash: "00" });

function record(series: string, extra: Partial<StoredRecord> = {}): StoredRecord {
  const places = { account: "ann", fileId: "notes", series, savedAt: 1, version: 1, lineage: lineage(1) };
  return { ...places, role: "editor", message: "", inFlight: [], queue: [], patches: [], ...extra };
}

function base(text: string, sequence: number): StoredBase {
  return { text, version: sequence, lineage: lineage(sequence) };
}

function operation(sequence: number): CommittedOperation {
  return {
    operationId: `x:${sequence}`,
    userId: "bob",
    serverSequenceId: sequence,
    documentVersion: sequence,
    operationType: "insert",
    position: 0,
    payload: "x",
  };
}

/** What every store has to do. */
export function storeContract(makeStore: () => Store): void {
  test("what was saved is loaded, and a later save replaces it", async () => {
    const store = makeStore();
    expect(await store.load(record("a"))).toBeNull();
    await store.save({ record: record("a"), base: base("text", 1), operations: [] });
    const pending = { operationId: "a:1", change: [[0, 0, "😀"]] as const, edits: 2, restores: [] };
    const later = record("a", { savedAt: 2, queue: [pending], lineage: lineage(3) });
    await store.save({ record: later, operations: [operation(2), operation(3)] });
    expect(await store.load(record("a"))).toEqual({
      record: later,
      base: base("text", 1),
      operations: [operation(2), operation(3)],
    });
  });

  test("operations come in the order of their sequence, also beyond nine", async () => {
    const store = makeStore();
    await store.save({ record: record("a"), base: base("", 0), operations: [] });
    for (let sequence = 1; sequence <= 12; sequence += 1) {
      await store.save({ record: record("a"), operations: [operation(sequence)] });
    }
    const stored = await store.load(record("a"));
    expect(stored?.operations.map((one) => one.serverSequenceId)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  test("a new base takes the operations before it along; none drops both", async () => {
    const store = makeStore();
    await store.save({ record: record("a"), base: base("", 0), operations: [operation(1)] });
    await store.save({ record: record("a"), base: base("x", 1), operations: [operation(2)] });
    expect(await store.load(record("a"))).toMatchObject({ base: base("x", 1), operations: [operation(2)] });
    await store.save({ record: record("a"), base: null, operations: [] });
    expect(await store.load(record("a"))).toMatchObject({ base: null, operations: [] });
  });

  test("records are listed by account, and are apart in all else", async () => {
    const store = makeStore();
    const places = [
      record("a"),
      record("b"),
      record("a", { fileId: "other" }),
      record("a", { account: "an" }),
      record("a", { account: "anne" }),
    ];
    for (const [index, place] of places.entries()) {
      await store.save({ record: place, base: base(`${index}`, 0), operations: [operation(index + 1)] });
    }
    const names = (await store.list("ann")).map(({ fileId, series }) => `${fileId}/${series}`);
    expect(names.sort()).toEqual(["notes/a", "notes/b", "other/a"]);
    await store.delete(record("a"));
    await store.delete(record("a"));
    expect(await store.load(record("a"))).toBeNull();
    for (const [index, place] of places.slice(1).entries()) {
      expect(await store.load(place)).toMatchObject({
        base: { text: `${index + 1}` },
        operations: [operation(index + 2)],
      });
    }
  });

  test("what is changed after it was given or taken changes nothing in the store", async () => {
    const store = makeStore();
    const patches = [{ code: "x", detail: "", edits: [], text: "" }];
    await store.save({ record: record("a", { patches }), operations: [] });
    patches.length = 0;
    const [listed] = await store.list("ann");
    (listed?.patches as unknown[]).length = 0;
    expect((await store.list("ann"))[0]?.patches).toHaveLength(1);
  });
}
