/** Against the real server, in a process of its own that is killed and started again. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { webSocketTransport } from "../src/browser/web_socket.ts";
import { Client } from "../src/client.ts";
import type { Document } from "../src/document.ts";
import { MemoryLocks } from "../src/locks.ts";
import { MemoryStore } from "../src/store.ts";
import { CuttableTransport, eventually, freePort, ServerProcess, tokenOf } from "./server_process.ts";

function type(document: Document, at: number, text: string): void {
  document.edit([{ from: at, to: at, insert: text }]);
}

let folder = "";
let server: ServerProcess;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "coscribe-"));
  server = new ServerProcess(folder, await freePort());
  await server.start();
}, 60_000);

afterAll(async () => {
  await server.kill();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("two people at one spot, one of them cut off, and a server that is killed: one text", async () => {
  const store = new MemoryStore();
  const locks = new MemoryLocks();
  const [annsToken, bobsToken] = [tokenOf("ann"), tokenOf("bob")];
  const annsLink = new CuttableTransport(server.url);
  const annsClient = () =>
    new Client({ transport: annsLink, credential: async () => annsToken, account: "ann", store, locks });
  const first = annsClient();
  const bobs = new Client({ transport: webSocketTransport(server.url), credential: async () => bobsToken });
  const ann = first.open("notes");
  const bob = bobs.open("notes");
  await Promise.all([ann.live(), bob.live()]);

  type(ann, 0, "[😀]");
  await ann.synced();
  await eventually(() => bob.text === "[😀]", "bob sees it");
  for (const letter of "ANN") type(ann, ann.text.indexOf("]"), letter);
  for (const letter of "bob") type(bob, bob.text.indexOf("]"), letter);
  ann.setCursor(3, 3);
  await Promise.all([ann.synced(), bob.synced()]);
  await eventually(() => ann.text === bob.text, "one text");
  expect(ann.text).toContain("ANN");
  expect(ann.text).toContain("bob");
  await eventually(() => [...bob.participants.values()].some((one) => one.cursor !== null), "a cursor");

  annsLink.cut();
  await eventually(() => ann.status.state !== "live", "ann is cut off");
  type(ann, 0, "offline ");
  type(bob, bob.length, " online");
  await bob.synced();
  annsLink.isCut = false;
  first.networkChanged();
  await Promise.all([ann.synced(), bob.synced()]);
  await eventually(() => ann.text === bob.text, "one text after the cut");
  expect(ann.text).toMatch(/^offline \[😀.*\] online$/);

  await server.kill();
  await eventually(() => ann.status.state !== "live" && bob.status.state !== "live", "both notice");
  type(ann, 0, "1");
  type(bob, bob.length, "2");
  await first.close();
  const second = annsClient();
  const again = second.open("notes");
  await eventually(() => again.text.startsWith("1offline"), "ann's text from the store");
  await server.start();
  second.networkChanged();
  bobs.networkChanged();
  await Promise.all([again.synced(), bob.synced()]);
  await eventually(() => again.text === bob.text, "one text after the restart");
  expect(again.text).toMatch(/^1offline \[😀.*\] online2$/);
  again.undo();
  again.check();
  await again.synced();
  expect(again.status).toMatchObject({ heals: 0, patches: [], isKept: true });
  await Promise.all([second.close(), bobs.close()]);
}, 60_000);

test("a token that is no good ends the client with a clear error", async () => {
  const client = new Client({ transport: webSocketTransport(server.url), credential: async () => "nonsense" });
  const document = client.open("notes");
  await expect(document.live()).rejects.toMatchObject({ code: "authentication_failed" });
  await client.close();
});
