/** The real server in a process of its own, ways to it that can be cut, and what its tests wait with. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { webSocketTransport } from "../src/browser/web_socket.ts";
import type { Link, Transport } from "../src/transport.ts";

const BIN = join(import.meta.dirname, "../../../../.venv/bin");
const SECRET = "not a secret at all, only a test's";

export class ServerProcess {
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
    const started = spawn(join(BIN, "coscribe"), options, {
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

  /** Makes workspaces with empty trees, before it is started. (By HTTP that is for people who have signed in.) */
  makeWorkspaces(...ids: string[]): void {
    const script = [
      "import asyncio, sys",
      "from pathlib import Path",
      "from coscribe.config import Settings",
      "from coscribe.persistence.migrate import migrate",
      "from coscribe.persistence.sqlite import SqliteStorage",
      "async def make(database, ids):",
      "    storage = SqliteStorage(database)",
      "    for each in ids: await storage.create_tree(each, 1)",
      "    await storage.close()",
      "database = Settings(folder=Path(sys.argv[1])).database",
      "migrate(database)",
      "asyncio.run(make(database, sys.argv[2:]))",
    ].join("\n");
    execFileSync(join(BIN, "python"), ["-c", script, this.#folder, ...ids]);
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
export function tokenOf(user: string): string {
  const now = Math.floor(Date.now() / 1_000);
  const claims = { sub: user, role: "editor", aud: "coscribe", iat: now, exp: now + 86_400 };
  const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)));
  const signed = parts.map((part) => part.toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The real transport, with a pair of scissors. */
export class CuttableTransport implements Transport {
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

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within 30 seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
