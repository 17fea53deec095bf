/**
 * Plays a film: what time it is in it, and what is to be seen. Pauses longer than `LONGEST_PAUSE` are cut to that, so
 * the hours between two sessions pass in a moment.
 *
 * `version` is where the playhead is put; what is seen follows as soon as it is there, and until then the player waits.
 */

import type { Film, Step } from "./film";

export const SPEEDS = [1, 4, 16, 64];

/** Milliseconds of the film's time. */
const LONGEST_PAUSE = 1_500;
/** Milliseconds: a window that was in the background does not catch up. */
const LONGEST_FRAME = 250;
/** Steps in one frame: as many as are applied before anybody notices. */
const MOST_STEPS = 400;
/** So many steps ahead of the playhead are there before they are played. */
const AHEAD = 800;

export interface PlayerState {
  readonly version: number;
  readonly isPlaying: boolean;
  readonly speed: number;
  /** Something is being fetched, and nothing goes on until it is there. */
  readonly isWaiting: boolean;
  /** What made the version; null while it is not known, and at the oldest version. */
  readonly step: Step | null;
  readonly error: unknown;
}

/** What a screen is told: steps from what it shows, or a text in its place (with the step that made it). */
export type Scene =
  | { readonly steps: readonly Step[]; readonly isBackward: boolean }
  | { readonly text: string; readonly step: Step | null };

export interface Clock {
  now(): number;
  /** Returns what takes it back. */
  nextFrame(callback: () => void): () => void;
}

export const windowClock: Clock = {
  now: () => performance.now(),
  nextFrame(callback) {
    const frame = requestAnimationFrame(callback);
    return () => cancelAnimationFrame(frame);
  },
};

export class Player {
  #state: PlayerState;
  #shown: number;
  #screen: (scene: Scene) => void = () => {};
  readonly #listeners = new Set<() => void>();
  #seeking = new AbortController();
  readonly #closed = new AbortController();
  #isFetching = false;
  #takeBack = () => {};
  #lastFrame = 0;
  #credit = 0;
  #until: number;

  constructor(
    readonly film: Film,
    version = film.length,
    private readonly clock: Clock = windowClock,
  ) {
    this.#until = film.length;
    this.#shown = -1;
    this.#state = { version, isPlaying: false, speed: 4, isWaiting: false, step: null, error: null };
  }

  /** For `useSyncExternalStore`: a new object whenever anything changes. */
  readonly state = (): PlayerState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** There is one screen at a time; it gets the text first. Returns what takes it away. */
  showOn(screen: (scene: Scene) => void): () => void {
    this.#screen = screen;
    this.#shown = -1;
    void this.seek(this.#state.version);
    return () => {
      if (this.#screen === screen) this.#screen = () => {};
    };
  }

  /** Puts the playhead somewhere. Resolves when it is seen, or something else is wanted, or it failed (`error`). */
  async seek(version: number): Promise<void> {
    const wanted = Math.min(this.film.length, Math.max(this.film.oldest, Math.round(version)));
    this.#seeking.abort();
    this.#seeking = new AbortController();
    const { signal } = this.#seeking;
    this.#credit = 0;
    if (this.#showSteps(wanted)) return;
    this.#set({ version: wanted, step: this.film.stepTo(wanted) ?? null, isWaiting: true, error: null });
    try {
      const text = await this.film.textAt(wanted, signal);
      if (signal.aborted) return;
      this.#shown = wanted;
      this.#screen({ text, step: this.film.stepTo(wanted) ?? null });
      await this.film.load(wanted, signal);
      if (!signal.aborted) this.#set({ step: this.film.stepTo(wanted) ?? null, isWaiting: false });
    } catch (error) {
      if (!signal.aborted) this.#set({ isPlaying: false, isWaiting: false, error });
    }
  }

  /** Pauses, and goes so many versions on (negative: back). */
  step(count: number): Promise<void> {
    this.pause();
    return this.seek(this.#state.version + count);
  }

  /** Plays to the end; from the beginning if this is the end. */
  play(): void {
    this.playBetween(
      this.#state.version >= this.film.length ? this.film.oldest : this.#state.version,
      this.film.length,
    );
  }

  /** Plays what made one version of another. */
  playBetween(from: number, to: number): void {
    if (this.#closed.signal.aborted) return;
    this.#until = to;
    this.#set({ isPlaying: true });
    if (this.#state.version !== from) void this.seek(from);
    this.#takeBack();
    this.#lastFrame = this.clock.now();
    this.#takeBack = this.clock.nextFrame(this.#frame);
  }

  pause(): void {
    this.#takeBack();
    if (this.#state.isPlaying) this.#set({ isPlaying: false });
  }

  setSpeed(speed: number): void {
    this.#set({ speed });
  }

  close(): void {
    this.pause();
    this.#seeking.abort();
    this.#closed.abort();
  }

  readonly #frame = (): void => {
    const now = this.clock.now();
    const elapsed = Math.min(now - this.#lastFrame, LONGEST_FRAME);
    this.#lastFrame = now;
    if (!this.#state.isWaiting) this.#advance(elapsed * this.#state.speed);
    if (this.#state.isPlaying) this.#takeBack = this.clock.nextFrame(this.#frame);
  };

  #advance(time: number): void {
    this.#credit += time;
    const { version } = this.#state;
    const until = Math.min(this.#until, version + MOST_STEPS);
    let reached = version;
    while (reached < until) {
      const next = this.film.stepTo(reached + 1);
      if (next === undefined) break;
      const before = this.film.stepTo(reached);
      const pause = before === undefined ? 0 : Math.min(LONGEST_PAUSE, Math.max(0, next.at - before.at));
      if (pause > this.#credit) break;
      this.#credit -= pause;
      reached += 1;
    }
    if (reached === version + MOST_STEPS) this.#credit = 0;
    if (reached > version) this.#showSteps(reached);
    if (reached === this.#until) this.#set({ isPlaying: false });
    else this.#fetchAhead(reached);
  }

  #fetchAhead(version: number): void {
    if (this.film.stepTo(version + 1) === undefined) void this.#waitFor(version + 1);
    else if (!this.#isFetching && this.film.stepTo(Math.min(this.film.length, version + AHEAD)) === undefined) {
      this.#isFetching = true;
      const done = () => {
        this.#isFetching = false;
      };
      // What fails ahead of time fails again, and is told, when it is needed.
      this.film.load(Math.min(this.film.length, version + AHEAD), this.#closed.signal).then(done, done);
    }
  }

  async #waitFor(version: number): Promise<void> {
    const { signal } = this.#seeking;
    this.#set({ isWaiting: true });
    try {
      await this.film.load(version, signal);
      if (!signal.aborted) this.#set({ isWaiting: false });
    } catch (error) {
      if (!signal.aborted) this.#set({ isPlaying: false, isWaiting: false, error });
    }
  }

  /** Goes from what is seen to a version by its steps, if they are here and few. */
  #showSteps(version: number): boolean {
    const shown = this.#shown;
    const distance = Math.abs(version - shown);
    if (shown < 0 || distance > MOST_STEPS) return false;
    const low = Math.min(shown, version);
    const steps: Step[] = [];
    for (let each = low + 1; each <= low + distance; each += 1) {
      const step = this.film.stepTo(each);
      if (step === undefined) return false;
      steps.push(step);
    }
    const step = this.film.stepTo(version) ?? null;
    if (step === null && version > this.film.oldest) return false;
    this.#shown = version;
    if (steps.length > 0) this.#screen({ steps, isBackward: version < shown });
    this.#set({ version, step, isWaiting: false, error: null });
    return true;
  }

  #set(changes: Partial<PlayerState>): void {
    if (this.#closed.signal.aborted) return;
    this.#state = { ...this.#state, ...changes };
    for (const listener of this.#listeners) listener();
  }
}
