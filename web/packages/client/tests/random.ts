/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One of the choices. */
export function oneOf<T>(random: () => number, choices: readonly T[]): T {
  const choice = choices[Math.floor(random() * choices.length)];
  if (choice === undefined) throw new RangeError("nothing to choose from");
  return choice;
}

/** An integer from `low` to `high`, both included. */
export function within(random: () => number, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

/** Seeds for a property: each is printed when its turn fails; COSCRIBE_SEED tries just that one. */
export async function withSeeds(
  count: number,
  property: (random: () => number) => Promise<void> | void,
): Promise<void> {
  const wanted = process.env["COSCRIBE_SEED"];
  const first = wanted === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(wanted);
  for (let seed = first; seed < first + (wanted === undefined ? count : 1); seed += 1) {
    try {
      await property(seeded(seed));
    } catch (error) {
      throw new Error(`with COSCRIBE_SEED=${seed}: ${error instanceof Error ? error.stack : error}`, { cause: error });
    }
  }
}
