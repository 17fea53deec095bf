import { expect, test } from "vitest";
import { Client } from "../src/client.ts";
import { AccessEnded, type Change, type Document, HoldsRefused } from "../src/document.ts";
import type { TextEdit } from "../src/replica.ts";
import { type Faults, FaultyNetwork } from "./faulty_network.ts";
import { FILE, OrderingServer } from "./ordering_server.ts";
import { VirtualClock } from "./virtual_clock.ts";

interface Scene {
  readonly clock: VirtualClock;
  readonly server: OrderingServer;
  person(name: string, faults?: Partial<Faults>): Promise<Person>;
}

interface Person {
  readonly client: Client;
  readonly document: Document;
  readonly network: FaultyNetwork;
  readonly changes: Change[];
}

function scene(text: string): Scene {
  const clock = new VirtualClock();
  const server = new OrderingServer(text);
  return {
    clock,
    server,
    async person(name, faults = {}) {
      const network = new FaultyNetwork(server, clock, () => 0.5, faults);
      const client = new Client({ transport: network, credential: async () => name, clock });
      const document = client.open(FILE);
      const changes: Change[] = [];
      document.onChange((change) => changes.push(change));
      await clock.until(() => document.status.state === "live");
      return { client, document, network, changes };
    },
  };
}

function insert(at: number, text: string): TextEdit[] {
  return [{ from: at, to: at, insert: text }];
}

test("an edit is there at once, and saved a little later", async () => {
  const { clock, server, person } = scene("ab");
  const { document } = await person("ann", { delay: 20 });
  expect(document.status).toMatchObject({ state: "live", role: "editor", canEdit: true, isSaved: true, unsent: 0 });
  document.edit(insert(1, "x"));
  document.edit(insert(2, "y"));
  document.edit(insert(3, "z"));
  expect(document.text).toBe("axyzb");
  expect(document.status).toMatchObject({ unsent: 3, isSaved: false });
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("axyzb");
  expect(server.sequence).toBe(2);
  await document.synced();
});

test("the status is another object only when something in it is another", async () => {
  const { clock, person } = scene("ab");
  const { document } = await person("ann");
  const before = document.status;
  let told = 0;
  document.onStatus(() => {
    told += 1;
  });
  document.setCursor(1, 1);
  await clock.pass(1_000);
  expect(document.status).toBe(before);
  expect(told).toBe(0);
  document.edit(insert(0, "x"));
  expect(document.status).not.toBe(before);
});

test("what others do comes as edits in UTF-16 units of the text before", async () => {
  const { clock, server, person } = scene("😀b😀d");
  const ann = await person("ann");
  const bob = await person("bob");
  bob.document.edit([
    { from: 2, to: 3, insert: "😀😀" },
    { from: 5, to: 6, insert: "" },
  ]);
  expect(bob.document.text).toBe("😀😀😀😀");
  await clock.until(() => ann.document.text === server.text && server.sequence === 1);
  expect(ann.changes.at(-1)).toEqual({
    edits: [
      { from: 2, to: 3, insert: "😀😀" },
      { from: 5, to: 6, insert: "" },
    ],
    origin: "remote",
    author: "bob",
  });
  expect(ann.document.length).toBe(8);
  expect(ann.document.slice(2, 4)).toBe("😀");
});

test("an edit that does not fit is refused and changes nothing", async () => {
  const { person } = scene("😀b");
  const { document } = await person("ann");
  const refused: TextEdit[][] = [
    insert(4, "x"),
    insert(1, "x"),
    insert(0, "a\r\nb"),
    insert(0, "\0"),
    insert(0, "\ud83d"),
    [{ from: 2, to: 1, insert: "" }],
    [
      { from: 2, to: 3, insert: "" },
      { from: 2, to: 3, insert: "" },
    ],
  ];
  for (const edits of refused) expect(() => document.edit(edits), JSON.stringify(edits)).toThrow(RangeError);
  expect(document.text).toBe("😀b");
  expect(document.status.unsent).toBe(0);
});

test("nobody edits a text that is not known yet", () => {
  const clock = new VirtualClock();
  const network = new FaultyNetwork(new OrderingServer(), clock);
  const document = new Client({ transport: network, credential: async () => "ann", clock }).open(FILE);
  expect(() => document.edit(insert(0, "x"))).toThrow(RangeError);
  expect(document.undo()).toBe(false);
  expect(document.status.canEdit).toBe(false);
});

test("typing is grouped into one undo step; undo takes back only what is ours", async () => {
  const { clock, server, person } = scene("-");
  const ann = await person("ann");
  const bob = await person("bob");
  ann.document.edit(insert(1, "o"));
  await clock.until(() => bob.document.text === "-o");
  bob.document.edit(insert(0, "bob "));
  await clock.until(() => ann.document.text === "bob -o");
  ann.document.edit(insert(6, "n"), { joinsUndo: true });
  ann.document.edit(insert(7, "e"), { joinsUndo: true });
  ann.document.edit(insert(8, "!"));
  await clock.until(() => ann.document.status.isSaved);
  expect(ann.document.undo()).toBe(true);
  expect(ann.document.text).toBe("bob -one");
  expect(ann.changes.at(-1)?.origin).toBe("undo");
  expect(ann.document.undo()).toBe(true);
  expect(ann.document.text).toBe("bob -");
  expect(ann.document.undo()).toBe(false);
  expect(ann.document.canRedo).toBe(true);
  ann.document.redo();
  expect(ann.document.text).toBe("bob -one");
  await clock.until(() => ann.document.status.isSaved);
  expect(server.text).toBe("bob -one");
  const undo = server.entries.find(({ committed }) => committed.operationType === "delete");
  expect(undo?.committed.restores?.length).toBeGreaterThan(0);
});

test("after a gap nothing is missing and nothing is twice", async () => {
  const { clock, server, person } = scene("ab");
  const ann = await person("ann");
  server.forgetToTell(() => server.commit({ position: 0, deleted: 0, inserted: "lost " }));
  server.commit({ position: 0, deleted: 0, inserted: "told " });
  await clock.until(() => ann.document.text === server.text);
  expect(ann.document.text).toBe("told lost ab");
  expect(ann.document.status.heals).toBe(0);
});

test("operations that were overtaken are waited for, those that are lost are asked for, and nobody joins again", async () => {
  const { clock, server, person } = scene("ab");
  const ann = await person("ann");
  const asked = (type: string) => server.received.filter((message) => message.type === type).length;
  server.forgetToTell(() => server.commit({ position: 0, deleted: 0, inserted: "overtaken " }));
  server.commit({ position: 0, deleted: 0, inserted: "early " });
  await clock.until(() => ann.document.diagnostics().messages.at(-1)?.type === "committed");
  const late = server.entries[0];
  if (late === undefined) throw new Error("nothing was committed");
  const operations = [late.committed];
  ann.document.receive({
    type: "committed",
    fileId: ann.document.fileId,
    previousSequenceId: 0,
    chainHash: server.chainHash(1),
    operations,
  });
  expect(ann.document.text).toBe("early overtaken ab");
  server.forgetToTell(() => server.commit({ position: 0, deleted: 0, inserted: "lost " }));
  server.commit({ position: 0, deleted: 0, inserted: "told " });
  await clock.until(() => ann.document.text === server.text);
  expect([asked("join"), asked("resend"), asked("leave")]).toEqual([1, 1, 0]);
});

test("a checksum beyond what we have tells of a gap", async () => {
  const { clock, server, person } = scene("ab");
  const ann = await person("ann");
  server.forgetToTell(() => server.commit({ position: 0, deleted: 0, inserted: "lost " }));
  ann.document.check();
  await clock.until(() => ann.document.text === server.text);
  expect(ann.document.status.heals).toBe(0);
});

test("a long absence is bridged: pending edits and what can be undone come along", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann");
  document.edit(insert(2, "c"));
  await clock.until(() => document.status.isSaved);
  network.isUp = false;
  network.cut();
  await clock.until(() => document.status.state !== "live");
  document.edit(insert(3, "d"));
  document.edit(insert(4, "e"));
  expect(document.status).toMatchObject({ unsent: 2, canEdit: true });
  for (let i = 0; i < 50; i += 1) server.commit({ position: 0, deleted: 0, inserted: "." });
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe(`${".".repeat(50)}abcde`);
  expect(document.text).toBe(server.text);
  document.undo();
  document.undo();
  document.undo();
  expect(document.text).toBe(`${".".repeat(50)}ab`);
});

test("a bridge that breaks off and goes on later: every change is told once, and nothing is reset in vain", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network, changes } = await person("ann");
  document.edit(insert(2, "c"));
  await clock.until(() => document.status.isSaved);
  network.isUp = false;
  network.cut();
  for (let i = 0; i < 30; i += 1) server.commit({ position: 0, deleted: 0, inserted: "." });
  network.isUp = true;
  network.faults.delay = 50;
  changes.length = 0;
  await clock.until(() => changes.length > 7);
  network.cut();
  await clock.until(() => document.status.isSaved);
  expect(document.text).toBe(`${".".repeat(30)}abc`);
  expect(changes).toHaveLength(30);
  expect(changes.every((change) => change.origin === "remote")).toBe(true);
});

test("what is refused becomes a patch, and the text is the server's again", async () => {
  const { clock, server, person } = scene("ab");
  const { document, changes } = await person("ann", { delay: 10 });
  server.refuse = () => "file_too_large";
  document.edit(insert(2, "no"));
  document.edit(insert(4, " way"));
  await clock.until(() => document.status.patches.length > 0);
  expect(document.status.canEdit).toBe(false);
  expect(() => document.edit(insert(0, "x"))).toThrow(HoldsRefused);
  server.refuse = () => null;
  await clock.until(() => document.status.isSaved);
  expect(document.text).toBe("ab");
  expect(changes.at(-1)).toEqual({ edits: null, origin: "reset", author: "" });
  expect(document.status.patches).toEqual([
    { code: "file_too_large", detail: "", edits: [[[2, 0, "no"]], [[4, 0, " way"]]], text: "no way" },
  ]);
  document.dismissPatch(0);
  expect(document.status.patches).toEqual([]);
  document.edit(insert(2, "c"));
  await clock.until(() => server.text === "abc");
});

test("an id that a copy of this device has used for something else is not taken for ours", async () => {
  const { clock, server, person } = scene("text");
  const { document, network } = await person("ann", { delay: 40 });
  document.edit(insert(4, " of ours"));
  const { operationId } = JSON.parse(document.record().message);
  network.cut();
  server.commit({ position: 0, deleted: 2, inserted: "" }, "ann", operationId);
  await clock.until(() => document.status.patches.length > 0);
  expect(document.status.canEdit).toBe(false);
  expect(document.status.patches).toMatchObject([{ code: "operation_id_reused" }]);
  await clock.until(() => document.status.isSaved && document.status.canEdit);
  expect(document.text).toBe("xt");
  expect(server.text).toBe("xt");
});

test("rate limited: the same message goes again", async () => {
  const { clock, server, person } = scene("");
  const { document } = await person("ann");
  let times = 0;
  server.refuse = () => {
    times += 1;
    return times <= 2 ? "rate_limited" : null;
  };
  document.edit(insert(0, "x"));
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("x");
  expect(times).toBe(3);
});

test("a message that is too large for the server becomes a patch", async () => {
  const { clock, server, person } = scene("");
  server.limits.messageBytes = 1_000;
  const { document } = await person("ann");
  document.edit(insert(0, "ä".repeat(500)));
  await clock.until(() => document.status.isSaved);
  expect(document.status.patches).toMatchObject([{ code: "message_too_large", text: "ä".repeat(500) }]);
  expect(server.text).toBe("");
});

test("another history: what is pending cannot be carried over and becomes a patch", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann");
  network.isUp = false;
  network.cut();
  await clock.pass(100);
  document.edit(insert(2, "mine"));
  server.restoreBackup("older");
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
  expect(document.text).toBe("older");
  expect(document.status.patches).toMatchObject([{ code: "history_unavailable", text: "mine" }]);
});

test("a past that was pruned: what is committed is not handed back, the rest is", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann", { delay: 20 });
  document.edit(insert(2, "c"));
  document.edit(insert(3, "d"));
  await clock.until(() => server.text === "abc");
  network.isUp = false;
  network.cut();
  server.prunedThrough = server.sequence;
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
  expect([document.text, server.text]).toEqual(["abc", "abc"]);
  expect(document.status.patches).toMatchObject([{ code: "history_unavailable", text: "d" }]);
});

test("rejoin over an unsure disk asks for the fates and loses nothing", async () => {
  const { clock, server, person } = scene("");
  const { document } = await person("ann", { delay: 10 });
  document.edit(insert(0, "a"));
  await clock.pass(4);
  server.rejoin("storage_unavailable");
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("a");
  const join = server.received.findLast((message) => message.type === "join");
  expect(join).toMatchObject({ inFlight: [expect.stringMatching(/:1$/)] });
});

test("the server says when to join again, and what is typed meanwhile goes along", async () => {
  const { clock, server, person } = scene("");
  const { document } = await person("ann", { delay: 1 });
  const joins = () => server.received.filter((message) => message.type === "join").length;
  const before = joins();
  server.rejoin("moved", 700);
  await clock.pass(100);
  document.edit(insert(0, "a"));
  await clock.pass(500);
  expect(joins()).toBe(before);
  await clock.until(() => document.status.isSaved);
  expect(joins()).toBe(before + 1);
  expect(server.text).toBe("a");
});

test("asked to join again while a join is on its way: the second is refused, and nothing is handed back", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann", { delay: 40 });
  network.isUp = false;
  network.cut();
  await clock.pass(10);
  document.edit(insert(2, "c"));
  for (let i = 0; i < 50; i += 1) server.commit({ position: 0, deleted: 0, inserted: "." });
  network.isUp = true;
  await clock.until(() => server.received.filter((message) => message.type === "join").length === 2);
  server.rejoin("slow_consumer");
  server.rejoin("slow_consumer");
  await clock.until(() => document.status.isSaved);
  expect(document.status).toMatchObject({ heals: 0, patches: [] });
  expect(server.text).toBe(`${".".repeat(50)}abc`);
});

test("a server whose storage fails is asked less and less often", async () => {
  const { clock, server, person } = scene("ab");
  const { document } = await person("ann");
  document.edit(insert(2, "c"));
  server.refusesJoins = true;
  server.rejoin("storage_unavailable");
  const joins = (): number => server.received.filter((message) => message.type === "join").length;
  const before = joins();
  await clock.pass(20_000);
  expect(joins() - before).toBeGreaterThan(5);
  expect(joins() - before).toBeLessThan(12);
  server.refusesJoins = false;
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("abc");
});

test("joined anew while the past is bridged: an answer for the older snapshot does not end the bridge", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann", { delay: 40 });
  server.window = 2;
  network.isUp = false;
  network.cut();
  await clock.pass(10);
  document.edit(insert(2, "c"));
  for (let i = 0; i < 5; i += 1) server.commit({ position: 0, deleted: 0, inserted: "." });
  network.isUp = true;
  await clock.until(() => server.received.filter((message) => message.type === "join").length === 2);
  server.commit({ position: 0, deleted: 0, inserted: "," });
  server.snapshotAgain();
  await clock.until(() => document.status.isSaved);
  expect(document.status).toMatchObject({ heals: 0, patches: [] });
  expect(server.text).toBe(`,${".".repeat(5)}abc`);
  expect(document.text).toBe(server.text);
});

test("access is taken away: what is not in the log is a patch, and nothing follows", async () => {
  const { clock, server, person } = scene("");
  const { document } = await person("ann", { delay: 20 });
  document.edit(insert(0, "in flight"));
  document.edit(insert(9, " queued"));
  const synced = document.synced().catch((error: unknown) => error);
  await clock.pass(1);
  server.setRole("ann", null);
  await clock.until(() => document.status.state === "ended");
  const error = await synced;
  expect(error).toBeInstanceOf(AccessEnded);
  expect(document.status).toMatchObject({ role: "viewer", canEdit: false, error: { code: "access_removed" } });
  expect(document.status.patches).toMatchObject([{ text: "in flight queued" }]);
  expect(() => document.edit(insert(0, "x"))).toThrow(AccessEnded);
  expect(server.text).toBe("");
});

test("access is taken away while an operation is under way that is committed all the same: no patch of it", async () => {
  const { clock, server, person } = scene("");
  const ann = await person("ann");
  await person("bob");
  ann.network.faults.delay = 40;
  ann.document.edit(insert(0, "in"));
  await clock.until(() => server.text === "in");
  ann.document.edit(insert(2, " out"));
  server.setRole("ann", null);
  await clock.until(() => ann.document.status.state === "ended");
  expect(ann.document.status.patches.map((patch) => patch.text)).toEqual([" out"]);
});

test("access is gone when we come back: the fates say what is in, and only the rest is a patch", async () => {
  const { clock, server, person } = scene("");
  const { document, network } = await person("ann", { delay: 40 });
  document.edit(insert(0, "in"));
  document.edit(insert(2, " out"));
  await clock.until(() => server.text === "in");
  network.isUp = false;
  network.cut();
  server.setRole("ann", null);
  network.isUp = true;
  await clock.until(() => document.status.state === "ended");
  expect(document.status.error?.code).toBe("file_not_found");
  expect(document.status.patches.map((patch) => patch.text)).toEqual([" out"]);
});

test("a viewer is told so, and is told when it changes", async () => {
  const { clock, server, person } = scene("ab");
  server.roles.set("ann", "viewer");
  const { document } = await person("ann");
  expect(document.status).toMatchObject({ role: "viewer", canEdit: false });
  server.setRole("ann", "editor");
  await clock.until(() => document.status.canEdit);
});

test("a text that differs is noticed by the check, heals itself and keeps what is pending", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann");
  document.check();
  await clock.pass(100);
  expect(document.status.heals).toBe(0);
  server.text = "aB";
  await clock.pass(5 * 60_000 + 1_000);
  expect(document.status.heals).toBe(1);
  expect(document.text).toBe("aB");
  network.isUp = false;
  network.cut();
  await clock.pass(10);
  server.text = "AB";
  document.edit(insert(2, "c"));
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
  document.check();
  await clock.until(() => document.status.heals === 2 && document.status.isSaved);
  expect(document.text).toBe("ABc");
});

test("a discarded edit comes back as a patch; the server's text is fetched", async () => {
  const { clock, server, person } = scene("ab");
  const { document, network } = await person("ann");
  expect(document.discard()).toBeNull();
  network.isUp = false;
  network.cut();
  await clock.pass(10);
  document.edit(insert(2, "c"));
  expect(document.discard()).toMatchObject({ code: "discarded", text: "c" });
  expect(document.status).toMatchObject({ unsent: 0, canEdit: false });
  network.isUp = true;
  await clock.until(() => document.status.isSaved && document.status.canEdit);
  expect(document.text).toBe("ab");
  expect(server.sequence).toBe(0);
});

test("cursors of others are in our units and go along with every edit", async () => {
  const { clock, person } = scene("😀ab");
  const ann = await person("ann");
  const bob = await person("bob");
  bob.document.setCursor(2, 4);
  const bobs = () => [...ann.document.participants.values()].find((one) => one.userId === "bob")?.cursor;
  await clock.until(() => bobs() !== null && bobs() !== undefined);
  expect(bobs()).toEqual({ anchor: 2, head: 4 });
  ann.document.edit(insert(0, "😀"));
  expect(bobs()).toEqual({ anchor: 4, head: 6 });
  ann.document.edit(insert(6, "at the caret"));
  expect(bobs()).toEqual({ anchor: 4, head: 6 });
  await clock.until(() => bob.document.text === ann.document.text);
  bob.document.edit(insert(6, "bob"));
  await clock.until(() => ann.document.text === bob.document.text);
  expect(bobs()?.head).toBe(9);
});

test("our cursor is right for the others while something is pending, and is not sent in vain", async () => {
  const { clock, server, person } = scene("ab");
  const ann = await person("ann", { delay: 30 });
  const bob = await person("bob");
  const sent = () => server.received.filter((message) => message.type === "setPresence");
  ann.document.setCursor(2, 2);
  await clock.pass(1_000);
  expect(sent()).toHaveLength(1);
  ann.document.setCursor(2, 2);
  await clock.pass(1_000);
  expect(sent()).toHaveLength(1);
  ann.document.edit(insert(1, "xyz"));
  ann.document.setCursor(3, 3);
  await clock.pass(17);
  expect(sent().at(-1)).toMatchObject({ documentVersion: 0, cursor: { anchor: 1, head: 1 } });
  await clock.pass(1_000);
  expect(sent().at(-1)).toMatchObject({ documentVersion: 1, cursor: { anchor: 3, head: 3 } });
  for (let at = 0; at < 50; at += 1) {
    ann.document.setCursor(at % 3, at % 3);
    await clock.pass(5);
  }
  expect(sent().length).toBeLessThan(10);
  await clock.pass(1_000);
  expect(sent().at(-1)).toMatchObject({ cursor: { head: 49 % 3 } });
  const anns = [...bob.document.participants.values()].find((one) => one.userId === "ann");
  expect(anns?.cursor?.head).toBe(49 % 3);
});

test("who goes is gone, and without a connection nobody is there", async () => {
  const { clock, person } = scene("");
  const ann = await person("ann");
  const bob = await person("bob");
  await clock.until(() => ann.document.participants.size === 2);
  await bob.document.close();
  await clock.until(() => ann.document.participants.size === 1);
  ann.network.cut();
  await clock.until(() => ann.document.participants.size === 0);
});

test("diagnostics tell what happened, and nothing of the text", async () => {
  const { clock, person } = scene("secret");
  const { document } = await person("ann");
  document.edit(insert(6, " secret"));
  document.edit(insert(0, "secret "));
  const before = JSON.stringify(document.diagnostics());
  await clock.until(() => document.status.isSaved);
  const diagnostics = document.diagnostics();
  expect(before + JSON.stringify(diagnostics)).not.toContain("secret");
  expect(diagnostics.messages.map((message) => message.type)).toContain("committed");
  expect(diagnostics.pending).toEqual([]);
  expect(JSON.parse(before).pending).toHaveLength(2);
});

test("a listener of changes cannot edit from within", async () => {
  const { clock, server, person } = scene("");
  const { document } = await person("ann");
  const errors: unknown[] = [];
  document.onChange(() => {
    try {
      document.edit(insert(0, "again"));
    } catch (error) {
      errors.push(error);
    }
  });
  document.edit(insert(0, "x"));
  expect(errors).toHaveLength(1);
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("x");
});

test("a closed document takes nothing more in, and the file can be opened anew", async () => {
  const { clock, person } = scene("ab");
  const { client, document } = await person("ann");
  await document.close();
  expect(() => document.edit(insert(0, "x"))).toThrow("closed");
  const again = client.open(FILE);
  expect(again).not.toBe(document);
  await clock.until(() => again.status.state === "live");
  expect(again.text).toBe("ab");
});

test("the caret is where it was the last time, unless it has been put elsewhere", async () => {
  const { clock, server, person } = scene("one 🙂 two");
  const bob = await person("bob");
  server.lastCursors.set("ann", { anchor: 4, head: 6 });
  const ann = await person("ann");
  expect(ann.document.cursor).toEqual({ anchor: 4, head: 7 });
  bob.document.edit(insert(0, "zero "));
  await clock.until(() => ann.document.text === "zero one 🙂 two");
  expect(ann.document.cursor).toEqual({ anchor: 9, head: 12 });
  await clock.until(() => [...bob.document.participants.values()].some(({ cursor }) => cursor?.head === 12));

  ann.network.cut();
  await clock.until(() => ann.document.status.state !== "live");
  await clock.until(() => ann.document.status.state === "live");
  expect(ann.document.cursor).toEqual({ anchor: 9, head: 12 });
  expect(server.received.filter((message) => message.type === "join").map((join) => join.lastCursor)).toEqual([
    true,
    true,
    undefined,
  ]);

  const second = new Client({ transport: ann.network, credential: async () => "ann", clock }).open(FILE);
  second.onStatus(() => {
    if (second.status.hasText && second.cursor === null) second.setCursor(1, 1);
  });
  await clock.until(() => second.status.state === "live");
  expect(second.cursor).toEqual({ anchor: 1, head: 1 });
});
