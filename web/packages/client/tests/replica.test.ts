import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { apply, type CodePointEdit, components, fromEdits, type Operation } from "../src/core/operation.ts";
import { Gap, NotOurs, OutOfStep, Replica } from "../src/replica.ts";
import { type CommittedOperation, decodeClient, type Snapshot, wireForm } from "../src/wire/codec.ts";

const START = "ab😀cd";

function snapshot(content: string, sequence = 0): Snapshot {
  return {
    ...{ type: "snapshot", fileId: "notes", snapshotVersion: sequence, snapshotSequenceId: sequence },
    ...{ incarnation: "one", chainHash: "00", role: "editor", fates: [], lineageLost: false, content },
  };
}

function opened(content = START): Replica {
  const replica = new Replica("notes", "mine");
  replica.userId = "ann";
  replica.adopt(snapshot(content));
  return replica;
}

function committed(
  replica: Replica,
  operation: Operation,
  operationId = "theirs:1",
  userId = "bob",
): CommittedOperation {
  const serverSequenceId = replica.sequence + 1;
  return { operationId, userId, serverSequenceId, documentVersion: serverSequenceId, ...wireForm(operation) };
}

function remote(replica: Replica, edits: readonly CodePointEdit[], userId = "bob"): void {
  replica.receive([committed(replica, fromEdits(edits), `theirs:${replica.sequence}`, userId)], replica.sequence, "01");
}

/** The server takes what is in flight; nothing came in between. */
function acknowledge(replica: Replica): void {
  const pending = replica.inFlight[0];
  if (pending === undefined) throw new Error("nothing is in flight");
  const operation = fromEdits(opEdits(pending.operation));
  replica.receive([committed(replica, operation, pending.operationId, "ann")], replica.sequence, "02");
}

function opEdits(operation: Operation): CodePointEdit[] {
  let position = 0;
  const edits: [number, number, string][] = [];
  for (const part of components(operation)) {
    if (typeof part === "string") edits.push([position, 0, part]);
    else if (typeof part === "number") position += part;
    else {
      const last = edits.at(-1);
      if (last !== undefined && last[0] === position && last[1] === 0) last[1] = part.size;
      else edits.push([position, part.size, ""]);
      position += part.size;
    }
  }
  return edits;
}

/** One to three edits that fit a text of some length, told as chance has it. */
const someEdits = fc.array(
  fc.record({
    skip: fc.nat(6),
    drop: fc.nat(3),
    insert: fc.string({ unit: fc.constantFrom("x", "y", "😀"), maxLength: 3 }),
  }),
  { minLength: 1, maxLength: 3 },
);

type Plan = { skip: number; drop: number; insert: string }[];

function fitting(plan: Plan, size: number): CodePointEdit[] {
  const edits: CodePointEdit[] = [];
  let position = 0;
  for (const { skip, drop, insert } of plan) {
    position = Math.min(size, position + skip);
    const deleted = Math.min(drop, size - position);
    edits.push([position, deleted, insert]);
    position += deleted + 1;
    if (position > size) break;
  }
  return edits;
}

function points(text: string): number {
  return [...text].length;
}

describe("ours and theirs", () => {
  test("the diamond closes: what is pending on the new server text is our text", () => {
    const steps = fc.array(fc.tuple(fc.constantFrom("type", "send", "remote", "undo", "redo"), someEdits), {
      maxLength: 25,
    });
    fc.assert(
      fc.property(steps, (story) => {
        const replica = opened();
        let server = START;
        let copy = START;
        for (const [step, plan] of story) {
          const applied = [];
          if (step === "type") applied.push(replica.edit(fitting(plan, points(replica.text)), { joins: true }));
          else if (step === "send") replica.outgoing();
          else if (step === "undo") applied.push(replica.undo());
          else if (step === "redo") applied.push(replica.redo());
          else {
            const operation = fromEdits(fitting(plan, points(server)));
            server = apply(server, operation);
            applied.push(...replica.receive([committed(replica, operation)], replica.sequence, "01"));
          }
          for (const one of applied) {
            for (const { from, to, insert } of one?.edits.toReversed() ?? []) {
              copy = copy.slice(0, from) + insert + copy.slice(to);
            }
          }
          const ours = replica.pending.reduce((text, pending) => apply(text, pending.operation), server);
          expect(replica.text).toBe(ours);
          expect(copy).toBe(ours);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("undo of everything leaves the others' text; redo of everything brings ours back", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.boolean(), someEdits), { maxLength: 12 });
    fc.assert(
      fc.property(steps, (story) => {
        const replica = opened("");
        const alone = opened("");
        for (const [isOurs, joins, plan] of story) {
          if (isOurs) replica.edit(fitting(plan, points(replica.text)), { joins });
          else
            remote(replica, [
              [
                0,
                0,
                plan
                  .map(({ insert }) => insert.toUpperCase())
                  .join("")
                  .replaceAll("😀", "Z"),
              ],
            ]);
        }
        const before = replica.text;
        while (replica.undo() !== null);
        expect(replica.text).toMatch(/^[XYZ]*$/);
        while (replica.redo() !== null);
        expect([...replica.text].sort()).toEqual([...before].sort());
        expect(alone.undo()).toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  test("without others undo takes back exactly, step by step, joined or not", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), someEdits), { maxLength: 15 }), (story) => {
        const replica = opened();
        const texts = [START];
        for (const [joins, plan] of story) {
          replica.edit(fitting(plan, points(replica.text)), { joins });
          if (joins && texts.length > 1) texts[texts.length - 1] = replica.text;
          else texts.push(replica.text);
        }
        const seen = [replica.text];
        while (replica.undo() !== null) seen.push(replica.text);
        const expected = texts.toReversed().filter((text, index, all) => index === 0 || text !== all[index - 1]);
        const told = seen.filter((text, index) => index === 0 || text !== seen[index - 1]);
        expect(told.at(-1)).toBe(START);
        expect(told).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test("typing while one is in flight is one operation, and counts as the edits that it is", () => {
    const replica = opened();
    replica.edit([[0, 0, "1"]]);
    const frozen = replica.outgoing();
    for (const [at, letter] of [..."234"].entries()) replica.edit([[at + 1, 0, letter]]);
    expect(replica.unsent).toBe(4);
    expect(replica.queue).toHaveLength(1);
    expect(replica.outgoing()).toBeNull();
    expect(replica.message).toBe(frozen);
    acknowledge(replica);
    expect(replica.unsent).toBe(3);
    expect(decodeClient(replica.outgoing() ?? "")).toMatchObject({
      operationId: "mine:2",
      position: 1,
      payload: "234",
    });
  });

  test("what comes to nothing before it is sent is not sent, and does not count", () => {
    const replica = opened();
    replica.edit([[0, 0, "x"]]);
    replica.edit([[0, 1, ""]]);
    expect(replica.unsent).toBe(0);
    expect(replica.outgoing()).toBeNull();
    expect(replica.isIdle).toBe(true);
  });

  test("no operation grows without end while there is no connection", () => {
    const replica = opened("");
    for (let i = 0; i < 5; i += 1) replica.edit([[0, 0, "x".repeat(40_000)]]);
    expect(replica.queue.map((pending) => pending.edits)).toEqual([2, 2, 1]);
    expect(replica.unsent).toBe(5);
  });

  test("a long insert is sent in pieces, counts as one edit, and is taken back and brought back as one", () => {
    const replica = opened("ab");
    const long = "🙂".repeat(250_000);
    replica.edit([[1, 0, long]]);
    expect(replica.unsent).toBe(1);
    expect(replica.queue).toHaveLength(3);
    for (let count = 0; count < 3; count++) {
      expect(replica.outgoing()?.length).toBeLessThan(210_000);
      acknowledge(replica);
    }
    expect(replica.isIdle).toBe(true);
    replica.undo();
    expect(replica.text).toBe("ab");
    expect(replica.queue[0]?.restores).toHaveLength(3);
    replica.redo();
    expect(replica.text).toBe(`a${long}b`);
    expect(replica.queue.every((pending) => JSON.stringify(wireForm(pending.operation)).length < 210_000)).toBe(true);
  });

  test("an undo says what it takes back, all of a joined step", () => {
    const replica = opened();
    replica.edit([[0, 0, "1"]]);
    replica.outgoing();
    acknowledge(replica);
    replica.edit([[1, 0, "2"]], { joins: true });
    replica.outgoing();
    acknowledge(replica);
    replica.undo();
    expect(replica.text).toBe(START);
    expect(decodeClient(replica.outgoing() ?? "")).toMatchObject({ payload: 2, restores: [1, 2] });
  });

  test("what is pasted says so, and is no part of what was typed around it", () => {
    const replica = opened("");
    replica.edit([[0, 0, "typed "]]);
    replica.edit([[6, 0, "pasted"]], { origin: "paste" });
    replica.edit([[12, 0, " and"]], { origin: "paste" });
    replica.edit([[16, 0, " more"]]);
    const sent: unknown[] = [];
    for (let message = replica.outgoing(); message !== null; message = replica.outgoing()) {
      const decoded = decodeClient(message);
      if (decoded.type === "operation") sent.push([decoded.payload, decoded.origin]);
      acknowledge(replica);
    }
    expect(sent).toEqual([
      ["typed ", undefined],
      ["pasted and", "paste"],
      [" more", undefined],
    ]);
    replica.undo();
    replica.undo();
    expect(decodeClient(replica.outgoing() ?? "")).not.toHaveProperty("origin");
  });

  test("what is typed after an undo is an operation of its own: it brings nothing back", () => {
    const replica = opened();
    replica.edit([[0, 0, "1"]]);
    replica.outgoing();
    acknowledge(replica);
    replica.undo();
    replica.edit([[0, 0, "2"]]);
    expect(replica.queue.map((pending) => pending.restores.length)).toEqual([1, 0]);
  });

  test("an edit never joins a step from before an undo", () => {
    const replica = opened("");
    replica.edit([[0, 0, "a"]]);
    replica.edit([[1, 0, "b"]]);
    replica.undo();
    replica.edit([[1, 0, "c"]], { joins: true });
    replica.undo();
    expect(replica.text).toBe("a");
  });
});

describe("what does not fit", () => {
  test("a gap changes nothing", () => {
    const replica = opened();
    const late = { ...committed(replica, fromEdits([[0, 0, "x"]])), serverSequenceId: 3 };
    expect(() => replica.receive([late], 2, "01")).toThrow(Gap);
    expect(replica.text).toBe(START);
    expect(replica.sequence).toBe(0);
  });

  test("what is had already is passed over", () => {
    const replica = opened();
    const one = committed(replica, fromEdits([[0, 0, "x"]]));
    replica.receive([one], 0, "01");
    expect(replica.receive([one], 0, "01")).toEqual([]);
    expect(replica.text).toBe(`x${START}`);
  });

  test("an operation past the end, or an acknowledgement of something else: out of step", () => {
    const replica = opened();
    expect(() => remote(replica, [[9, 0, "x"]])).toThrow(OutOfStep);
    replica.edit([[0, 0, "x"]]);
    replica.outgoing();
    const other = committed(replica, fromEdits([[1, 0, "x"]]), "mine:1", "ann");
    expect(() => replica.receive([other], 0, "01")).toThrow(NotOurs);
  });

  test("a snapshot that the pending edits do not fit changes nothing", () => {
    const replica = opened();
    replica.edit([[5, 0, "x"]]);
    expect(() => replica.adopt(snapshot("", 4))).toThrow(OutOfStep);
    expect(replica.text).toBe(`${START}x`);
    expect(replica.sequence).toBe(0);
  });

  test("an edit past the end, or before the text is known", () => {
    expect(() => opened().edit([[6, 0, "x"]])).toThrow(RangeError);
    expect(() => new Replica("notes", "mine").edit([[0, 0, "x"]])).toThrow(RangeError);
  });
});

describe("carets", () => {
  test("one of an older version is carried to our text; it goes along with its owner's inserts only", () => {
    const replica = opened("abcd");
    remote(replica, [[0, 0, "12"]], "cat");
    remote(replica, [[4, 0, "bob"]], "bob");
    replica.edit([[7, 0, "mine"]]);
    expect(replica.text).toBe("12abbobminecd");
    expect(replica.cursorToLocal(0, 2, "bob")).toBe(7);
    expect(replica.cursorToLocal(0, 2, "cat")).toBe(4);
    expect(replica.cursorToLocal(2, 8, "bob")).toBe(12);
    expect(replica.cursorToLocal(3, 0, "bob")).toBeNull();
  });

  test("one of a version that is too old to be remembered is not shown", () => {
    const replica = opened("");
    for (let i = 0; i < 501; i += 1) remote(replica, [[0, 0, "x"]]);
    expect(replica.cursorToLocal(0, 0, "cat")).toBeNull();
    expect(replica.cursorToLocal(1, 1, "cat")).toBe(501);
  });

  test("our own goes back over what is pending; inside an insert it stands at the place of it", () => {
    const replica = opened("abcd");
    replica.edit([[1, 0, "xyz"]]);
    replica.outgoing();
    replica.edit([[5, 1, "Q"]]);
    expect(replica.text).toBe("axyzbQd");
    expect([0, 1, 2, 4, 5, 6, 7].map((position) => replica.cursorToServer(position))).toEqual([0, 1, 1, 1, 2, 2, 4]);
  });

  test("there and back is the same place wherever the text is everybody's", () => {
    fc.assert(
      fc.property(fc.array(someEdits, { maxLength: 4 }), fc.nat(5), (plans, at) => {
        const replica = opened();
        for (const plan of plans) replica.edit(fitting(plan, points(replica.text)).map(([p, , text]) => [p, 0, text]));
        const local = replica.cursorToLocal(0, at, "bob");
        expect(local === null ? null : replica.cursorToServer(local)).toBe(at);
      }),
    );
  });
});
