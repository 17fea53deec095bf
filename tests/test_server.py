"""What a server asks of the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # processes of their own

PROGRAM = """
from resource import RLIMIT_NOFILE as FILES, getrlimit, setrlimit
from coscribe.server import take_files
for most in (4_096, 1_024):
    setrlimit(FILES, (256, most))
    take_files()
    print(getrlimit(FILES))
    take_files()
    print(getrlimit(FILES))
"""


def test_a_server_may_open_as_many_files_as_it_is_let() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["(4096, 4096)", "(4096, 4096)", "(1024, 1024)", "(1024, 1024)"]
