import { expect, test } from "vitest";
import { webLocks } from "../../src/browser/web_locks.ts";

test("a name has one holder at a time, and is free again when it is given back", async () => {
  const [one, two] = [webLocks(), webLocks()];
  const release = await one.claim("notes a");
  expect(release).not.toBeNull();
  const other = await two.claim("notes b");
  expect(await two.claim("notes b")).toBeNull();
  release?.();
  other?.();
  await expect.poll(async () => two.claim("notes b")).not.toBeNull();
});
