import { expect, test } from "vitest";
import { MemoryLocks } from "../src/locks.ts";

test("a name has one holder at a time; given back twice it is given back once", async () => {
  const locks = new MemoryLocks();
  const first = await locks.claim("a");
  expect(first).not.toBeNull();
  expect(await locks.claim("b")).not.toBeNull();
  expect(await locks.claim("a")).toBeNull();
  first?.();
  const second = await locks.claim("a");
  expect(second).not.toBeNull();
  first?.();
  expect(await locks.claim("a")).toBeNull();
});
