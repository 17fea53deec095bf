// The load generator: reads a job (JSON) from its input, writes {"figures"} or {"error"} (JSON).
//
// One process holds all clients of a run, each a real one of the system's own package with a socket of its own. They all
// use the same WebSocket (ws), the same schedule and the same random choices. At the end every client must have the same
// text with every operation in it, or there are no figures.

import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

globalThis.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
};

const SEED = 1;
const AT_ONCE = 10;
const OPEN_MS = 30_000;
const PATIENCE_MS = 60_000;

const job = JSON.parse(readFileSync(0, "utf8"));
process.setMaxListeners(0); // y-websocket listens for the end of the process, once for each client
const driver = await import(`./drivers/${job.driver}.mjs`);

// ---- what is measured with

/** Seconds of processor that the server has used, all its threads. */
function serverCpu() {
  const fields = readFileSync(`/proc/${job.pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / job.ticksPerSecond;
}

/** Bytes of memory that the server holds. */
function serverMemory() {
  return Number(readFileSync(`/proc/${job.pid}/statm`, "utf8").split(" ")[1]) * job.pageBytes;
}

/** Numbers from 0 to 1, the same in every run (mulberry32). */
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function percentile(values, fraction) {
  const ascending = Float64Array.from(values).sort();
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * fraction))];
}

async function until(condition, what) {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`${what} did not come within a minute`);
    await sleep(5);
  }
}

async function inParallel(items, work) {
  const todo = items[Symbol.iterator]();
  const worker = async () => {
    for (const item of todo) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** A client that is in sync with the server. */
async function open(name, user) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, OPEN_MS, new Error("a client was not in sync with the server in time"));
  });
  const client = await Promise.race([driver.open(job, name, user), late]);
  clearTimeout(timer);
  return client;
}

// ---- people who type

/** Latencies in milliseconds, in the order in which things happened. */
const tally = { acknowledged: [], seen: [], lag: [], running: true };

/** Inserts single characters at random places. `since` is when each was due; its latencies count from then. */
class Typist {
  constructor(client, user, random) {
    this.client = client;
    this.user = user;
    this.random = random;
    this.since = [];
    this.acknowledged = 0;
    this.seen = 0;
    client.onAcknowledged = (count) => {
      this.acknowledged = this.#note(tally.acknowledged, this.acknowledged, count);
      if (driver.acknowledges) this.returned();
    };
  }

  /** `other` is a client of the same document. */
  seenBy(other) {
    other.onSeen = (user, count) => {
      if (user !== this.user) return;
      this.seen = this.#note(tally.seen, this.seen, count);
      if (!driver.acknowledges) this.returned();
    };
  }

  type(since) {
    this.since.push(since);
    this.client.insert(Math.floor(this.random() * (this.client.length() + 1)), "x");
  }

  /** An operation is acknowledged, or where there is no such thing: has been seen. */
  returned() {}

  get isWaiting() {
    return (driver.acknowledges ? this.acknowledged : this.seen) < this.since.length;
  }

  get isSettled() {
    return this.seen === this.since.length && (!driver.acknowledges || this.acknowledged === this.since.length);
  }

  #note(latencies, from, to) {
    const now = performance.now();
    for (let index = from; index < to; index++) latencies.push(now - this.since[index]);
    return Math.max(from, to);
  }
}

/** A document with so many people in it, at least two, each watched by the next. */
async function company(name, count) {
  const typists = [];
  for (let user = 0; user < count; user++) {
    const client = await open(name, user);
    typists.push(new Typist(client, user, randomNumbers(SEED + user)));
  }
  for (const [index, typist] of typists.entries()) typist.seenBy(typists[(index + 1) % count].client);
  return typists;
}

/** The figures of the measured interval, which follows the warm-up. */
async function measured() {
  await sleep(job.warmUp * 1000);
  for (const latencies of [tally.acknowledged, tally.seen, tally.lag]) latencies.length = 0;
  const [start, cpu, ownCpu] = [performance.now(), serverCpu(), process.cpuUsage()];
  await sleep(job.seconds * 1000);
  const seconds = (performance.now() - start) / 1000;
  const used = serverCpu() - cpu;
  const own = process.cpuUsage(ownCpu);
  const { acknowledged, seen, lag } = tally;
  const operations = driver.acknowledges ? acknowledged.length : seen.length;
  if (operations === 0 || seen.length === 0) throw new Error("nothing came back in the measured interval");
  const figures = {
    opsPerSecond: operations / seconds,
    seenP50Ms: percentile(seen, 0.5),
    seenP99Ms: percentile(seen, 0.99),
    serverCpuUsPerOp: (used / operations) * 1e6,
    serverCpuShare: used / seconds,
    loadCpuShare: (own.user + own.system) / 1e6 / seconds,
    serverRssMb: serverMemory() / 2 ** 20,
  };
  if (driver.acknowledges) {
    figures.ackP50Ms = percentile(acknowledged, 0.5);
    figures.ackP99Ms = percentile(acknowledged, 0.99);
  }
  if (lag.length > 0) figures.lagP99Ms = percentile(lag, 0.99);
  tally.running = false;
  return figures;
}

/** Waits for what is under way, and compares the texts. */
async function settle(companies) {
  for (const typists of companies) {
    const expected = typists.reduce((sum, typist) => sum + typist.since.length, 0);
    await until(() => typists.every((typist) => typist.isSettled), "what was under way");
    await until(() => typists.every(({ client }) => client.length() === expected), "every operation at every client");
    const texts = new Set(typists.map(({ client }) => client.text()));
    if (texts.size !== 1) throw new Error("the clients of a document do not have the same text");
    for (const { client } of typists) client.close();
  }
}

// ---- the scenarios

/** Everybody in one document, each with one operation in flight and the next one ready. */
async function busy() {
  const typists = await company("busy", job.writers);
  for (const typist of typists) {
    // Not at once: a client may not be edited from within its own listeners.
    typist.returned = () =>
      queueMicrotask(() => {
        if (tally.running && !typist.isWaiting) typist.type(performance.now());
      });
    typist.type(performance.now());
  }
  const figures = await measured();
  await settle([typists]);
  return figures;
}

/** People who type at their own pace whatever the server does: so many documents, so many writers in each. */
async function steady() {
  const companies = [];
  await inParallel(Array(job.documents).keys(), async (number) => {
    companies[number] = await company(`steady-${number}`, job.writers);
  });
  const everybody = companies.flat();
  const typing = typeAtOwnPace(everybody);
  const figures = await measured();
  await typing;
  await settle(companies);
  return { ...figures, offeredPerSecond: job.rate * everybody.length };
}

/** So many independent Poisson processes are one of the sum of their rates, each event somebody's at random. */
async function typeAtOwnPace(typists) {
  const random = randomNumbers(SEED);
  let due = performance.now();
  while (tally.running) {
    for (let now = performance.now(); due <= now; now = performance.now()) {
      tally.lag.push(now - due);
      typists[Math.floor(random() * typists.length)].type(due);
      due += (-Math.log(1 - random()) / (job.rate * typists.length)) * 1000;
    }
    await sleep(1);
  }
}

/** What an open document costs the server in memory while nobody types: one client and socket each. */
async function idle() {
  const text = "All work and no play makes Jack a dull boy.\n".repeat(job.length / 44 + 1).slice(0, job.length);
  const clients = [];
  const fill = async (name) => {
    const client = await open(name, 0);
    let acknowledged = 0;
    client.onAcknowledged = (count) => {
      acknowledged = count;
    };
    client.insert(0, text);
    if (driver.acknowledges) await until(() => acknowledged === 1, "an acknowledgement");
    clients.push(client);
  };
  await inParallel(
    Array.from({ length: job.warmUpDocuments }, (_, number) => `warm-${number}`),
    fill,
  );
  await sleep(job.settle * 1000);
  const before = serverMemory();
  await inParallel(
    Array.from({ length: job.documents }, (_, number) => `idle-${number}`),
    fill,
  );
  await sleep(job.settle * 1000);
  const after = serverMemory();
  const late = await open(`idle-${job.documents - 1}`, 1);
  await until(() => late.text() === text, "the text of the last document");
  for (const client of [...clients, late]) client.close();
  return { rssPerDocumentKb: (after - before) / job.documents / 1024, serverRssMb: after / 2 ** 20 };
}

/** A recorded history, each keystroke an operation; then how long a new client takes until it has the text. */
async function join() {
  const { patches, text } = JSON.parse(readFileSync(job.history, "utf8"));
  const writer = await open("join", 0);
  let acknowledged = 0;
  writer.onAcknowledged = (count) => {
    acknowledged = count;
  };
  const start = performance.now();
  for (const [index, [position, deleted, inserted]] of patches.entries()) {
    writer.replace(position, deleted, inserted);
    if (driver.acknowledges) {
      // Not a timer: that would be longer than most acknowledgements take.
      while (index + 1 - acknowledged >= driver.inFlight) await new Promise(setImmediate);
    } else if (index % driver.inFlight === 0) {
      await new Promise(setImmediate);
    }
  }
  if (driver.acknowledges) await until(() => acknowledged === patches.length, "the last acknowledgement");
  const built = performance.now();
  for (let found = ""; found !== text; ) {
    if (performance.now() - built > PATIENCE_MS) throw new Error("a new client does not get the text of the history");
    const reader = await open("join", 1);
    await sleep(100);
    found = reader.text();
    reader.close();
  }
  await sleep(500);
  const times = [];
  const cpu = serverCpu();
  for (let number = 0; number < job.joins; number++) {
    const begin = performance.now();
    const reader = await open("join", 1);
    const { length } = reader.text();
    times.push(performance.now() - begin);
    if (length !== text.length) throw new Error("a new client was in sync before it had the text");
    reader.close();
  }
  const used = serverCpu() - cpu;
  writer.close();
  return {
    joinMs: percentile(times, 0.5),
    joinCpuMs: (used / job.joins) * 1000,
    historyPerSecond: (patches.length / (built - start)) * 1000,
    serverRssMb: serverMemory() / 2 ** 20,
  };
}

// ----

let hasFailed = false;

/** Whatever goes wrong, also in a client's own callbacks, ends the run; the first is told. */
function fail(error) {
  if (hasFailed) return;
  hasFailed = true;
  process.stdout.write(JSON.stringify({ error: String(error?.stack ?? error) }), () => process.exit(1));
}
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

try {
  const figures = await { busy, steady, idle, join }[job.scenario]();
  process.stdout.write(JSON.stringify({ figures }), () => process.exit(0));
} catch (error) {
  fail(error);
}
