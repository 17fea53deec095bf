"""The process that atheris runs in: `python -m tests.fuzz.engine TARGET FOLDER [libFuzzer options]`.

It never returns, and it writes what libFuzzer writes; `python -m tests.fuzz` starts it and tells what came of it. What
is new goes into FOLDER. Half of the mutations are libFuzzer's, with a dictionary of the wire's words, the others the
target's own, which keep the form that its inputs have.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]  # has no types, and no wheel for some

ORACLES = ["tests.core.naive", "tests.core.notation", "tests.core.strategies", "tests.simulation.oracle"]
"""What they reach says little of the product, and they would be several times as slow."""

with atheris.instrument_imports(include=["coscribe", "tests"], exclude=ORACLES):
    from tests.fuzz.targets import KEPT, TARGETS


def main() -> None:
    name, folder, *options = sys.argv[1:]
    target, found = TARGETS[name], Path(folder)
    for number, seed in enumerate(target.seeds()):
        (found / f"seed-{number:02}").write_bytes(seed)
    if target.words:
        words = found.with_suffix(".dict")
        words.write_text("".join(f'"{word}"\n' for word in target.words), encoding="ascii")
        options.append(f"-dict={words}")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            mutated: bytes = atheris.Mutate(data, most)
            return mutated
        return target.mutate(data, rng)[:most]

    def run(data: bytes) -> None:
        target.run(data)

    places = [str(folder) for folder in (found, KEPT / name) if folder.exists()]
    atheris.Setup([sys.argv[0], *places, f"-max_len={target.most}", *options], run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
