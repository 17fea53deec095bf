import { Client } from "../src/client.ts";
import type { Clock } from "../src/clock.ts";
import { MemoryLocks } from "../src/locks.ts";
import type { RecordKey, Save, Store, StoredFile, StoredRecord } from "../src/store.ts";
import { MemoryStore } from "../src/store.ts";
import type { Transport } from "../src/transport.ts";
import { FILE } from "./ordering_server.ts";
import { seeded } from "./random.ts";

/** A browser of one account: what is stored outlives its tabs, and each tab can crash at any moment. */
export class Device {
  readonly store = new MemoryStore();
  readonly locks = new MemoryLocks();
  readonly #clock: Clock;
  readonly #transport: Transport;
  readonly #account: string;
  readonly #random: () => number;
  /** How long the store takes for an answer, at most. */
  slowness = 0;
  isFull = false;

  constructor(clock: Clock, transport: Transport, account: string, random: () => number = seeded(1)) {
    this.#clock = clock;
    this.#transport = transport;
    this.#account = account;
    this.#random = random;
  }

  openTab(options: { account?: string | undefined; token?: string } = {}): Tab {
    return new Tab(this, this.#clock, this.#transport, "account" in options ? options.account : this.#account, {
      random: this.#random,
      token: options.token ?? this.#account,
    });
  }

  /** As it is stored now. */
  async records(): Promise<StoredRecord[]> {
    return this.store.list(this.#account);
  }
}

/** One page. After `crash` nothing of it happens any more, whatever was under way. */
export class Tab {
  readonly client: Client;
  isAlive = true;
  readonly #releases = new Set<() => void>();
  readonly #cancels = new Set<() => void>();
  readonly #links = new Set<{ close(): void }>();

  constructor(
    device: Device,
    clock: Clock,
    transport: Transport,
    account: string | undefined,
    { random, token }: { random: () => number; token: string },
  ) {
    const ownClock: Clock = {
      now: () => clock.now(),
      later: (milliseconds, action) => {
        if (!this.isAlive) return () => {};
        const cancel = clock.later(milliseconds, () => {
          this.#cancels.delete(cancel);
          action();
        });
        this.#cancels.add(cancel);
        return cancel;
      },
    };
    this.client = new Client({
      clock: ownClock,
      random,
      ...(account === undefined ? {} : { account }),
      credential: async () => token,
      transport: {
        connect: (handlers) => {
          if (!this.isAlive) return { send() {}, close() {} };
          const link = transport.connect(handlers);
          this.#links.add(link);
          return link;
        },
      },
      store: this.#store(device, clock, random),
      locks: {
        claim: async (name) => {
          const release = this.isAlive ? await device.locks.claim(name) : null;
          if (release !== null && !this.isAlive) release();
          if (release !== null) this.#releases.add(release);
          return release;
        },
      },
    });
  }

  open() {
    return this.client.open(FILE);
  }

  crash(): void {
    this.isAlive = false;
    for (const cancel of this.#cancels) cancel();
    for (const link of this.#links) link.close();
    for (const release of this.#releases) release();
  }

  /** The device's store: slow, maybe full, and unreachable for a page that has crashed. */
  #store(device: Device, clock: Clock, random: () => number): Store {
    const reach = async <T>(action: () => Promise<T>): Promise<T> => {
      const dead = () => new Promise<never>(() => {});
      if (!this.isAlive) await dead();
      if (device.slowness > 0) {
        await new Promise<void>((resolve) => clock.later(random() * device.slowness, resolve));
      }
      if (!this.isAlive) await dead();
      return action();
    };
    return {
      list: (account: string) => reach(() => device.store.list(account)),
      load: (key: RecordKey): Promise<StoredFile | null> => reach(() => device.store.load(key)),
      delete: (key: RecordKey) => reach(() => device.store.delete(key)),
      save: (save: Save) => {
        const asItIs = structuredClone(save);
        return reach(async () => {
          if (device.isFull) throw new Error("no room");
          await device.store.save(asItIs);
        });
      },
    };
  }
}
