"""Fuzzes the decoding of frames, the states of the protocol and the core, with atheris: `make fuzz SECONDS=600`.

python -m tests.fuzz --seconds 600            all targets, one after the other, ten minutes each
python -m tests.fuzz frames --seconds 60      one of them; what is new goes into build/fuzz/frames
python -m tests.fuzz core --input FILE        one input again
python -m tests.fuzz core --minimise          of what is kept and what was found, keep what reaches something new
python -m tests.fuzz --say                    a digest of what each kept input says

An input that takes longer than --hang seconds counts as a hang. Where atheris is not installed hypothesis makes the
inputs, without being told what they reach. The kept inputs are in tests/fuzz/corpus; `pytest tests/fuzz` runs them.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import random
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from hashlib import sha1, sha256
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from tests.fuzz.targets import KEPT, TARGETS, Target, kept

FOUND = Path("build/fuzz")
PRODUCT = f"{os.sep}coscribe{os.sep}"
AT_MOST = 100
"""Kept inputs of a target, about."""

PROGRESS_SECONDS = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all of them if none is named"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--hang", type=int, default=10, metavar="SECONDS", help="what one input may take")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run this and nothing else")
    parser.add_argument("--minimise", action="store_true", help="choose anew what is kept")
    parser.add_argument("--say", action="store_true", help="what each kept input says, as a digest")
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}, only {', '.join(TARGETS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    names = chosen.targets or list(TARGETS)
    if chosen.input is not None:
        print(TARGETS[names[0]].run(chosen.input.read_bytes()))
        return 0
    if chosen.say:
        for name in names:
            for path in kept(name):
                said = TARGETS[name].run(path.read_bytes())
                print(name, path.name, sha256(said.encode("utf-8", "surrogatepass")).hexdigest())
        return 0
    if chosen.minimise:
        for name in names:
            minimise(name)
        return 0
    fuzz = by_atheris if find_spec("atheris") else by_hypothesis
    if fuzz is by_hypothesis:
        print("atheris is not installed (it has no wheel for every platform): hypothesis makes the inputs")
    return 1 if [name for name in names if not fuzz(name, chosen.seconds, chosen.hang)] else 0


def folder_of(name: str) -> Path:
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def by_atheris(name: str, seconds: int, hang: int) -> bool:
    """Guided by coverage, in a process of its own, as libFuzzer ends the one that it runs in."""
    folder = folder_of(name)
    options = [f"-max_total_time={seconds}", f"-timeout={hang}", f"-artifact_prefix={folder}-", "-print_final_stats=1"]
    command = [sys.executable, "-m", "tests.fuzz.engine", name, str(folder), *options]
    print(f"{name}: {seconds} s with atheris; new inputs go into {folder}", flush=True)
    environment = {**os.environ, "COSCRIBE_PURE": "1"}  # compiled modules tell nothing of what is reached in them
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        figures, last = _follow(name, process.stdout)
    print(f"{name}: {figures}", flush=True)
    if process.returncode:
        print("\n".join(last))
        unit = re.search(r"Test unit written to (\S+)", "\n".join(last))
        if unit:
            print(f"again: python -m tests.fuzz {name} --input {unit[1]}")
    return process.returncode == 0


def _follow(name: str, lines: Any) -> tuple[str, deque[str]]:
    """Shows a line of progress now and then; returns the last figures, and the last lines that are none."""
    figures, executed, last, shown = "", "", deque[str](maxlen=60), time.monotonic()
    for line in lines:
        at = re.match(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\S+) .*?exec/s: (\d+)", line)
        if at:
            figures = f"{int(at[1]):,} inputs, {at[2]} edges, {at[3]} features, {at[4]} inputs kept, {at[6]} a second"
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                print(f"  {figures}", flush=True)
        elif line.startswith(("stat::number_of_executed_units", "stat::average_exec_per_sec")):
            executed += f" {line.split('::')[1].strip()}"
        elif not line.startswith(("INFO:", "stat::", "#")):
            last.append(line.rstrip())
    return f"{figures};{executed}", last


def by_hypothesis(name: str, seconds: int, hang: int) -> bool:
    """Any bytes, and kept inputs that the target's own mutations have changed."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    target, folder = TARGETS[name], folder_of(name)
    running = folder.with_name(f"{name}-running")
    ends, count = time.monotonic() + seconds, 0
    known = [path.read_bytes() for path in kept(name)] + target.seeds()

    @settings(max_examples=500, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(
        st.binary(max_size=target.most) | st.builds(mutated, st.just(target), st.sampled_from(known), st.integers(0))
    )
    def some(data: bytes) -> None:
        nonlocal count
        running.write_bytes(data)
        faulthandler.dump_traceback_later(hang, exit=True)
        try:
            target.run(data)
        finally:
            faulthandler.cancel_dump_traceback_later()
        count += 1

    print(f"{name}: {seconds} s with hypothesis; what runs is in {running}", flush=True)
    try:
        while time.monotonic() < ends:
            some()
    except BaseException:
        print(f"again: python -m tests.fuzz {name} --input {running}", flush=True)
        raise
    print(f"{name}: {count:,} inputs, {count / seconds:.0f} a second", flush=True)
    return True


def mutated(target: Target, data: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 5)):
        data = target.mutate(data, rng)
    return data[: target.most]


def minimise(name: str) -> None:
    """Keeps, the shortest first, each input that goes from a line of the product to another as none before it has. The
    target's seeds and every so many-th of the rest come along: what is not Python tells nothing of what it reaches."""
    target = TARGETS[name]
    found = (FOUND / name).glob("*")
    inputs = sorted({path.read_bytes() for path in (*kept(name), *found)}, key=lambda data: (len(data), data))
    reached: set[tuple[str, int, int]] = set()
    chosen = set(target.seeds())
    for data in inputs:
        steps = _steps(target, data)
        if steps - reached:
            reached |= steps
            chosen.add(data)
    rest = [data for data in inputs if data not in chosen]
    chosen.update(rest[:: max(1, len(rest) // max(1, AT_MOST - len(chosen)))])
    (KEPT / name).mkdir(parents=True, exist_ok=True)
    for path in kept(name):
        path.unlink()
    for data in chosen:
        (KEPT / name / sha1(data).hexdigest()[:16]).write_bytes(data)
    print(f"{name}: {len(chosen)} of {len(inputs)} inputs, {sum(map(len, chosen)):,} bytes, {len(reached):,} steps")
    lines: dict[str, set[int]] = {}
    for file, _, line in reached:
        lines.setdefault(file, set()).add(line)
    for file, there in sorted(lines.items()):
        print(f"  {file.split(PRODUCT)[-1]:<34} {len(there)} of {len(set(_lines(Path(file))))} lines")


def _steps(target: Target, data: bytes) -> set[tuple[str, int, int]]:
    """From which line of the product to which it went."""
    steps: set[tuple[str, int, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if PRODUCT not in file:
            return None
        before = frame.f_lineno

        def within(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((file, before, frame.f_lineno))
                before = frame.f_lineno
            return within

        return within

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return steps


def _lines(path: Path) -> Iterator[int]:
    """The lines of a module's functions that something can be run in."""
    todo = [compile(path.read_text(encoding="utf-8"), str(path), "exec")]
    while todo:
        code = todo.pop()
        todo += [part for part in code.co_consts if hasattr(part, "co_lines")]
        if code.co_flags & 0x2:  # a function, not a module or a class
            yield from (line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno)


if __name__ == "__main__":
    sys.exit(main())
