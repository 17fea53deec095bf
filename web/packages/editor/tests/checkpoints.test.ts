import { beforeEach, expect, test } from "vitest";
import type { Checkpoint } from "../src/api/models";
import { asFile, holdToCheckpoint } from "../src/checkpoints";

const ZEROS = "0".repeat(64);

async function digestOf({ signature, ...signed }: Checkpoint): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(signed)));
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Checkpoints that hang together, the newest first. */
async function chain(count: number, hash = "a"): Promise<Checkpoint[]> {
  const made: Checkpoint[] = [];
  for (let number = 1; number <= count; number += 1) {
    made.unshift({
      format: "coscribe-audit-checkpoint-1",
      workspaceId: "wsp",
      incarnation: "i",
      number,
      sequence: number * 10,
      chainHash: hash.repeat(64),
      event: number,
      eventDigest: ZEROS,
      ownEvents: 0,
      ownDigest: ZEROS,
      madeAt: 1_800_000_000_000_000 + number,
      previous: made[0] === undefined ? ZEROS : await digestOf(made[0]),
      keyId: "k",
      signature: `s${number}`,
    });
  }
  return made;
}

/** As the API lists them; says how many were asked for. */
function listing(checkpoints: Checkpoint[]) {
  const asked: number[] = [];
  const pages = async (_: string, cursor: string, limit: number) => {
    const from = Number(cursor || 0);
    asked.push(limit);
    const next = from + limit < checkpoints.length ? String(from + limit) : "";
    return { items: checkpoints.slice(from, from + limit), nextCursor: next };
  };
  return { pages, asked };
}

const hold = (checkpoints: Checkpoint[]) => holdToCheckpoint("doc_1", localStorage, listing(checkpoints).pages);

beforeEach(() => localStorage.clear());

test("the newest is kept, and the server held to it while it goes on", async () => {
  const all = await chain(150);
  expect(await hold([])).toBeNull();
  expect(await hold(all.slice(-1))).toBeNull();
  expect(await hold(all.slice(-3))).toBeNull();
  expect(await hold(all)).toBeNull();
  const again = listing(all);
  expect(await holdToCheckpoint("doc_1", localStorage, again.pages)).toBeNull();
  expect(again.asked).toEqual([1]); // nothing new: one request
});

test("a history that was made anew is noticed, and what was kept stays", async () => {
  const all = await chain(4);
  await hold(all.slice(-2));
  const other = await chain(4, "b");
  const rewritten = "Checkpoint 2 is another one than was kept.";
  expect(await hold(other)).toEqual({ kept: all[2], detail: rewritten });
  expect(await hold(other)).toEqual({ kept: all[2], detail: rewritten });
  expect(await hold([...other.slice(0, 2), ...all.slice(2)])).toEqual({
    kept: all[2],
    detail: "Checkpoint 3 does not hang on number 2.",
  });
  expect(await hold([all[1], all[3]] as Checkpoint[])).toMatchObject({
    detail: "Checkpoint 3 does not hang on number 1.",
  });
  expect(await hold([])).toEqual({ kept: all[2], detail: "There is no checkpoint 2 any more." });
  expect(await hold(all.slice(-1))).toMatchObject({ detail: rewritten });
  expect(await hold(all)).toBeNull();
  expect(await hold(all.slice(-2))).toMatchObject({ kept: all[0] });
});

test("what is kept is a file that coscribe verify reads", async () => {
  const [kept] = await chain(1);
  expect(JSON.parse(await asFile(kept as Checkpoint).text())).toEqual(kept);
});

test("a browser that keeps nothing is no obstacle", async () => {
  localStorage.setItem("coscribe-checkpoint:doc_1", "{");
  expect(await hold(await chain(1))).toBeNull();
  const full = {
    ...localStorage,
    getItem: () => null,
    setItem: () => {
      throw new Error("full");
    },
  };
  expect(await holdToCheckpoint("doc_1", full as unknown as Storage, listing(await chain(1)).pages)).toBeNull();
});
