"""Leases in memory keep the contract."""

from __future__ import annotations

import pytest

from coscribe.cluster.leases import MemoryLeases, MemoryTable
from tests.contracts.leases import LeasesContract


class MemoryWorld:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.table = MemoryTable(lambda: self.now)

    def leases(self) -> MemoryLeases:
        return MemoryLeases(self.table)

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds


class TestMemoryLeases(LeasesContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
