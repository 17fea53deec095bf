"""Prints every figure this project claims: `make shows`. Each part names its command; --only picks some.

python tools/shows.py                      everything (about two hours)
python tools/shows.py --only replay bench  some of it
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRACES = ("automerge-paper", "sveltecomponent", "json-crdt-patch", "friendsforever_flat", "friendsforever_concurrent")
PYTHON = sys.executable
KEPT = (
    *("passed", "failed", "cases", "over", "felt", "claim", "sign-ins", "2xx"),
    *("files moved", "keystrokes", "new server", "acknowledgement", "since the new"),
    *("points of", "seed ", "main thread", "CodeMirror", "Coscribe  ", "ratio", "5 MB", "vectors", "bytes"),
)
"""Words of the lines of a test's output that are figures."""


def main() -> int:
    parts: dict[str, Callable[[], bool]] = {
        "replay": replay,
        "vectors": lambda: suite("external vectors and properties", "tests/core"),
        "exactly-once": lambda: suite(
            "duplicates", "tests/cli tests/documents tests/protocol", "-k", "duplicate or twice"
        ),
        "crash": lambda: suite("kill -9 at 50 moments, power cuts, a lying disk", "tests/e2e/test_crash.py", "-s"),
        "chaos": chaos,
        "bad-input": lambda: suite("bad input", "tests/protocol/test_bad_input.py"),
        "story": lambda: suite(
            "a right is taken while its owner types, 100 rounds per channel", "tests/e2e/test_story.py", "-s"
        ),
        "api": lambda: suite(
            "the whole OpenAPI as each role; every route and every caller",
            "tests/api/test_schemathesis.py tests/api/test_policy_table.py",
            "-s",
        ),
        "paths": lambda: suite(
            "paths that lead elsewhere, on every fs route and in archives",
            "tests/api/test_files.py tests/documents/unpacking",
            *("-s", "-k", "paths_lead or unpacking"),
            keep=("  ", "passed", "failed"),
        ),
        "past": past,
        "audit": lambda: suite(
            "bundles that are verified elsewhere, flipped bits, a rewritten entry",
            "tests/api/test_bundles.py tests/cli/test_auditing.py",
            "-s",
        ),
        "files": files,
        "worktree": worktree,
        "security": lambda: suite("docs/security.md, line by line", "tests/api/test_security.py"),
        "cluster": cluster,
        "storm": storm,
        "week": week,
        "restart": restart,
        "conformance": lambda: suite(
            "Python and TypeScript agree on every vector", "tests/protocol/test_same_vectors.py", "-s"
        ),
        "fuzz": fuzz,
        "browser": browser,
        "postgres": postgres,
        "bench": bench,
    }
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--only", nargs="+", choices=parts, default=list(parts), metavar="PART", help=", ".join(parts)
    )
    arguments.add_argument("--repeat", type=int, default=5, help="repetitions of each performance scenario")
    chosen = arguments.parse_args()
    os.environ["COSCRIBE_SHOWS_REPEAT"] = str(chosen.repeat)
    os.environ.update({"COSCRIBE_STORY_ROUNDS": "100", "COSCRIBE_EXAMPLES": "3"})  # `make test` does with fewer
    os.environ["COSCRIBE_STORY_STRICT"] = "1"
    failed = [name for name in chosen.only if not parts[name]()]
    print(
        f"\n{len(chosen.only) - len(failed)} of {len(chosen.only)} parts as claimed"
        + "".join(f", not: {n}" for n in failed)
    )
    return 1 if failed else 0


def past() -> bool:
    """A workspace of thousands of operations on texts and the tree, restarts and segments between them."""
    os.environ.update({"COSCRIBE_PAST_STEPS": "4000", "COSCRIBE_PAST_POINTS": "500"})
    return suite(
        "a workspace at 500 past sequences, as a replay from zero has it",
        "tests/documents/test_workspace_past.py",
        *("-s", "-k", "replay_from_zero"),
    )


def files() -> bool:
    """A workspace as files: late writes in all orders, kills, and ten minutes of people and a shell."""
    os.environ.update({"COSCRIBE_ROUNDS": "1000"})
    late = suite("a tool and a person write at once, 1,000 rounds", "tests/working_tree/test_lost_updates.py", "-s")
    os.environ.update({"COSCRIBE_ROUNDS": "200"})
    killed = suite("killed while files are written, 200 rounds", "tests/working_tree/test_killed.py", "-s")
    title("a repository, ten people and a shell", "python -m tests.working_tree.story --seconds 600")
    told = subprocess.run([PYTHON, "-m", "tests.working_tree.story", "--seconds", "600"], cwd=ROOT, check=False)
    return late and killed and told.returncode == 0


def worktree() -> bool:
    """10,000 files opened, against what the disk alone takes; 5,000 moved."""
    title("10,000 files are opened", "python -m tests.working_tree.opening")
    told = subprocess.run([PYTHON, "-m", "tests.working_tree.opening"], cwd=ROOT, check=False)
    moved = suite("a folder of 5,000 files is moved, one operation", "tests/working_tree/test_large.py", "-s")
    return told.returncode == 0 and moved


def replay() -> bool:
    """Recorded histories through a real server, killed and restarted, verified."""
    folder = Path(os.environ.get("COSCRIBE_DATA", ROOT / "../shared/data")) / "traces"
    title("replay: recorded editing histories", "coscribe replay TRACE --json")
    good = True
    for name in TRACES:
        path = folder / f"{name}.json.gz"
        if not path.exists():
            print(f"  {name:<28} skipped: {path} is not here")
            continue
        result = subprocess.run(
            [PYTHON, "-m", "coscribe", "replay", str(path), "--json"], capture_output=True, text=True, check=False
        )
        shown = json.loads(result.stdout) if result.stdout.strip() else {"equal": False, "error": result.stderr[-300:]}
        print(f"  {name:<28} {json.dumps(shown)}", flush=True)
        good = good and result.returncode == 0
    return good


def chaos() -> bool:
    """A real server under 50 clients, with every fault there is, for five minutes; half an hour is `make chaos`."""
    options = ["--seconds", "300", "--seed", "1"]
    title("signals, a full disk, network faults, clocks that jump", f"python -m tests.chaos {' '.join(options)}")
    command = [PYTHON, "-m", "tests.chaos", *options]
    result = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    for line in result.stdout.splitlines():
        print(f"  {line}", flush=True)
    return result.returncode == 0


def cluster() -> bool:
    """Ten thousand documents over three cores and two gateways for twenty minutes, with everything that goes wrong; an
    upgrade while people type; what cores add, and what the hop costs."""
    good = True
    for what, command in (
        ("owners that pause, die and come late: 10,000 schedules", "tests.cluster.fence --schedules 10000"),
        ("instances for 10,000 and 1,000,000 documents", "tests.cluster.capacity"),
        ("a cluster, 10,000 documents, 2,000 sockets, every fault", "tests.cluster --seconds 1200 --seed 1"),
        ("an upgrade while 200 people type", "tests.cluster.upgrade"),
        ("what the way over a bus costs, 50 people in one document", "tests.cluster.hop"),
        (
            "1, 2 and 4 cores, each at several loads; gateway and core against one process",
            "tests.cluster.throughput --repeat 5",
        ),
    ):
        title(what, f"python -m {command}")
        run = subprocess.run([PYTHON, "-m", *command.split()], cwd=ROOT, stderr=subprocess.DEVNULL, check=False)
        good = good and run.returncode == 0
    os.environ.update({"COSCRIBE_ROUNDS": "100"})
    fence = suite("owners that are stopped past their leases, 100 rounds", "tests/cluster/test_fence_real.py", "-s")
    return good and fence


def storm() -> bool:
    """200 sign-ins a second, held against the claim; the time limits are the machine's as it is now."""
    os.environ["COSCRIBE_STORM_STRICT"] = "1"
    os.environ["COSCRIBE_STORM_SECONDS"] = "10"
    return suite("a login storm while people type", "tests/e2e/test_login_storm.py", "-s")


def week() -> bool:
    """A week of typing on virtual time: memory, what the log takes, and the past afterwards."""
    title("a week of typing", "python -m tests.soak")
    return subprocess.run([PYTHON, "-m", "tests.soak"], cwd=ROOT, check=False).returncode == 0


def restart() -> bool:
    """A server is replaced while 20 people type; held against the claim where the new one has been waiting."""
    os.environ.update({"COSCRIBE_RESTART_STRICT": "1", "COSCRIBE_RESTART_ROUNDS": "5"})
    return suite("a restart while people type", "tests/e2e/test_restart.py", "-s")


def suite(what: str, paths: str, *options: str, keep: tuple[str, ...] = KEPT) -> bool:
    """A part of the test suite, with its own summary. ``keep``: words of the lines that are shown."""
    title(what, f"pytest {paths} {' '.join(options)}")
    started = time.monotonic()
    command = [PYTHON, "-m", "pytest", "-q", *paths.split(), *options, "-m", "not soak"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    kept = [line for line in result.stdout.splitlines() if any(word in line for word in keep)]
    for line in kept[-400:]:
        print(f"  {line}")
    print(f"  {time.monotonic() - started:.0f} s", flush=True)
    return result.returncode == 0


def fuzz() -> bool:
    """Ten minutes of made-up inputs for each target; a crash or a hang is saved, and the line that replays it shown."""
    title("fuzzing: frames, conversations, core", "python -m tests.fuzz --seconds 600")
    return subprocess.run([PYTHON, "-m", "tests.fuzz", "--seconds", "600"], cwd=ROOT, check=False).returncode == 0


def browser() -> bool:
    """Real browsers: stories, twenty seeds of random editing, speed, screenshots into docs/screenshots."""
    more = {"COSCRIBE_BROWSER_SEEDS": "20", "COSCRIBE_BROWSER_ROUNDS": "5", "COSCRIBE_SCREENSHOTS": "1"}
    os.environ.update(more)
    return suite("the editor in Chromium", "tests/browser", "-s")


def postgres() -> bool:
    """What a group commit takes, in SQLite and in PostgreSQL."""
    command = ["-m", "tests.persistence.appending", "--repeat", os.environ["COSCRIBE_SHOWS_REPEAT"]]
    title("50 writers, group commit: SQLite and PostgreSQL", f"python {' '.join(command)}")
    return subprocess.run([PYTHON, *command], cwd=ROOT, check=False).returncode == 0


def bench() -> bool:
    """All performance scenarios, interleaved; a missed target is printed, not hidden, and does not fail."""
    repeat = os.environ["COSCRIBE_SHOWS_REPEAT"]
    title("performance", f"coscribe bench --repeat {repeat}")
    return subprocess.run([PYTHON, "-m", "coscribe", "bench", "--repeat", repeat], check=False).returncode == 0


def title(what: str, command: str) -> None:
    print(f"\n{what}\n  $ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
