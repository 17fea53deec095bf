"""The error table. Clients are written against it: a row is added, never changed or taken away."""

from __future__ import annotations

import re

import pytest

from coscribe.core.errors import Code, CoscribeError

PUBLISHED = """
malformed_json           client  never   stays
binary_frame             client  never   stays
unknown_type             client  never   stays
invalid_message          client  never   stays
message_too_large        client  never   closes
hello_expected           client  never   closes
hello_repeated           client  never   stays
hello_timeout            client  same    closes
unsupported_protocol     client  never   closes
authentication_failed    client  never   closes
user_mismatch            client  never   stays
rate_limited             client  same    stays
inbox_full               client  same    closes
slow_consumer            client  rejoin  closes
invalid_file_id          client  never   stays
file_not_found           client  never   stays
permission_denied        client  never   stays
not_joined               client  rejoin  stays
already_joined           client  never   stays
too_many_files           client  never   stays
snapshot_not_sent        client  never   stays
invalid_operation_id     client  never   stays
operation_id_reused      client  never   stays
chain_mismatch           client  never   stays
chain_too_long           client  never   stays
invalid_payload          client  never   stays
invalid_text             client  never   stays
position_out_of_range    client  never   stays
operation_too_large      client  never   stays
file_too_large           client  never   stays
base_version_future      client  rejoin  stays
base_version_too_old     client  never   stays
history_unavailable      client  never   stays
overloaded               server  same    stays
storage_unavailable      server  rejoin  stays
file_damaged             server  never   stays
shutting_down            server  rejoin  stays
internal                 server  rejoin  stays
"""


def test_published_rows_stay_as_they_are() -> None:
    table = {code.value.code: code.value for code in Code}
    for line in PUBLISHED.strip().splitlines():
        code, fault, retry, then = line.split()
        kind = table[code]
        assert (kind.fault, kind.retry, kind.closes) == (fault, retry, then == "closes"), code


def test_codes_are_unique() -> None:
    """Two equal rows would be one and the same member of an enum."""
    assert len({code.value.code for code in Code}) == len(list(Code)) == len(Code.__members__)


@pytest.mark.parametrize("code", Code)
def test_a_row_is_complete(code: Code) -> None:
    kind = code.value
    assert kind.code == code.name.lower()
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", kind.code)
    assert kind.fault in ("client", "server")
    assert kind.retry in ("never", "same", "rejoin")
    assert kind.help.endswith(".")


def test_an_error_says_what_was_refused() -> None:
    error = CoscribeError(Code.POSITION_OUT_OF_RANGE, "9 is past the end", file_id="f", operation_id="ann:1")
    assert str(error) == "position_out_of_range: 9 is past the end"
    assert (error.code, error.detail, error.file_id, error.operation_id) == (
        Code.POSITION_OUT_OF_RANGE,
        "9 is past the end",
        "f",
        "ann:1",
    )


def test_without_a_detail_it_says_what_helps() -> None:
    error = CoscribeError(Code.OVERLOADED)
    assert str(error) == f"overloaded: {Code.OVERLOADED.value.help}"
    assert (error.detail, error.file_id, error.operation_id) == ("", None, None)
