"""A tool reads, a person types, that is put on the disk, the tool writes what it made of what it had read: both are
there.

In all orders, many times over; ``COSCRIBE_ROUNDS=1000`` for as many as are claimed.
"""

from __future__ import annotations

import os
import random
from itertools import permutations
from pathlib import Path

from tests.working_tree.bench import Workbench, workbench

ROUNDS = int(os.environ.get("COSCRIBE_ROUNDS", "60"))
SEED = int(os.environ.get("COSCRIBE_SEED", "1"))

ORDERS = [order for order in permutations("RTMW") if order.index("R") < order.index("W")]
"""R: the tool reads, T: a person types, M: it is put on the disk, W: the tool writes."""


async def test_both_are_there(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    async with workbench(tmp_path) as bench:
        for number in range(ROUNDS):
            order = list(ORDERS[number % len(ORDERS)])
            for _ in range(random_.randrange(4)):
                order.insert(random_.randrange(len(order) + 1), random_.choice("TM"))
            await one_round(bench, random.Random(random_.random()), number, order)


async def one_round(bench: Workbench, random_: random.Random, number: int, order: list[str]) -> None:
    path = f"file{number}.txt"
    where = f"COSCRIBE_SEED={SEED} COSCRIBE_ROUNDS={number + 1} round {number}, {''.join(order)}"
    await bench.write(path, "".join(f"line {line} of it\n" for line in range(random_.randrange(1, 8))))
    await bench.settle()
    read, tokens = "", []
    for place, step in enumerate(order):
        if step == "R":
            read = (bench.path / path).read_text()
        elif step == "M":
            await bench.tree.pass_()
        else:
            token = f"<{number}.{place}>"
            tokens.append(token)
            if step == "T":
                text = await bench.text(path)
                at = random_.randrange(len(text) + 1)
                while at and is_within(text, at):
                    at -= 1
                await bench.insert(path, at, token)
            else:
                at = random_.randrange(len(read) + 1)
                while at and is_within(read, at):
                    at -= 1
                put(bench.path / path, read[:at] + token + read[at:], random_)
    await bench.settle()
    text = await bench.text(path)
    assert (bench.path / path).read_text() == text, where
    assert [token for token in tokens if token not in text] == [], f"{where}: {text!r}"


def is_within(text: str, at: int) -> bool:
    """Whether a position is inside a token: those of others are not torn apart on purpose."""
    return text.rfind("<", 0, at) > text.rfind(">", 0, at)


def put(path: Path, text: str, random_: random.Random) -> None:
    """As tools do: in place, or as a new file in the place of the old one."""
    if random_.random() < 0.5:
        path.write_text(text)
    else:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)
