/**
 * UndoStack: taking back one's own edits, whatever others have done since.
 *
 * A step is the operation that takes an edit back. The top one applies to the present text, each lower one to the text
 * that the steps above it leave. What others do in between is remembered at the top step and carried only when it is
 * needed: popping a step carries it over what came since, and hands those operations, as they look without the step, to
 * the one below:
 *
 *         text --others--> present
 *           |                 |
 *      step |                 | step'      popped: applies to the present text
 *           v                 v
 *           . ---others'--->  .            others': what the step below is carried over
 *
 * Beyond `MAX_FOREIGN` they are composed into one. Transforming over a composed operation may break a tie differently;
 * that does no harm here, because an undo is a new operation and goes through the server's order like any other.
 */

import { compose, LEFT, type Operation, RIGHT, transform } from "./core/operation.ts";

const MAX_FOREIGN = 128;

/** An operation that takes something back, and what that was. */
export interface Step<T> {
  readonly operation: Operation;
  readonly of: T;
}

interface Remembered<T> extends Step<T> {
  foreign: Operation[];
}

/** A step as it lies in the stack, and what others have done since, which it has not been carried over yet. */
export interface KeptStep<T> extends Step<T> {
  readonly foreign: readonly Operation[];
}

/** At most `depth` steps; the oldest are forgotten. */
export class UndoStack<T> {
  readonly #depth: number;
  readonly #steps: Remembered<T>[] = [];

  constructor(depth: number) {
    this.#depth = depth;
  }

  get length(): number {
    return this.#steps.length;
  }

  push(operation: Operation, of: T): void {
    this.#steps.push({ operation, of, foreign: [] });
    if (this.#steps.length > this.#depth) this.#steps.shift();
  }

  /** Somebody else has changed the present text. */
  foreign(operation: Operation): void {
    this.#remember([operation]);
  }

  /** The latest step, for the present text; null where there is none. */
  pop(): Step<T> | null {
    const top = this.#steps.pop();
    if (top === undefined) return null;
    let operation = top.operation;
    const others: Operation[] = [];
    for (const other of top.foreign) {
      others.push(transform(other, operation, RIGHT));
      operation = transform(operation, other, LEFT);
    }
    this.#remember(others);
    return { operation, of: top.of };
  }

  /** All of it, the oldest step first. */
  dump(): readonly KeptStep<T>[] {
    return this.#steps;
  }

  /** What `dump` gave, perhaps without the oldest ones; for the text that it was about then. */
  load(kept: readonly KeptStep<T>[]): void {
    this.clear();
    for (const { operation, of, foreign } of kept.slice(-this.#depth)) {
      this.#steps.push({ operation, of, foreign: [...foreign] });
    }
  }

  clear(): void {
    this.#steps.length = 0;
  }

  #remember(others: readonly Operation[]): void {
    const top = this.#steps.at(-1);
    if (top === undefined) return;
    top.foreign.push(...others);
    if (top.foreign.length > MAX_FOREIGN) top.foreign = [top.foreign.reduce(compose)];
  }
}
