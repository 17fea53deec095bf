/** One connection to the server, being made or open. Nothing is reported any more after `close`. */
export interface Link {
  /** Only once it is open. */
  send(frame: string): void;
  close(): void;
}

/** What a link reports. `closed` comes at most once, also where it never opened. */
export interface LinkHandlers {
  opened(): void;
  received(frame: string): void;
  closed(): void;
}

/** How to reach the server. Reports nothing before `connect` has returned. */
export interface Transport {
  connect(handlers: LinkHandlers): Link;
}
