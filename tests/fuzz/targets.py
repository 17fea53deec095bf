"""What is fuzzed: functions of bytes. Each says what it saw, the same for the same bytes, or raises: a bug.

frames          any bytes as a frame, to both decoders and to a second one
conversation    any bytes as what four people send, and as what becomes of the disk, to a whole server in memory
trees           the same of one workspace: its tree, and the texts in it
core            any bytes as texts and operations, in the core and in the naive oracle
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import conversation, core, frames, trees

KEPT = Path(__file__).parent / "corpus"
"""The inputs that are kept, a folder for each target."""


class Target(NamedTuple):
    """``mutate`` makes another input of one, with the form that inputs of this target have; ``most``: bytes of one."""

    run: Callable[[bytes], str]
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, random.Random], bytes]
    most: int
    words: list[str]


TARGETS: dict[str, Target] = {
    "frames": Target(frames.run, frames.seeds, frames.mutate, 1_024, frames.WORDS),
    "conversation": Target(
        conversation.run, conversation.seeds, conversation.mutate, conversation.STEP * conversation.MAX_STEPS, []
    ),
    "trees": Target(trees.run, trees.seeds, trees.mutate, conversation.STEP * conversation.MAX_STEPS, []),
    "core": Target(core.run, core.seeds, core.mutate, 256, []),
}


def kept(name: str) -> list[Path]:
    """The inputs of a target that are kept."""
    return sorted((KEPT / name).glob("*"))
