"""What the tests of adapters share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coscribe.documents.ports import OpLog


@pytest.fixture
def url(postgres: Callable[[], str]) -> str:
    """Of a PostgreSQL with the present schema and nothing in it."""
    return postgres()


@pytest.fixture
def op_log(storage: OpLog) -> OpLog:
    """The ``storage`` of the module, as what the contracts of logs ask for."""
    return storage
