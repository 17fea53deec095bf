/** Locks that all tabs of an origin share, so that a kept record belongs to one open document at a time. */
export interface Locks {
  /** Claims the name if it is free, without waiting: what gives it back, or null. */
  claim(name: string): Promise<(() => void) | null>;
}

/** Locks of one process: for Node, for tests, and for browsers that have none. */
export class MemoryLocks implements Locks {
  readonly #held = new Set<string>();

  async claim(name: string): Promise<(() => void) | null> {
    if (this.#held.has(name)) return null;
    this.#held.add(name);
    let isHeld = true;
    return () => {
      if (isHeld) this.#held.delete(name);
      isHeld = false;
    };
  }
}
