/** Against the real server, in a process of its own that is killed and started again. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { webSocketTransport } from "../src/browser/web_socket.ts";
import { Client } from "../src/client.ts";
import type { Document } from "../src/document.ts";
import { MemoryLocks } from "../src/locks.ts";
import { MemoryStore } from "../src/store.ts";
import type { Link, Transport } from "../src/transport.ts";

const COSCRIBE = join(import.meta.dirname, "../../../../.venv/bin/coscribe");
const SECRET = "not a secret at all, only a test's";

class ServerProcess {
  #process: ChildProcess | null = null;
  readonly #folder: string;
  readonly #port: number;

  constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/ws`;
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const options = ["serve", "--quiet", "--port", `${this.#port}`, "--data", this.#folder];
    const started = spawn(COSCRIBE, options, {
      env: { ...process.env, COSCRIBE_TOKEN_SECRET: SECRET },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = started;
    const lines = createInterface({ input: started.stdout });
    await new Promise<void>((resolve, reject) => {
      lines.once("line", () => resolve());
      started.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
  }

  /** SIGKILL: no flush, no goodbye. */
  async kill(): Promise<void> {
    const killed = this.#process;
    this.#process = null;
    if (killed === null) return;
    const over = new Promise((resolve) => killed.once("exit", resolve));
    killed.kill("SIGKILL");
    await over;
  }
}

/** What `coscribe token` prints for a user, without the time that it takes to start it. */
function tokenOf(user: string): string {
  const now = Math.floor(Date.now() / 1_000);
  const claims = { sub: user, role: "editor", aud: "coscribe", iat: now, exp: now + 86_400 };
  const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)));
  const signed = parts.map((part) => part.toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The real transport, with a pair of scissors. */
class CuttableTransport implements Transport {
  isCut = false;
  readonly #transport: Transport;
  readonly #cuts = new Set<() => void>();

  constructor(url: string) {
    this.#transport = webSocketTransport(url);
  }

  cut(): void {
    this.isCut = true;
    for (const cut of this.#cuts) cut();
    this.#cuts.clear();
  }

  connect(handlers: Parameters<Transport["connect"]>[0]): Link {
    const link = this.#transport.connect({
      ...handlers,
      opened: () => (this.isCut ? this.cut() : handlers.opened()),
    });
    this.#cuts.add(() => {
      link.close();
      handlers.closed();
    });
    return link;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within 30 seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

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
