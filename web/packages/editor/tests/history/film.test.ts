import { describe, expect, it } from "vitest";
import { Film, type FilmSource, type PastOperation, TornFilm } from "../../src/history/film";

const SEED = Number(process.env["SEED"] ?? Date.now() % 1_000_000_007);
const { signal } = new AbortController();

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface History {
  texts: string[];
  operations: PastOperation[];
}

/** Texts as arrays of code points: slow, and beyond doubt. */
function historyOf(random: () => number, length: number): History {
  const alphabet = [..."abc \n😀🎉é漢"];
  const texts = [""];
  const operations: PastOperation[] = [];
  let points: string[] = [];
  for (let version = 1; version <= length; version += 1) {
    const edits: [number, string, string][] = [];
    let from = 0;
    const wanted = random() < 0.2 ? 3 : 1;
    while (edits.length < wanted && from <= points.length) {
      const position = from + Math.floor(random() * (points.length - from + 1));
      const deleted = points.slice(position, position + Math.floor(random() * 4)).join("");
      const count = Math.floor(random() * 5) + (deleted === "" ? 1 : 0);
      const inserted = Array.from({ length: count }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
      edits.push([position, deleted, inserted]);
      from = position + [...deleted].length + 1;
    }
    const next = [...points];
    for (const [position, deleted, inserted] of edits.toReversed()) {
      next.splice(position, [...deleted].length, ...inserted);
    }
    points = next;
    texts.push(points.join(""));
    operations.push({ version, author: version % 2 ? "u1" : "u2", at: version * 100, edits });
  }
  return { texts, operations };
}

class Source implements FilmSource {
  readonly asked = { texts: [] as number[], operations: [] as [number, number][] };

  constructor(
    private readonly history: History,
    /** Answers hold at most so many, whatever the limit is. */
    private readonly most = Number.POSITIVE_INFINITY,
  ) {}

  async text(version: number): Promise<string> {
    this.asked.texts.push(version);
    return this.history.texts[version] ?? "";
  }

  async operations(after: number, limit: number): Promise<readonly PastOperation[]> {
    this.asked.operations.push([after, limit]);
    return this.history.operations.slice(after, after + Math.min(limit, this.most));
  }
}

function filmOf(history: History, source: FilmSource, reel: number): Film {
  return new Film(source, history.operations.length, history.texts.at(-1) ?? "", 0, reel);
}

describe("a film", () => {
  it(`has every text and every step, whatever is asked first (seed ${SEED})`, async () => {
    const random = randomOf(SEED);
    for (let round = 0; round < 25; round += 1) {
      const length = 1 + Math.floor(random() * 250);
      const history = historyOf(random, length);
      const short = random() < 0.3 ? 1 + Math.floor(random() * 4) : Number.POSITIVE_INFINITY;
      const film = filmOf(history, new Source(history, short), 1 + Math.floor(random() * 8));
      for (let count = 0; count < 60; count += 1) {
        const version = Math.floor(random() * (length + 1));
        expect(await film.textAt(version, signal)).toBe(history.texts[version]);
        await film.load(version, signal);
        const step = film.stepTo(version);
        expect(step?.version).toBe(version === 0 ? undefined : version);
        if (step === undefined) continue;
        let text = history.texts[version - 1] ?? "";
        for (const { from, deleted, inserted } of step.changes.toReversed()) {
          expect(text.slice(from, from + deleted.length)).toBe(deleted);
          text = text.slice(0, from) + inserted + text.slice(from + deleted.length);
        }
        expect(text).toBe(history.texts[version]);
      }
    }
  });

  it("asks for no text where it plays from the beginning, or back from the present", async () => {
    const history = historyOf(randomOf(1), 60);
    const source = new Source(history);
    const film = filmOf(history, source, 10);
    for (let version = 1; version <= 30; version += 1) await film.load(version, signal);
    for (let version = 60; version > 30; version -= 1) await film.load(version, signal);
    expect(source.asked.texts).toEqual([]);
    expect(source.asked.operations).toEqual([0, 10, 20, 50, 40, 30].map((after) => [after, 10]));
    expect(await film.textAt(35, signal)).toBe(history.texts[35]);
  });

  it("asks for one text and one reel after a jump, and for nothing twice", async () => {
    const history = historyOf(randomOf(2), 300);
    const source = new Source(history);
    const film = filmOf(history, source, 10);
    await film.textAt(147, signal);
    await Promise.all([film.textAt(141, signal), film.textAt(150, signal), film.load(145, signal)]);
    expect(source.asked).toEqual({ texts: [140], operations: [[140, 10]] });
  });

  it("keeps a bounded number of reels", async () => {
    const history = historyOf(randomOf(3), 400);
    const source = new Source(history);
    const film = filmOf(history, source, 4);
    for (let version = 1; version <= 400; version += 1) await film.load(version, signal);
    expect(film.stepTo(399)).toBeDefined();
    expect(film.stepTo(1)).toBeUndefined();
    expect(await film.textAt(1, signal)).toBe(history.texts[1]);
  });

  it("refuses what does not fit together", async () => {
    const history = historyOf(randomOf(4), 20);
    const missing = { ...history, operations: history.operations.filter(({ version }) => version !== 3) };
    await expect(new Film(new Source(missing), 20, "").load(5, signal)).rejects.toThrow(TornFilm);
    const [first, ...rest] = history.operations;
    if (first === undefined) throw new Error("there is a first operation");
    const other = { ...history, operations: [{ ...first, edits: [[0, "x", "y"] as const] }, ...rest] };
    await expect(new Film(new Source(other), 20, "").load(5, signal)).rejects.toThrow(TornFilm);
    await expect(filmOf(history, new Source(history), 10).textAt(21, signal)).rejects.toThrow(RangeError);
  });

  it("tells what its source raised, and goes on after it", async () => {
    const history = historyOf(randomOf(5), 30);
    const source = new Source(history);
    let isDown = true;
    const film = filmOf(
      history,
      {
        text: (version) => source.text(version),
        operations: (after, limit) => (isDown ? Promise.reject(new Error("down")) : source.operations(after, limit)),
      },
      5,
    );
    await expect(film.textAt(12, signal)).rejects.toThrow("down");
    isDown = false;
    expect(await film.textAt(12, signal)).toBe(history.texts[12]);
    const gone = new AbortController();
    gone.abort();
    await expect(film.textAt(18, gone.signal)).rejects.toThrow("abort");
    expect(await film.textAt(18, signal)).toBe(history.texts[18]);
  });

  it.each([1, 7, 50])("begins where the history begins (reels of %i)", async (reel) => {
    const random = randomOf(SEED);
    const oldest = 20;
    const history = historyOf(random, 60);
    const source = new Source(history);
    const film = new Film(source, 60, history.texts[60] ?? "", oldest, reel);
    const wanted = Array.from({ length: 41 }, (_, index) => oldest + index).sort(() => random() - 0.5);
    for (const version of wanted) {
      expect(await film.textAt(version, signal), `SEED=${SEED}`).toBe(history.texts[version]);
      await film.load(version, signal);
      expect(film.stepTo(version)?.version).toBe(version === oldest ? undefined : version);
    }
    expect(Math.min(...source.asked.texts, ...source.asked.operations.map(([after]) => after))).toBe(oldest);
    await expect(film.textAt(oldest - 1, signal)).rejects.toThrow(RangeError);
  });
});
