import type { Clock } from "../src/clock.ts";
import type { Link, LinkHandlers, Transport } from "../src/transport.ts";
import type { OrderingServer } from "./ordering_server.ts";

/** What may go wrong, each a chance from 0 to 1 per frame. `delay`: the longest, in milliseconds. */
export interface Faults {
  delay: number;
  /** The link breaks; what is under way on it, in both directions, is gone. */
  cut: number;
  /** A frame of operations arrives twice. */
  duplicate: number;
  /** A committed frame does not arrive, and the link goes on. */
  skip: number;
}

export const NO_FAULTS: Faults = { delay: 0, cut: 0, duplicate: 0, skip: 0 };

interface Line {
  cut(): void;
}

/** Links to a server that deliver in order, when chance says so; and the switch that takes the whole network away. */
export class FaultyNetwork implements Transport {
  faults: Faults;
  isUp = true;
  attempts = 0;
  readonly #server: OrderingServer;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #lines = new Set<Line>();

  constructor(server: OrderingServer, clock: Clock, random: () => number = () => 0.5, faults: Partial<Faults> = {}) {
    this.#server = server;
    this.#clock = clock;
    this.#random = random;
    this.faults = { ...NO_FAULTS, ...faults };
  }

  /** Breaks every link. */
  cut(): void {
    for (const line of [...this.#lines]) line.cut();
  }

  connect(handlers: LinkHandlers): Link {
    this.attempts += 1;
    const clock = this.#clock;
    let isOpen = true;
    const close = (tell: boolean) => {
      if (!isOpen) return;
      isOpen = false;
      this.#lines.delete(line);
      this.#server.disconnect(seat);
      if (tell) clock.later(0, () => handlers.closed());
    };
    const line: Line = { cut: () => close(true) };
    let lastUp = 0;
    let lastDown = 0;
    const arrive = (last: number, action: () => void): number => {
      const at = Math.max(last, clock.now() + this.#random() * this.faults.delay);
      clock.later(at - clock.now(), () => {
        if (isOpen) action();
      });
      return at;
    };
    const isStruck = (chance: number) => this.#random() < chance;
    const down = (frame: string) => {
      const isCommitted = frame.startsWith('{"type":"committed"');
      if (isStruck(this.faults.cut)) line.cut();
      if (isCommitted && isStruck(this.faults.skip)) return;
      const times = isCommitted && isStruck(this.faults.duplicate) ? 2 : 1;
      for (let time = 0; time < times; time += 1) lastDown = arrive(lastDown, () => handlers.received(frame));
    };
    const seat = this.#server.connect(down, () => line.cut());
    this.#lines.add(line);
    clock.later(0, () => {
      if (!isOpen) return;
      if (this.isUp) handlers.opened();
      else close(true);
    });
    return {
      send: (frame) => {
        if (!isOpen) return;
        if (isStruck(this.faults.cut)) line.cut();
        const isOperation = frame.startsWith('{"type":"operation"') || frame.startsWith('{"type":"chain"');
        const times = isOperation && isStruck(this.faults.duplicate) ? 2 : 1;
        for (let time = 0; time < times; time += 1) {
          lastUp = arrive(lastUp, () => this.#server.receive(seat, frame));
        }
      },
      close: () => close(false),
    };
  }
}
