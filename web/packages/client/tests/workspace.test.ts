/** Workspaces, against the real server. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Client } from "../src/client.ts";
import { CoscribeError } from "../src/core/errors.ts";
import type { Note } from "../src/core/tree.ts";
import type { Document } from "../src/document.ts";
import { MemoryLocks } from "../src/locks.ts";
import { MemoryStore } from "../src/store.ts";
import type { TreeChange, Workspace } from "../src/workspace.ts";
import { seeded } from "./random.ts";
import { CuttableTransport, eventually, freePort, ServerProcess, tokenOf } from "./server_process.ts";

const SPACES = Array.from({ length: 20 }, (_, number) => `space${number}`);

let folder = "";
let server: ServerProcess;
let space = "";
const clients: Client[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "coscribe-"));
  server = new ServerProcess(folder, await freePort());
  server.makeWorkspaces(...SPACES);
  await server.start();
}, 60_000);

afterAll(async () => {
  await server.kill();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

beforeEach(() => {
  space = SPACES.shift() as string;
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

/** Somebody's device: a store that outlives its pages, and a way to the server that can be cut. */
class Somebody {
  readonly user: string;
  readonly link = new CuttableTransport(server.url);
  readonly store = new MemoryStore();
  readonly locks = new MemoryLocks();
  client: Client;

  constructor(user: string) {
    this.user = user;
    this.client = this.openPage();
  }

  openPage(): Client {
    const { user, link: transport, store, locks } = this;
    const token = tokenOf(user);
    this.client = new Client({ transport, credential: async () => token, account: user, store, locks });
    clients.push(this.client);
    return this.client;
  }

  async open(): Promise<Workspace> {
    const workspace = this.client.openWorkspace(space);
    await workspace.live();
    return workspace;
  }

  async cut(workspace: Workspace): Promise<void> {
    this.link.cut();
    await eventually(() => workspace.status.state !== "live", "it is cut off");
  }

  mend(): void {
    this.link.isCut = false;
    this.client.networkChanged();
  }
}

function type(document: Document, text: string): void {
  document.edit([{ from: document.length, to: document.length, insert: text }]);
}

async function typable(document: Document): Promise<Document> {
  await eventually(() => document.status.hasText, "it has a text");
  return document;
}

function names(workspace: Workspace, folderId?: string): string[] {
  return workspace.children(folderId).map((entry) => entry.name);
}

/** Every path and id, for a look at everything. */
function everything(workspace: Workspace, folderId = ""): string[] {
  const own = workspace.children(folderId).flatMap(({ fileId, kind }) => {
    const below = kind === "directory" ? everything(workspace, fileId) : [];
    return [`${workspace.path(fileId)}=${fileId} ${JSON.stringify(workspace.node(fileId))}`, ...below];
  });
  const gone = folderId === "" ? workspace.trashed().map((fileId) => `~${workspace.path(fileId)}=${fileId}`) : [];
  return [...own, ...gone];
}

async function alike(...workspaces: Workspace[]): Promise<void> {
  for (const workspace of workspaces) await workspace.synced();
  const last = () => Math.max(...workspaces.map((workspace) => workspace.status.sequence));
  await eventually(() => workspaces.every((workspace) => workspace.status.sequence === last()), "all at one place");
  const [first, ...others] = workspaces.map((workspace) => everything(workspace));
  for (const other of others) expect(other).toStrictEqual(first);
}

describe("a workspace", () => {
  test("what one does the others have, and new files are typed into at once", async () => {
    const [ann, bob] = await Promise.all([new Somebody("ann").open(), new Somebody("bob").open()]);
    const told: TreeChange[] = [];
    bob.onChange((change) => told.push(change));
    const docs = ann.mkdir("docs");
    const page = ann.create("page.md", docs);
    const texts = Array.from({ length: 12 }, (_, number) => ann.open(ann.create(`file${number}`)));
    for (const text of [ann.open(page), ...texts]) type(await typable(text), `text of ${text.fileId}`);
    ann.move(docs, { name: "texts" });
    ann.set(page, "eol", "crlf");
    expect(ann.path(page)).toBe("texts/page.md");
    await ann.save();
    await alike(ann, bob);
    expect(bob.find("texts/page.md")).toBe(page);
    expect(told.every((change) => change.authors.join() === "ann")).toBe(true);
    for (const { fileId } of texts) {
      const text = bob.open(fileId);
      await text.live();
      expect(text.text).toBe(`text of ${fileId}`);
    }
    expect(ann.status).toMatchObject({ unsent: 0, patches: [], heals: 0 });
  }, 60_000);

  test("a text in the trash goes on, and says where it is", async () => {
    const [ann, bob] = await Promise.all([new Somebody("ann").open(), new Somebody("bob").open()]);
    const page = ann.create("page", ann.mkdir("docs"));
    await alike(ann, bob);
    const text = bob.open(page);
    await text.live();
    expect(text.status).toMatchObject({ path: "docs/page", isTrashed: false });
    ann.remove(page);
    await eventually(() => text.status.isTrashed, "it is told");
    expect([names(ann, ann.find("docs") ?? ""), ann.isTrashed(page), ann.trashed()]).toStrictEqual([[], true, [page]]);
    type(text, "typed in the trash");
    await text.save();
    bob.restore(page, { folderId: "", name: "back" });
    await eventually(() => text.status.path === "back" && !text.status.isTrashed, "it is back");
    await alike(ann, bob);
    expect(names(ann)).toStrictEqual(["back", "docs"]);
  }, 60_000);

  test.each([false, true])(
    "what is pending survives the page, once (sent: %s)",
    async (isSent) => {
      const ann = new Somebody("ann");
      const bob = await new Somebody("bob").open();
      const before = await ann.open();
      const old = before.create("old");
      await alike(before, bob);
      if (isSent) {
        before.create("sent");
        await eventually(() => bob.find("sent") !== null, "it is there");
      }
      await ann.cut(before);
      const page = before.create("page", before.mkdir("docs"));
      before.move(old, { name: "new" });
      type(await typable(before.open(page)), "offline");
      expect(before.status.isKept).toBe(true);
      await ann.client.close();

      const client = ann.openPage();
      const after = client.openWorkspace(space);
      const text = client.open(page);
      expect(await client.unsent()).toHaveLength(2);
      ann.mend();
      await Promise.all([after.synced(), text.synced()]);
      await alike(after, bob);
      expect([names(bob), bob.path(page)]).toStrictEqual([
        isSent ? ["docs", "new", "sent"] : ["docs", "new"],
        "docs/page",
      ]);
      const theirs = bob.open(page);
      await theirs.live();
      expect([text.text, theirs.text]).toStrictEqual(["offline", "offline"]);
      expect([after.status.patches, text.status.patches, await client.unsent()]).toStrictEqual([[], [], []]);
      const steps = isSent ? 5 : 4;
      expect(Array.from({ length: steps + 1 }, () => after.undo())).toStrictEqual([...Array(steps).fill(true), false]);
      await alike(after, bob);
      expect([names(bob), bob.path(old)]).toStrictEqual([[], "old"]);
    },
    60_000,
  );

  test("what is refused is handed back, and so is what hangs on it", async () => {
    const someone = new Somebody("ann");
    const [ann, bob] = await Promise.all([someone.open(), new Somebody("bob").open()]);
    await someone.cut(ann);
    const docs = ann.mkdir("docs", "", { exact: true });
    const page = ann.create("page", docs);
    const other = ann.create("other");
    const text = await typable(ann.open(page));
    type(text, "kept");
    bob.mkdir("docs");
    await bob.synced();
    someone.mend();
    await ann.synced();
    expect(ann.status.patches.map(({ code, edits }) => [code, edits.length])).toStrictEqual([
      ["conflict", 1],
      ["file_not_found", 1],
    ]);
    await eventually(() => text.status.state === "ended", "its text has ended");
    expect(text.status.patches.map((patch) => patch.text)).toStrictEqual(["kept"]);
    await alike(ann, bob);
    expect(bob.path(other)).toBe("other");
    ann.dismissPatch(0);
    expect(ann.status.patches).toHaveLength(1);
  }, 60_000);

  test("what was done can be undone on the next page, acknowledged or not, among what others did", async () => {
    const someone = new Somebody("ann");
    const [before, bob] = await Promise.all([someone.open(), new Somebody("bob").open()]);
    const a = before.create("a");
    const b = before.create("b");
    before.move(a, { name: "x" });
    await alike(before, bob);
    await someone.cut(before);
    before.remove(b);
    await someone.client.close();
    bob.move(a, { folderId: bob.mkdir("theirs") });
    await bob.synced();
    someone.link.isCut = false;
    someone.openPage();
    const ann = await someone.open();
    await alike(ann, bob);
    expect([names(bob), bob.path(a)]).toStrictEqual([["theirs"], "theirs/x"]);
    expect([ann.status.canUndo, ann.undo(), ann.undo()]).toStrictEqual([true, true, true]);
    await alike(ann, bob);
    expect([names(bob), bob.path(a)]).toStrictEqual([["b", "theirs"], "theirs/a"]);
    expect([ann.undo(), ann.undo(), ann.undo()]).toStrictEqual([true, true, false]);
    await alike(ann, bob);
    expect(names(bob)).toStrictEqual(["theirs"]);
  }, 60_000);

  test("undo, notes, and what cannot be", async () => {
    const someone = new Somebody("ann");
    const [ann, bob] = await Promise.all([someone.open(), new Somebody("bob").open()]);
    const notes: Note[] = [];
    ann.onNotes((more) => notes.push(...more));
    const a = ann.create("a");
    ann.move(a, { name: "b" });
    await alike(ann, bob);
    expect(ann.undo()).toBe(true);
    expect(names(ann)).toStrictEqual(["a"]);
    expect(ann.redo()).toBe(true);
    await alike(ann, bob);
    expect(names(bob)).toStrictEqual(["b"]);
    const renamed = ann.latest;
    ann.set(a, "mode", "755");
    expect([ann.undo(renamed), ann.undo(renamed)]).toStrictEqual([true, false]);
    expect([names(ann), ann.node(a)?.properties]).toStrictEqual([["a"], [["mode", "755"]]]);
    expect([ann.undo(), ann.undo(), ann.undo()]).toStrictEqual([true, true, false]);
    await alike(ann, bob);
    expect(names(bob)).toStrictEqual([]);
    for (const wrong of [() => ann.create("a/b"), () => ann.remove("nothing"), () => ann.create("x", "nowhere")]) {
      expect(wrong).toThrow(CoscribeError);
    }
    expect(ann.status.unsent).toBe(0);
    await someone.cut(ann);
    const second = ann.create("x");
    bob.create("x");
    await bob.synced();
    someone.mend();
    await alike(ann, bob);
    await eventually(() => notes.length > 0, "notes");
    expect([ann.path(second), notes]).toStrictEqual(["x (2)", [{ fileId: second, why: "numbered" }]]);
    const document = someone.client.openWorkspace(`${space}-not-there`);
    await expect(document.live()).rejects.toMatchObject({ code: "file_not_found" });
    const tree = new Somebody("cid").client.open(space);
    await expect(tree.live()).rejects.toMatchObject({ code: "not_a_text" });
  }, 60_000);

  test.each([1, 2, 3])(
    "many cuts while everybody changes the tree and types (seed %d)",
    async (seed) => {
      const random = seeded(seed);
      const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
      const people = ["ann", "bob", "cid"].map((user) => new Somebody(user));
      const spaces = await Promise.all(people.map((someone) => someone.open()));
      const typed = new Map<string, string[]>();
      const known = (workspace: Workspace) =>
        everything(workspace).map((line) => /=(f[a-z2-7]{25})/.exec(line)?.[1] ?? "");
      const act = async (workspace: Workspace, step: number) => {
        const all = known(workspace);
        const folders = ["", ...all.filter((fileId) => workspace.node(fileId)?.kind === "directory")];
        const texts = all.filter((fileId) => workspace.node(fileId)?.kind === "text");
        const what = random();
        const name = pick(["a", "b", "c.txt"]);
        if (what < 0.3 || texts.length === 0) {
          workspace.create(name, pick(folders), { kind: pick(["text", "text", "directory"]) });
        } else if (what < 0.5) {
          workspace.move(pick(all), { folderId: pick(folders), name });
        } else if (what < 0.6) workspace.remove(pick(all));
        else if (what < 0.7) workspace.restore(pick(all));
        else if (what < 0.76) workspace.undo();
        else {
          const fileId = pick(texts);
          const document = await typable(workspace.open(fileId));
          type(document, `<${step}>`);
          typed.set(fileId, [...(typed.get(fileId) ?? []), `<${step}>`]);
        }
      };
      for (let step = 0; step < 80; step += 1) {
        const number = Math.floor(random() * 3);
        const workspace = spaces[number] as Workspace;
        await act(workspace, step).catch((error: unknown) => expect(error).toBeInstanceOf(CoscribeError));
        if (random() < 0.08) {
          people[number]?.link.cut();
          people[number]?.mend();
        }
        if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, 3));
      }
      await alike(...spaces);
      for (const [fileId, tokens] of typed) {
        const documents = spaces.map((workspace) => workspace.open(fileId));
        for (const document of documents) await document.synced();
        await eventually(() => new Set(documents.map((document) => document.text)).size === 1, "one text");
        for (const token of tokens) expect(documents[0]?.text.split(token)).toHaveLength(2);
      }
      expect(spaces.map((workspace) => workspace.status.patches)).toStrictEqual([[], [], []]);
      expect(spaces.map((workspace) => workspace.status.heals)).toStrictEqual([0, 0, 0]);
    },
    60_000,
  );
});
