/** Time, injected so that tests can run it as they like. Milliseconds. */
export interface Clock {
  now(): number;
  /** Runs the action once, so much later; the returned function cancels that. */
  later(milliseconds: number, action: () => void): () => void;
}

/** The real time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  later(milliseconds, action) {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};
