"""The parts of the trial itself: networks that can be cut, a schedule that is one, a plot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import islice
from xml.etree import ElementTree

import pytest

from tests.cluster.network import Far, Network, unavailable
from tests.cluster.plot import Span, plot
from tests.cluster.schedule import NAMES, faults_of
from tests.servers import PostgresServer

needs_networks = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

TRIES = "import socket; socket.create_connection(('{host}', {port}), 0.5).close()"
LISTENS = "import socket; s = socket.create_server(('{host}', {port})); print('', flush=True); s.accept(); s.accept()"
HOLDS = """
from tests.cluster.network import Network
with Network() as network:
    network.place("held")
    print("", flush=True)
    input()
"""


def connects(prefix: tuple[str, ...], far: Far) -> bool:
    tried = [*prefix, sys.executable, "-c", TRIES.format(**far._asdict())]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@needs_networks
@pytest.mark.slow
def test_what_is_cut_hangs_and_what_is_healed_goes_on() -> None:
    with Network() as network:
        place = network.place("one")
        servers = [Far(network.address, port) for port in (7_001, 7_002)]
        listening = [
            subprocess.Popen([sys.executable, "-c", LISTENS.format(**far._asdict())], stdout=subprocess.PIPE)
            for far in servers
        ]
        try:
            for process in listening:
                assert process.stdout is not None
                process.stdout.readline()
            assert connects(place.prefix, servers[0])
            place.cut([servers[0]])
            assert not connects(place.prefix, servers[0])
            assert connects(place.prefix, servers[1])
            place.heal()
            assert connects(place.prefix, servers[0])
        finally:
            for process in listening:
                process.kill()
                process.communicate()


@needs_networks
@pytest.mark.slow
def test_servers_are_reached_from_other_networks() -> None:
    asks = "import psycopg, sys; psycopg.connect(sys.argv[1]).close()"
    with Network() as network, PostgresServer(host=network.address) as server:
        command = [*network.place("one").prefix, sys.executable, "-c", asks, server.empty()]
        subprocess.run(command, check=True)


@needs_networks
@pytest.mark.slow
def test_nothing_is_left_of_a_network_whose_process_was_killed() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    assert left_of(holder.pid)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    until = time.monotonic() + 30.0
    while left_of(holder.pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def left_of(pid: int) -> list[str]:
    listed = subprocess.run("ip netns list; ip -o link show", shell=True, capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"coscribe-{pid}-" in line or f": csb{pid}:" in line]


def test_a_schedule_depends_on_nothing_but_its_seed() -> None:
    assert list(islice(faults_of(7), 40)) == list(islice(faults_of(7), 40))
    assert list(islice(faults_of(7), 40)) != list(islice(faults_of(8), 40))
    assert {fault.kind for fault in islice(faults_of(7), len(NAMES))} == set(NAMES)
    assert {fault.kind for fault in islice(faults_of(7, ("core killed",)), 5)} == {"core killed"}
    assert list(faults_of(7, ())) == []


def test_a_plot_is_well_formed() -> None:
    drawn = plot([0.1, 0.2, 3.5], [Span("a < b", 1.0, 2.0, 2.5)], 4.0, "acknowledged & counted")
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text and element.text.strip()]
    assert "a < b" in texts
    assert "acknowledged & counted" in texts


def test_this_process_has_left_nothing() -> None:
    assert left_of(os.getpid()) == [] or unavailable() is not None
