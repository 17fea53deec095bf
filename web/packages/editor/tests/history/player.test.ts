import { describe, expect, it } from "vitest";
import { Film, type FilmSource, type PastOperation } from "../../src/history/film";
import { type Clock, Player, type Scene } from "../../src/history/player";

const LENGTH = 1_200;
const HOUR = 3_600_000;

/** One letter a version, ten in a second; hours between hundreds. */
const operations = Array.from({ length: LENGTH }, (_, index): PastOperation => {
  const at = index * 100 + Math.floor(index / 100) * HOUR;
  return { version: index + 1, author: "u1", at, edits: [[index, "", "x"]] };
});
const present = "x".repeat(LENGTH);

class TestClock implements Clock {
  time = 0;
  private callback: (() => void) | null = null;

  now(): number {
    return this.time;
  }

  nextFrame(callback: () => void): () => void {
    this.callback = callback;
    return () => {
      if (this.callback === callback) this.callback = null;
    };
  }

  /** Lets frames of 50 ms pass, and what was asked for arrive. */
  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += 50) {
      this.time += 50;
      const callback = this.callback;
      this.callback = null;
      callback?.();
      await settled();
    }
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
}

class Stage {
  isDown = false;
  text = "";
  scenes: Scene[] = [];
  readonly clock = new TestClock();
  readonly source: FilmSource = {
    text: async (version) => this.orDown(present.slice(0, version)),
    operations: async (after, limit) => this.orDown(operations.slice(after, after + limit)),
  };
  readonly player = new Player(new Film(this.source, LENGTH, present), LENGTH, this.clock);

  constructor() {
    this.player.showOn((scene) => {
      this.scenes.push(scene);
      if ("text" in scene) this.text = scene.text;
      else {
        for (const step of scene.isBackward ? scene.steps.toReversed() : scene.steps) {
          for (const { from, deleted, inserted } of step.changes) {
            const [gone, come] = scene.isBackward ? [inserted, deleted] : [deleted, inserted];
            this.text = this.text.slice(0, from) + come + this.text.slice(from + gone.length);
          }
        }
      }
    });
  }

  private orDown<Value>(value: Value): Value {
    if (this.isDown) throw new Error("down");
    return value;
  }
}

describe("a player", () => {
  it("shows the present first, then whatever is sought, with who made it", async () => {
    const stage = new Stage();
    await settled();
    expect(stage.text).toBe(present);
    expect(stage.player.state()).toMatchObject({ version: LENGTH, step: { version: LENGTH }, isWaiting: false });
    for (const version of [0, 700, 5, 699, LENGTH]) {
      await stage.player.seek(version);
      expect(stage.text).toHaveLength(version);
      expect(stage.player.state()).toMatchObject({ version, isWaiting: false });
      expect(stage.player.state().step?.version).toBe(version === 0 ? undefined : version);
    }
  });

  it("steps on and back by the edits themselves", async () => {
    const stage = new Stage();
    await settled();
    stage.scenes = [];
    await stage.player.step(-3);
    await stage.player.step(1);
    expect(stage.scenes).toMatchObject([{ isBackward: true }, { isBackward: false }]);
    expect(stage.text).toHaveLength(LENGTH - 2);
    await stage.player.step(100);
    expect(stage.player.state().version).toBe(LENGTH);
  });

  it("plays in the time of the edits, at its speed, and skips the hours between", async () => {
    const stage = new Stage();
    await stage.player.seek(10);
    stage.player.setSpeed(1);
    stage.player.play();
    await stage.clock.pass(1_000);
    expect(stage.player.state().version).toBe(20);
    stage.player.setSpeed(16);
    await stage.clock.pass(1_000);
    expect(stage.player.state().version).toBeGreaterThan(150);
    expect(stage.player.state().version).toBeLessThan(190);
    stage.player.pause();
    const { version } = stage.player.state();
    await stage.clock.pass(1_000);
    expect(stage.player.state().version).toBe(version);
    expect(stage.text).toHaveLength(version);
  });

  it("plays what made one version of another, and stops; at the end it begins anew", async () => {
    const stage = new Stage();
    stage.player.playBetween(1_010, 1_040);
    await stage.clock.pass(2_000);
    expect(stage.player.state()).toMatchObject({ version: 1_040, isPlaying: false });
    stage.player.setSpeed(64);
    stage.player.play();
    await stage.clock.pass(10_000);
    expect(stage.player.state()).toMatchObject({ version: LENGTH, isPlaying: false });
    stage.player.play();
    await stage.clock.pass(100);
    expect(stage.player.state().version).toBeLessThan(200);
  });

  it("says what failed, and shows it when it is asked again", async () => {
    const stage = new Stage();
    await settled();
    stage.isDown = true;
    await stage.player.seek(20);
    expect(stage.player.state()).toMatchObject({ version: 20, isWaiting: false, error: new Error("down") });
    stage.isDown = false;
    await stage.player.seek(20);
    expect(stage.player.state().error).toBeNull();
    expect(stage.text).toHaveLength(20);
  });

  it("shows what was sought last, whatever arrives first", async () => {
    const stage = new Stage();
    await Promise.all([stage.player.seek(30), stage.player.seek(500), stage.player.seek(7)]);
    expect(stage.player.state().version).toBe(7);
    expect(stage.text).toHaveLength(7);
  });

  it("does nothing any more once it is closed", async () => {
    const stage = new Stage();
    await settled();
    stage.player.play();
    stage.player.close();
    stage.scenes = [];
    await stage.clock.pass(1_000);
    expect(stage.scenes).toEqual([]);
  });
});
