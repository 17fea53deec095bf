/**
 * Connection: one link to the server, kept up. It is made anew after every loss, after pauses that double and have some
 * chance in them, until it is closed or refused for good.
 *
 *     waiting --pause over, or a hint--> connecting --welcome--> up --closed, or silent--> waiting
 *
 * A link that has died without a word is noticed by silence: a ping goes out, and where nothing is heard after it the
 * link is given up. After a hint that the machine has woken up or has a network again both happen at once.
 */

import type { Clock } from "./clock.ts";
import { CoscribeError, ERRORS, isErrorCode } from "./core/errors.ts";
import type { Link, Transport } from "./transport.ts";
import { decodeServer, encode, type ServerLimits, type ServerMessage } from "./wire/codec.ts";

const PROTOCOL_VERSIONS = [2, 1];
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** So long a server that said goodbye is looked for often, with pauses no longer than this or than it has named. */
const AWAITED_MS = 30_000;
const AWAITED_PAUSE_MS = 500;
/** The pause after a refusal because too many connections of the account are open; chance makes it up to half shorter. */
const TOO_MANY_PAUSE_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
const PING_AFTER_MS = 20_000;
const PONG_WITHIN_MS = 25_000;
const PONG_WITHIN_AFTER_HINT_MS = 5_000;

/** A connection that lasted so long was a good one: the pauses begin anew. */
const STEADY_MS = 5_000;

export interface ConnectionOptions {
  readonly transport: Transport;
  /** What proves who we are, asked for before each attempt. */
  readonly credential: () => Promise<string>;
  /** The user we must be; nothing is sent as another one. */
  readonly account: string | undefined;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Name and version, for the server's logs. */
  readonly name: string;
}

export interface ConnectionHandlers {
  connecting(): void;
  welcomed(): void;
  /** Anything that is about a file. */
  received(message: ServerMessage, fileId: string): void;
  lost(): void;
  /** It will never get in, or not any more; nothing follows. */
  refused(error: CoscribeError): void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #handlers: ConnectionHandlers;
  readonly #timers = new Map<string, () => void>();
  #state: "idle" | "waiting" | "connecting" | "up" | "closed" = "idle";
  #attempt = 0;
  #link: Link | null = null;
  #pause = FIRST_PAUSE_MS;
  #retryAfter = 0;
  #awaitedUntil = 0;
  #awaitedPause = AWAITED_PAUSE_MS;
  #upSince = 0;
  userId = "";
  connectionId = "";
  limits: ServerLimits | null = null;

  constructor(options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.#options = options;
    this.#handlers = handlers;
  }

  start(): void {
    if (this.#state === "idle") this.#connect();
  }

  /** Whether it has been welcomed and is still there. */
  get isUp(): boolean {
    return this.#state === "up";
  }

  /** Nothing, where it is not up. */
  send(frame: string): void {
    if (this.#state === "up") this.#link?.send(frame);
  }

  /** A hint: the network came or went, or the machine woke up. */
  networkChanged(): void {
    if (this.#state === "waiting") this.#connect();
    else if (this.#state === "up") this.#ping(PONG_WITHIN_AFTER_HINT_MS);
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#drop();
    this.#state = "closed";
  }

  #connect(): void {
    this.#drop();
    this.#state = "connecting";
    this.#attempt += 1;
    const attempt = this.#attempt;
    const ifPresent = (action: () => void) => () => {
      if (attempt === this.#attempt) action();
    };
    this.#later("connect", CONNECT_TIMEOUT_MS, () => this.#lost());
    this.#handlers.connecting();
    this.#options.credential().then(
      (token) => ifPresent(() => this.#dial(token, ifPresent))(),
      (error: unknown) => ifPresent(() => this.#credentialFailed(error))(),
    );
  }

  #dial(token: string, ifPresent: (action: () => void) => () => void): void {
    const hello = encode({ type: "hello", protocol: PROTOCOL_VERSIONS, token, client: this.#options.name });
    const link = this.#options.transport.connect({
      opened: ifPresent(() => this.#link?.send(hello)),
      received: (frame) => ifPresent(() => this.#received(frame))(),
      closed: ifPresent(() => this.#lost()),
    });
    this.#link = link;
  }

  #credentialFailed(error: unknown): void {
    const isFinal = error instanceof CoscribeError && isErrorCode(error.code) && ERRORS[error.code].retry === "never";
    if (isFinal) this.#refuse(error);
    else this.#lost();
  }

  #received(frame: string): void {
    this.#watch();
    let message: ServerMessage;
    try {
      message = decodeServer(frame);
    } catch (error) {
      // A newer server may have more to say. What it says wrongly is said again over the next link.
      if (!(error instanceof CoscribeError)) throw error;
      if (error.code !== "unknown_type") this.#lost();
      return;
    }
    if (message.type === "welcome") {
      this.#welcome(message.userId, message.connectionId, message.limits);
    } else if (message.type === "goodbye") {
      this.#retryAfter = message.retryAfter;
      this.#awaitedUntil = this.#options.clock.now() + message.retryAfter + AWAITED_MS;
      this.#awaitedPause = Math.max(AWAITED_PAUSE_MS, message.retryAfter);
    } else if (message.type === "error" && typeof message.fileId !== "string") {
      const isFinal = message.code === "session_ended" || (this.#state !== "up" && message.retry === "never");
      if (isFinal) this.#refuse(new CoscribeError(message.code, message.detail));
      else if (message.code === "too_many_requests") this.#pause = TOO_MANY_PAUSE_MS;
    } else if (message.type !== "pong" && typeof message.fileId === "string") {
      this.#handlers.received(message, message.fileId);
    }
  }

  #welcome(userId: string, connectionId: string, limits: ServerLimits): void {
    const { account, clock } = this.#options;
    if (account !== undefined && account !== userId) {
      this.#refuse(new CoscribeError("user_mismatch", `signed in as ${userId}, not as ${account}; nothing was sent`));
      return;
    }
    this.userId = userId;
    this.connectionId = connectionId;
    this.limits = limits;
    this.#timers.get("connect")?.();
    this.#state = "up";
    this.#upSince = clock.now();
    this.#watch();
    this.#handlers.welcomed();
  }

  /** Something was heard: the link lives. */
  #watch(): void {
    this.#timers.get("pong")?.();
    if (this.#state === "up") this.#later("ping", PING_AFTER_MS, () => this.#ping(PONG_WITHIN_MS));
  }

  #ping(within: number): void {
    this.#link?.send(encode({ type: "ping", nonce: 0 }));
    this.#later("pong", within, () => this.#lost());
  }

  #lost(): void {
    const { clock, random } = this.#options;
    if (this.#state === "up" && clock.now() - this.#upSince >= STEADY_MS) this.#pause = FIRST_PAUSE_MS;
    this.#drop();
    this.#state = "waiting";
    const longest = clock.now() < this.#awaitedUntil ? this.#awaitedPause : MAX_PAUSE_MS;
    const pause = Math.max(this.#retryAfter, Math.min(this.#pause, longest) * (0.5 + random() / 2));
    this.#pause = Math.min(2 * this.#pause, longest);
    this.#retryAfter = 0;
    this.#later("pause", pause, () => this.#connect());
    this.#handlers.lost();
  }

  #refuse(error: CoscribeError): void {
    this.close();
    this.#handlers.lost();
    this.#handlers.refused(error);
  }

  #drop(): void {
    this.#attempt += 1;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#link?.close();
    this.#link = null;
  }

  #later(name: string, milliseconds: number, action: () => void): void {
    this.#timers.get(name)?.();
    this.#timers.set(name, this.#options.clock.later(milliseconds, action));
  }
}
