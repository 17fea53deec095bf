"""What all tests share: the hypothesis profiles, and what the end of a run says about them and about missing data."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.data import MISSING
from tests.memory import in_memory
from tests.migrated import on_postgres
from tests.servers import NatsServer, PostgresServer

# HYPOTHESIS_PROFILE=nightly for the long run, "brief" before each commit. All are random: the seed of a run is printed,
# and replays it.
for profile, examples in (("brief", 100), ("quick", 300), ("nightly", 6_000)):
    settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "quick")

structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

CASES = "property_cases"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Draws the seed of this run, before hypothesis looks for it and before xdist hands the options to its workers.

    A shell makes what it runs in the background ignore Ctrl-C, and so would each process that a test starts and stops.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(2**32))
    memory = in_memory()
    if memory is not None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))  # `tmp_path`, here and in the workers


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Shared by the tests of a process; who stops or kills one starts their own."""
    try:
        server = PostgresServer(place=in_memory())
        server.start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with contextlib.closing(server):
        yield server


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """In place of `tmp_path` where it has to be a disk with what is peculiar to it."""
    with tempfile.TemporaryDirectory(prefix="coscribe-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Callable[[], str]]:
    """Makes databases with the present schema and nothing in them; returns their URLs."""
    made: list[str] = []

    def fresh() -> str:
        made.append(postgres_server.fresh())
        return made[-1]

    yield fresh
    for url in made:
        postgres_server.drop(url)


SERVERS = frozenset({"postgres_server", "postgres", "postgresql", "nats"})
"""Fixtures that start a server, and how parameters that ask for one of them are called."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Who needs a PostgreSQL or a NATS is slow: starting them, and what they do, is for `make test`."""
    if isinstance(item, pytest.Function):
        asked = [*item.fixturenames, *(item.callspec.params.values() if hasattr(item, "callspec") else ())]
        if any(isinstance(name, str) and name in SERVERS for name in asked):
            item.add_marker("slow")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("both_databases") is not None:
        metafunc.fixturenames.append("which_database")
        metafunc.parametrize("which_database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def which_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """That of `tests.migrated.new_database`."""
    wanted = getattr(request, "param", os.environ.get("COSCRIBE_TEST_DATABASE", "sqlite"))
    if wanted == "postgresql" and request.node.get_closest_marker("of_a_file") is None:
        with on_postgres(request.getfixturevalue("postgres")):
            yield
    else:
        yield


@pytest.fixture(scope="session")
def nats() -> Iterator[str]:
    """The URL of a bus that the tests of a process share."""
    try:
        server = NatsServer()
        server.start()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with contextlib.closing(server):
        yield server.url


def pytest_report_header(config: pytest.Config) -> str:
    return f"properties: profile {settings.get_current_profile_name()}, seed {config.option.hypothesis_seed}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes how many cases a property test ran."""
    report = yield
    if report.when == "call":
        statistics = getattr(item, "hypothesis_statistics", "")
        cases = sum(map(int, re.findall(r"(\d+) passing", statistics)))
        if cases:
            report.user_properties.append((CASES, cases))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [report for group in terminalreporter.stats.values() for report in group]
    calls = [report for report in reports if isinstance(report, pytest.TestReport) and report.when == "call"]
    profile, seed = settings.get_current_profile_name(), config.option.hypothesis_seed

    counts = [int(str(value)) for report in calls for name, value in report.user_properties if name == CASES]
    if counts:
        terminalreporter.write_line(
            f"properties: {sum(counts):,} cases in {len(counts)} tests, profile {profile}, seed {seed}"
        )
    for report in calls:
        if report.failed and "hypothesis" in report.keywords:
            terminalreporter.write_line(
                f"replay: HYPOTHESIS_PROFILE={profile} .venv/bin/pytest --hypothesis-seed={seed} '{report.nodeid}'",
                red=True,
            )

    reasons = " ".join(str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    missing = [int(cases) for cases in re.findall(rf"{MISSING} \((\d+) cases\)", reasons)]
    if missing:
        terminalreporter.write_line(
            f"{MISSING}: {sum(missing):,} cases in {len(missing)} tests were skipped (see COSCRIBE_DATA)", yellow=True
        )
