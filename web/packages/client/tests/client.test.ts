import { expect, test } from "vitest";
import { Client } from "../src/client.ts";
import { CoscribeError } from "../src/core/errors.ts";
import type { TextEdit } from "../src/replica.ts";
import { compileOperation, encode } from "../src/wire/codec.ts";
import { Device } from "./device.ts";
import { type Faults, FaultyNetwork } from "./faulty_network.ts";
import { FILE, OrderingServer } from "./ordering_server.ts";
import { seeded } from "./random.ts";
import { VirtualClock } from "./virtual_clock.ts";

function insert(at: number, text: string): TextEdit[] {
  return [{ from: at, to: at, insert: text }];
}

function scene(text = "", faults: Partial<Faults> = {}) {
  const clock = new VirtualClock();
  const server = new OrderingServer(text);
  const network = new FaultyNetwork(server, clock, () => 0.5, faults);
  const device = new Device(clock, network, "ann");
  const offline = () => {
    network.isUp = false;
    network.cut();
  };
  return { clock, server, network, device, offline };
}

test("a file that was open once can be read and edited without a network after a reload", async () => {
  const { clock, server, network, device, offline } = scene("from the server");
  const before = device.openTab();
  const first = before.open();
  await clock.until(() => first.status.isSaved);
  server.commit({ position: 0, deleted: 4, inserted: "kept" });
  await clock.pass(2_000);
  offline();
  await clock.pass(100);
  first.edit(insert(0, "1"));
  first.edit(insert(1, "2"));
  await clock.pass(1);
  before.crash();

  const second = device.openTab().open();
  await clock.pass(1_000);
  expect(second.text).toBe("12kept the server");
  expect(second.status).toMatchObject({ canEdit: true, unsent: 2, isKept: true });
  second.edit(insert(2, "3"));
  network.isUp = true;
  await clock.until(() => second.status.isSaved);
  expect(server.text).toBe("123kept the server");
  expect(second.text).toBe(server.text);
  expect(server.received.filter((message) => message.type === "getChecksum").length).toBeGreaterThan(0);
  expect(await device.records()).toMatchObject([{ inFlight: [], queue: [] }]);
});

test("an operation is sent only after its frozen message is stored", async () => {
  const { clock, server, device } = scene();
  device.slowness = 200;
  const document = device.openTab().open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(0, "x"));
  for (let i = 0; i < 100 && server.sequence === 0; i += 1) {
    await clock.pass(5);
    const [record] = await device.records();
    const isSent = server.received.some((message) => message.type === "operation");
    if (isSent) expect(record?.message).toContain('"payload":"x"');
  }
  await clock.until(() => document.status.isSaved);
  expect(server.text).toBe("x");
});

test("a crash between storing and the acknowledgement: the same message goes again and is committed once", async () => {
  const { clock, server, device } = scene("", { delay: 40 });
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(0, "once"));
  await clock.until(() => server.text === "once");
  document.edit(insert(4, " more"));
  await clock.pass(1);
  tab.crash();
  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("once more");
  expect(again.text).toBe("once more");
});

test("where the store refuses the client goes on and says so; when it takes again nothing is missing", async () => {
  const { clock, server, device, offline } = scene("a");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  expect(document.status.isKept).toBe(true);
  device.isFull = true;
  document.edit(insert(1, "b"));
  await clock.until(() => server.text === "ab");
  expect(document.status.isKept).toBe(false);
  for (let i = 0; i < 5; i += 1) {
    server.commit({ position: 0, deleted: 0, inserted: "-" });
    await clock.pass(1_500);
  }
  device.isFull = false;
  offline();
  await clock.pass(100);
  document.edit(insert(7, "c"));
  await clock.until(() => document.status.isKept);
  tab.crash();
  const again = device.openTab().open();
  await clock.pass(100);
  expect(again.text).toBe("-----abc");
});

test("a store that does not answer holds nothing up for long", async () => {
  const { clock, server, device } = scene("a");
  device.slowness = 1_000_000;
  const document = device.openTab().open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(1, "b"));
  await clock.until(() => server.text === "ab");
  expect(document.status.isKept).toBe(false);
});

test("a new base is written when many operations lie behind the old one", async () => {
  const { clock, server, device, offline } = scene("a");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  for (let i = 0; i < 1_100; i += 1) server.commit({ position: 0, deleted: 0, inserted: "-" });
  await clock.pass(3_000);
  server.commit({ position: 0, deleted: 0, inserted: "+" });
  await clock.pass(3_000);
  const [record] = await device.records();
  const stored = record === undefined ? null : await device.store.load(record);
  expect(stored?.operations.length).toBeLessThan(1_000);
  offline();
  tab.crash();
  const again = device.openTab().open();
  await clock.pass(100);
  expect(again.text).toBe(server.text);
});

test("after an absence that was too long for a tail the kept text is the new one", async () => {
  const { clock, server, network, device, offline } = scene("a");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  offline();
  for (let i = 0; i < 100; i += 1) server.commit({ position: 0, deleted: 0, inserted: "-" });
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
  server.commit({ position: 0, deleted: 0, inserted: "+" });
  await clock.pass(3_000);
  offline();
  tab.crash();
  const again = device.openTab().open();
  await clock.pass(100);
  expect(again.text).toBe(server.text);
});

test("a crash right after a refusal: the kept text is the server's, without what was refused", async () => {
  const { clock, server, device, offline } = scene("a", { delay: 20 });
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  server.refuse = () => "file_too_large";
  document.edit(insert(1, " refused"));
  for (let i = 0; i < 1_100; i += 1) server.commit({ position: 0, deleted: 0, inserted: "-" });
  await clock.until(() => document.status.patches.length === 1);
  await clock.pass(0);
  tab.crash();
  offline();
  const again = device.openTab().open();
  await clock.pass(100);
  expect(again.text).toBe(server.text);
  expect(again.status.patches).toMatchObject([{ text: " refused" }]);
});

test("an undo that is sent after a reload still says what it brings back", async () => {
  const { clock, server, network, device, offline } = scene("");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(0, "x"));
  await clock.until(() => document.status.isSaved);
  offline();
  await clock.pass(100);
  document.undo();
  await clock.pass(10);
  tab.crash();
  network.isUp = true;
  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(server.entries.at(-1)?.committed).toMatchObject({ operationType: "delete", restores: [1] });
});

test("two tabs have records of their own; what a closed tab left is delivered by the one that opens next", async () => {
  const { clock, server, network, device, offline } = scene("|");
  const tabs = [device.openTab(), device.openTab()];
  const [one, two] = tabs.map((tab) => tab.open());
  if (one === undefined || two === undefined) throw new Error("two tabs");
  await clock.until(() => one.status.isSaved && two.status.isSaved);
  expect(await device.records()).toHaveLength(2);
  offline();
  await clock.pass(100);
  one.edit(insert(0, "one"));
  await clock.pass(10);
  two.edit(insert(1, "two"));
  await clock.pass(10);
  for (const tab of tabs) tab.crash();

  const client = device.openTab().client;
  const third = client.open(FILE);
  await clock.pass(100);
  expect(third.text).toBe("|two");
  expect(await client.unsent()).toMatchObject([
    { fileId: FILE, edits: 1, patch: { text: "two" } },
    { fileId: FILE, edits: 1, patch: { text: "one" } },
  ]);
  network.isUp = true;
  await clock.until(() => third.status.isSaved && third.text === "one|two");
  expect(server.text).toBe("one|two");
  await clock.pass(1_000);
  expect(await device.records()).toHaveLength(1);
});

test("a tab never takes the record of another one that is still open", async () => {
  const { clock, server, network, device, offline } = scene("a");
  const first = device.openTab().open();
  await clock.until(() => first.status.isSaved);
  offline();
  await clock.pass(100);
  first.edit(insert(1, "b"));
  await clock.pass(10);
  const second = device.openTab().open();
  await clock.pass(100);
  expect(second.text).toBe("");
  expect(second.status).toMatchObject({ canEdit: false, unsent: 0 });
  network.isUp = true;
  await clock.until(() => first.status.isSaved && second.status.isSaved && second.text === "ab");
  expect(server.text).toBe("ab");
  expect(server.received.filter((message) => message.type === "operation")).toHaveLength(1);
  expect(await device.records()).toHaveLength(2);
});

test("what is refused of a record that is delivered becomes a patch of the document that is open", async () => {
  const { clock, server, network, device, offline } = scene("|");
  const tabs = [device.openTab(), device.openTab()];
  const [one, two] = tabs.map((tab) => tab.open());
  await clock.until(() => one?.status.isSaved === true && two?.status.isSaved === true);
  offline();
  await clock.pass(100);
  one?.edit(insert(0, "refused"));
  await clock.pass(10);
  two?.edit(insert(1, "fine"));
  await clock.pass(10);
  for (const tab of tabs) tab.crash();
  server.refuse = (message) => (JSON.stringify(message).includes("refused") ? "file_too_large" : null);
  const tab = device.openTab();
  const third = tab.open();
  network.isUp = true;
  await clock.until(() => third.status.patches.length === 1 && third.status.isSaved);
  expect(third.status.patches).toMatchObject([{ code: "file_too_large", text: "refused" }]);
  await clock.pass(1_000);
  expect(await device.records()).toMatchObject([{ patches: [{ text: "refused" }] }]);
  tab.crash();
  const fourth = device.openTab().open();
  await clock.until(() => fourth.status.isSaved);
  expect(fourth.status.patches).toHaveLength(1);
});

test("a client that is closed in the middle of a delivery leaves the record to the next", async () => {
  const { clock, server, network, device, offline } = scene("|", { delay: 50 });
  const tabs = [device.openTab(), device.openTab()];
  const [one, two] = tabs.map((tab) => tab.open());
  await clock.until(() => one?.status.isSaved === true && two?.status.isSaved === true);
  offline();
  await clock.pass(100);
  one?.edit(insert(0, "one"));
  await clock.pass(10);
  two?.edit(insert(1, "two"));
  await clock.pass(10);
  for (const tab of tabs) tab.crash();
  network.isUp = true;
  const { client } = device.openTab();
  const third = client.open(FILE);
  await clock.until(() => third.status.isSaved);
  expect(server.text).toBe("|two");
  await client.close();
  const fourth = device.openTab().open();
  await clock.until(() => fourth.status.isSaved && fourth.text === "one|two");
  await clock.pass(1_000);
  expect(server.text).toBe("one|two");
  expect(await device.records()).toHaveLength(1);
});

test("nothing is ever sent as another account", async () => {
  const { clock, server, network, device, offline } = scene("");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  offline();
  await clock.pass(100);
  document.edit(insert(0, "ann's"));
  await clock.pass(10);
  tab.crash();
  network.isUp = true;
  const other = device.openTab({ token: "bob" });
  const opened = other.open();
  await clock.until(() => other.client.status.state === "ended");
  expect(other.client.status.error?.code).toBe("user_mismatch");
  expect(opened.status.error?.code).toBe("user_mismatch");
  expect(opened.status.unsent).toBe(1);
  await clock.pass(60_000);
  expect(server.text).toBe("");
  other.crash();
  const bob = device.openTab({ account: undefined, token: "bob" }).open();
  await clock.until(() => bob.status.isSaved);
  await clock.pass(10_000);
  expect(server.text).toBe("");
  const ann = device.openTab({ account: undefined }).open();
  await clock.until(() => ann.status.isSaved && ann.text === "ann's");
});

test("discardUnsent drops what is unsent, here and in records that nobody has open", async () => {
  const { clock, server, network, device, offline } = scene("");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  offline();
  await clock.pass(100);
  document.edit(insert(0, "left"));
  await clock.pass(10);
  tab.crash();
  const { client } = device.openTab();
  await client.discardUnsent();
  expect(await device.records()).toEqual([]);
  network.isUp = true;
  const again = client.open(FILE);
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("");
});

test("a document that is closed and opened at once has its record back", async () => {
  const { clock, device, offline } = scene("a");
  const { client } = device.openTab();
  const document = client.open(FILE);
  await clock.until(() => document.status.isSaved);
  offline();
  await clock.pass(100);
  document.edit(insert(1, "b"));
  void document.close();
  const again = client.open(FILE);
  await clock.pass(100);
  expect(again.text).toBe("ab");
  expect(await device.records()).toHaveLength(1);
});

test("opened, closed and opened again before the store has answered: still one record", async () => {
  const { clock, device, server } = scene("a");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(1, "b"));
  await clock.pass(1);
  tab.crash();
  device.slowness = 20;
  const { client } = device.openTab();
  void client.open(FILE).close();
  const again = client.open(FILE);
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("ab");
  expect(await device.records()).toHaveLength(1);
});

test("texts of files that are not open are kept up to a number, the oldest go", async () => {
  const { clock, device } = scene("a");
  const lineage = { incarnation: "one", serverSequenceId: 0, chainHash: "00" };
  const place = { account: "ann", series: "old", role: "editor", version: 0, lineage, message: "" } as const;
  const pending = { operationId: "x:1", change: [[0, 0, "x"]] as const, edits: 1, restores: [] };
  for (let i = 0; i < 110; i += 1) {
    const queue = i === 0 ? [pending] : [];
    const record = { ...place, fileId: `file-${i}`, savedAt: i, inFlight: [], queue, patches: [] };
    await device.store.save({ record, base: { text: "", version: 0, lineage }, operations: [] });
  }
  const document = device.openTab().open();
  await clock.until(() => document.status.isSaved);
  const names = (await device.records()).map((record) => record.fileId);
  expect(names).toHaveLength(102);
  expect(names).toContain("file-0");
  expect(names).not.toContain("file-9");
});

test("a record whose parts contradict each other is left alone", async () => {
  const { clock, device, server } = scene("a");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  document.edit(insert(1, "b"));
  await clock.pass(1);
  await document.flush();
  tab.crash();
  const [record] = await device.records();
  if (record === undefined) throw new Error("no record");
  const pending = { operationId: "x:1", change: [[0, 0, "damaged"]] as const, edits: 1, restores: [] };
  const damaged = { ...record, message: "", inFlight: [pending] };
  await device.store.save({ record: damaged, operations: [] });
  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("ab");
  expect((await device.records()).map((kept) => kept.inFlight.length).sort()).toEqual([0, 1]);
});

test("a chain of which a copy of the device has sent a part does not stay in flight", async () => {
  const { clock, device, server } = scene("text");
  const tab = device.openTab();
  const document = tab.open();
  await clock.until(() => document.status.isSaved);
  await document.flush();
  tab.crash();
  const [record] = await device.records();
  if (record === undefined) throw new Error("no record");
  const inFlight = [
    { operationId: "copied:1", change: [[0, 0, "a"]] as const, edits: 1, restores: [] },
    { operationId: "copied:2", change: [[1, 0, "b"]] as const, edits: 1, restores: [] },
  ];
  const message = encode({
    type: "chain",
    fileId: FILE,
    userId: "ann",
    baseVersion: record.version,
    operations: [
      { operationId: "copied:1", operationType: "insert", position: 0, payload: "a" },
      { operationId: "copied:2", operationType: "insert", position: 1, payload: "b" },
    ],
  });
  await device.store.save({ record: { ...record, message, inFlight }, operations: [] });
  server.commit(compileOperation("insert", 0, "a"), "ann", "copied:1");

  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(server.received.filter((received) => received.type === "chain").length).toBe(1);
  expect([server.text, again.text]).toEqual(["atext", "atext"]);
  expect(again.status.patches.map((patch) => [patch.code, patch.edits])).toEqual([["chain_mismatch", [[[1, 0, "b"]]]]]);
  await again.flush();
  expect(await device.records()).toMatchObject([{ message: "", inFlight: [], queue: [] }]);
});

test("pauses between attempts grow, with chance in them; a hint connects at once", async () => {
  const { clock, network, device } = scene();
  network.isUp = false;
  const { client } = device.openTab();
  client.open(FILE);
  await clock.pass(60_000);
  const slow = network.attempts;
  expect(slow).toBeGreaterThan(8);
  expect(slow).toBeLessThan(25);
  client.networkChanged();
  await clock.pass(0);
  expect(network.attempts).toBe(slow + 1);
  network.isUp = true;
  client.networkChanged();
  await clock.pass(10);
  client.networkChanged();
  await clock.pass(100);
  expect(client.status.state).toBe("live");
});

test("goodbye names the time to come back", async () => {
  const { clock, network, device } = scene();
  let connects = 0;
  const transport = {
    connect(handlers: Parameters<FaultyNetwork["connect"]>[0]) {
      connects += 1;
      const link = network.connect(handlers);
      if (connects === 1) {
        clock.later(50, () => {
          handlers.received('{"type":"goodbye","reason":"shutting_down","retryAfter":30000}');
          network.cut();
        });
      }
      return link;
    },
  };
  const client = new Client({ transport, credential: async () => "ann", clock });
  client.open(FILE);
  await clock.pass(29_000);
  expect(connects).toBe(1);
  await clock.pass(3_000);
  expect(connects).toBe(2);
  expect(await device.records()).toEqual([]);
});

test("a server that said goodbye is looked for often, for a while", async () => {
  const { clock, network } = scene();
  const attempts: number[] = [];
  let say = (_frame: string): void => {};
  const transport = {
    connect(handlers: Parameters<FaultyNetwork["connect"]>[0]) {
      attempts.push(clock.now());
      say = handlers.received;
      return network.connect(handlers);
    },
  };
  const client = new Client({ transport, credential: async () => "ann", clock });
  const document = client.open(FILE);
  await clock.until(() => document.status.isSaved);
  say('{"type":"goodbye","reason":"shutting_down","retryAfter":100}');
  network.isUp = false;
  network.cut();
  const gone = clock.now();
  await clock.pass(120_000);
  const pauses = attempts.slice(1).map((at, index) => at - (attempts.slice(1)[index - 1] ?? gone));
  expect(pauses[0]).toBeGreaterThanOrEqual(100);
  const soon = pauses.filter((_, index) => (attempts[index + 1] ?? 0) < gone + 30_000);
  expect(Math.max(...soon)).toBeLessThan(600);
  expect(Math.max(...pauses)).toBeGreaterThan(5_000);
  network.isUp = true;
  await clock.until(() => document.status.isSaved);
});

test("too many connections of the account: it waits, comes again, and gets in when there is room", async () => {
  const { clock, network } = scene();
  let isFull = true;
  const attempts: number[] = [];
  const refusal = JSON.stringify({
    type: "error",
    code: "too_many_requests",
    fault: "client",
    retry: "same",
    detail: "too many connections of this account are open",
    help: "",
  });
  const transport = {
    connect(handlers: Parameters<FaultyNetwork["connect"]>[0]) {
      attempts.push(clock.now());
      if (!isFull) return network.connect(handlers);
      clock.later(5, () => handlers.opened());
      return {
        send: () => {
          clock.later(5, () => handlers.received(refusal));
          clock.later(6, () => handlers.closed());
        },
        close: () => {},
      };
    },
  };
  const client = new Client({ transport, credential: async () => "ann", clock, random: () => 0 });
  const document = client.open(FILE);
  await clock.pass(60_000);
  expect(client.status).toMatchObject({ state: "offline", error: null });
  expect(attempts.length).toBeGreaterThan(5);
  const pauses = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0));
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(5_000);
  isFull = false;
  await clock.until(() => document.status.isSaved);
  expect(client.status.state).toBe("live");
});

test("a link that has died without a word is noticed by silence, and at once after a hint", async () => {
  const { clock, server, network } = scene();
  let isDead = false;
  const transport = {
    connect(handlers: Parameters<FaultyNetwork["connect"]>[0]) {
      const link = network.connect({ ...handlers, received: (frame) => isDead || handlers.received(frame) });
      return { ...link, send: (frame: string) => isDead || link.send(frame) };
    },
  };
  const client = new Client({ transport, credential: async () => "ann", clock });
  const document = client.open(FILE);
  await clock.until(() => document.status.isSaved);
  await clock.pass(120_000);
  expect(network.attempts).toBe(1);
  isDead = true;
  await clock.pass(46_000);
  expect(network.attempts).toBeGreaterThan(1);
  isDead = false;
  await clock.until(() => document.status.state === "live");
  const attempts = network.attempts;
  isDead = true;
  client.networkChanged();
  await clock.pass(6_000);
  expect(network.attempts).toBe(attempts + 1);
  isDead = false;
  await clock.until(() => document.status.state === "live");
  expect(server.received.some((message) => message.type === "ping")).toBe(true);
});

test("a credential that may not be had again ends the client; any other failure is tried again", async () => {
  const { clock, network } = scene();
  const errors = [new Error("no network"), new CoscribeError("too_many_requests"), new CoscribeError("session_ended")];
  let asked = 0;
  const credential = async () => {
    const error = errors[asked];
    asked += 1;
    throw error;
  };
  const client = new Client({ transport: network, credential, clock });
  const document = client.open(FILE);
  const live = document.live().catch((error: unknown) => error);
  await clock.pass(60_000);
  expect(asked).toBe(3);
  expect(client.status).toMatchObject({ state: "ended", error: { code: "session_ended" } });
  expect(await live).toBe(client.status.error);
  expect(client.open("another").status.error).toBe(client.status.error);
});

test("closing stores what is pending, and the next client sends it", async () => {
  const { clock, server, network, device, offline } = scene("");
  const { client } = device.openTab();
  const document = client.open(FILE);
  await clock.until(() => document.status.isSaved);
  offline();
  await clock.pass(100);
  document.edit(insert(0, "kept"));
  await client.close();
  network.isUp = true;
  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("kept");
});

test("what was done before a reload can be taken back behind it, among the edits of others", async () => {
  const { clock, server, device } = scene("text");
  const tab = device.openTab();
  const before = tab.open();
  await clock.until(() => before.status.isSaved);
  before.edit(insert(0, "one "));
  await clock.until(() => before.status.isSaved);
  before.edit(insert(4, "two "));
  await clock.until(() => before.status.isSaved);
  before.edit(insert(8, "three "));
  before.undo();
  await clock.until(() => before.status.isSaved);
  server.commit({ position: 2, deleted: 0, inserted: "<>" });
  await clock.pass(2_000);
  tab.crash();
  server.commit({ position: 0, deleted: 0, inserted: "away " });

  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(again.text).toBe("away on<>e two text");
  expect([again.canUndo, again.canRedo]).toEqual([true, true]);
  again.undo();
  again.undo();
  expect(again.text).toBe("away <>text");
  expect(again.undo()).toBe(false);
  again.redo();
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe("away on<>e text");
  const sent = server.received.filter((message) => message.type === "operation");
  expect(sent.slice(-1)[0]?.restores?.length).toBeGreaterThan(0);
});

test("so it is where the server has to send a snapshot, and where the text was not kept", async () => {
  const { clock, server, device } = scene("text");
  const tab = device.openTab();
  const before = tab.open();
  await clock.until(() => before.status.isSaved);
  before.edit(insert(4, " mine"));
  await clock.until(() => before.status.isSaved);
  await clock.pass(2_000);
  tab.crash();
  for (let at = 0; at < 3 * server.window; at += 1) server.commit({ position: 0, deleted: 0, inserted: "x" });
  const [record] = await device.records();
  if (record === undefined) throw new Error("nothing was kept");
  await device.store.save({ record, base: null, operations: [] });

  const again = device.openTab().open();
  await clock.until(() => again.status.isSaved);
  expect(again.text).toContain("text mine");
  expect(again.undo()).toBe(true);
  await clock.until(() => again.status.isSaved);
  expect(server.text).toBe(`${"x".repeat(3 * server.window)}text`);
});

test("steps that cannot be read, or of another log, are forgotten; what is pending is not", async () => {
  const { clock, server, network, device, offline } = scene("text");
  const tab = device.openTab();
  const before = tab.open();
  await clock.until(() => before.status.isSaved);
  offline();
  before.edit(insert(0, "kept "));
  await clock.pass(100);
  tab.crash();
  const [record] = await device.records();
  if (record === undefined) throw new Error("nothing was kept");
  await device.store.save({ record: { ...record, undo: '{"undo": [7]}' }, operations: [] });
  const second = device.openTab();
  const again = second.open();
  await clock.pass(100);
  expect([again.text, again.canUndo]).toEqual(["kept text", false]);
  again.edit(insert(0, "more "));
  await clock.pass(100);
  second.crash();
  server.restoreBackup("another");
  network.isUp = true;
  const third = device.openTab().open();
  await clock.until(() => third.status.state === "live");
  expect([third.text, third.canUndo]).toEqual(["another", false]);
  expect(third.status.patches).toMatchObject([{ text: expect.stringContaining("kept ") }]);
});

test.each(Array.from({ length: 5 }, (_, at) => at + 1))(
  "others write and the tab dies: all steps together take back what is ours alone (seed %i)",
  async (seed) => {
    const random = seeded(seed);
    const { clock, server, device } = scene("");
    let tab = device.openTab();
    let document = tab.open();
    let theirs = 0;
    await clock.until(() => document.status.isSaved);
    for (let step = 0; step < 150; step += 1) {
      const dice = random();
      if (dice < 0.5) document.edit(insert(Math.floor(random() * (document.length + 1)), "o"));
      else if (dice < 0.55) document.undo();
      else if (dice < 0.6) document.redo();
      else if (dice < 0.9) {
        server.commit({ position: Math.floor(random() * (server.text.length + 1)), deleted: 0, inserted: "T" });
        theirs += 1;
      } else {
        tab.crash();
        tab = device.openTab();
        document = tab.open();
        await clock.until(() => document.status.hasText);
      }
      await clock.pass(Math.floor(random() * 1_500));
    }
    await clock.until(() => document.status.isSaved);
    while (document.undo());
    await clock.until(() => document.status.isSaved);
    expect(server.text).toBe("T".repeat(theirs));
  },
);
