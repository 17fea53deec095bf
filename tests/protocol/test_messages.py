"""Messages, their schema and their codec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed as Entry
from coscribe.core.operation import LEFT, NOTHING, Operation, Splice, changes, from_edits, transform
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import (
    Ack,
    Chain,
    ChainElement,
    Checksum,
    ClientMessage,
    Committed,
    CommittedOperation,
    Cursor,
    Error,
    GetChecksum,
    Goodbye,
    Have,
    Hello,
    Join,
    Leave,
    Left,
    Lineage,
    Live,
    OperationFate,
    Participant,
    Ping,
    Place,
    Pong,
    Presence,
    Rejoin,
    Replacement,
    Resend,
    Resent,
    RoleChanged,
    ServerLimits,
    ServerMessage,
    SetPresence,
    Snapshot,
    SnapshotApplied,
    Welcome,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "contract" / "wire.schema.json").read_text(encoding="utf-8"))
CLIENT = Draft202012Validator({**SCHEMA, "$ref": "#/$defs/ClientMessage"})
SERVER = Draft202012Validator({**SCHEMA, "$ref": "#/$defs/ServerMessage"})

CHAIN_HASH = "ab" * 32
COMMITTED = [
    CommittedOperation("a:1", "ann", 7, 5, "insert", 3, "h😀"),
    CommittedOperation("a:2", "ann", 8, 6, "delete", 0, 2),
    CommittedOperation("b:1", "bob", 9, 7, "replace", 1, Replacement(2, "x"), [4, 5]),
    CommittedOperation("b:2", "bob", 10, 8, "batch", 0, [(0, 1, ""), (3, 0, "y")]),
    CommittedOperation("b:3", "bob", 11, 8, "batch", 0, []),
]
PEOPLE = [
    Participant("c1", "ann", "Ann", "#d9480f", "owner"),
    Participant("c2", "bob", "Bob", "#2b8a3e", "viewer", 4, Cursor(1, 3)),
]
FOLDER = messages.TreeNode("project", "src", "directory")
LINK = messages.TreeNode("f1", "a (2)", "symlink", True, "../b", {"mode": "755"})
TREE_EDITS: list[messages.TreeEdit] = [
    messages.CreateNode("project", "src", "directory"),
    messages.CreateNode("f1", "logo.png", "binary", "ab" * 32, {"mode": "644"}, exact=True),
    messages.MoveNode("f2", "f1", "b", "f3", exact=True),
    messages.MoveNode("f2", name="c"),
    messages.DeleteNode("f2"),
    messages.RestoreNode("f2"),
    messages.RestoreNode("f2", "project", "d"),
    messages.PutContent("f4", "symlink", "../b"),
    messages.SetProperty("f4", "mode", "755"),
    messages.PurgeNodes(["f5", "f6"]),
]
TREE_ENTRIES = [
    messages.TreeEntry("a:1", "ann", 7, [messages.TreeChange("f1", None, FOLDER)]),
    messages.TreeEntry("b:1", "bob", 9, [messages.TreeChange("f2", LINK, None)], [7]),
    messages.TreeEntry("b:2", "bob", 10, []),
]
NODES = [
    messages.PlacedNode("project", "src", "directory", file_id="f1"),
    messages.PlacedNode("f1", "a (2)", "symlink", True, "../b", {"mode": "755"}, "f2"),
]
FATES = [
    OperationFate("a:1", "committed", 7, 5),
    OperationFate("a:2", "notCommitted"),
    OperationFate("a:3", "unknowable"),
]
FROM_CLIENTS: list[ClientMessage] = [
    Hello([1, 2], "token"),
    Hello([1], "token", "web/1"),
    Join("notes"),
    Join("notes", Have("log", 7, CHAIN_HASH, 5), ["a:1"]),
    SnapshotApplied("notes", 7),
    Leave("notes"),
    messages.Operation("notes", "a:1", "ann", 5, "insert", 0, "x"),
    messages.Operation("notes", "a:1", "ann", 5, "delete", 0, 3),
    messages.Operation("notes", "a:1", "ann", 5, "replace", 0, Replacement(1, "x")),
    messages.Operation("notes", "a:1", "ann", 5, "batch", 0, [(0, 0, "x"), (2, 1, "")], [3]),
    Chain("notes", "ann", 5, [ChainElement("a:1", "insert", 0, "x"), ChainElement("a:2", "delete", 0, 1, [2])]),
    messages.TreeOperation("project", "a:1", "ann", TREE_EDITS, [3]),
    SetPresence("notes", 5, Cursor(0, 4)),
    SetPresence("notes", 5),
    Resend("notes", Lineage("log", 7, CHAIN_HASH), 12),
    GetChecksum("notes"),
    messages.Save(),
    messages.Save("notes"),
    Ping(3),
]
FROM_SERVERS: list[ServerMessage] = [
    Welcome(1, "ann", "c1", ServerLimits(1, 2, 3, 4, 5), "coscribe/1"),
    Snapshot("notes", 5, 7, "log", CHAIN_HASH, "editor", FATES, False, "text\n"),
    Committed("notes", 6, CHAIN_HASH, COMMITTED),
    messages.TreeSnapshot("project", 7, "log", CHAIN_HASH, "editor", FATES, False, True, NODES),
    messages.TreeCommitted("project", 6, CHAIN_HASH, TREE_ENTRIES),
    messages.TreeResent("project", 6, CHAIN_HASH, False, TREE_ENTRIES),
    messages.TreeNotes("project", "a:1", [messages.TreeNote("f1", "numbered")]),
    Live("notes", 11, 8, "log", "editor", FATES, PEOPLE),
    Ack("notes", [Place("a:1", 7, 5)]),
    Resent("notes", 6, CHAIN_HASH, True, COMMITTED),
    Presence("notes", PEOPLE[1]),
    Left("notes", "c2"),
    Checksum("notes", 8, 11, CHAIN_HASH),
    messages.Saved(11),
    messages.Saved(11, "notes"),
    messages.Moved("f1", "src/a (2).txt", True),
    Rejoin("notes", "storage_unavailable"),
    codec.error_message(CoscribeError(Code.USER_MISMATCH, "who?"), "notes", "a:1"),
    codec.error_message(CoscribeError(Code.MALFORMED_JSON)),
    codec.error_message(codec.JoinRefused("notes", FATES)),
    codec.error_message(codec.JoinRefused("notes", [])),
    RoleChanged("notes", "viewer"),
    Goodbye("shutting_down", 1_000),
    Pong(3),
]
ALL = [*FROM_CLIENTS, *FROM_SERVERS]


def name_of(message: Any) -> str:
    return type(message).__name__


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message in FROM_CLIENTS} == set(get_args(ClientMessage))
    assert {type(message) for message in FROM_SERVERS} == set(get_args(ServerMessage))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("message", FROM_CLIENTS, ids=name_of)
def test_what_clients_send_fits_the_schema_and_comes_back_from_the_codec(message: ClientMessage) -> None:
    raw = codec.encode(message)
    CLIENT.validate(json.loads(raw))
    assert codec.decode_client(raw) == message


@pytest.mark.parametrize("message", FROM_SERVERS, ids=name_of)
def test_what_the_server_sends_fits_the_schema_and_comes_back_from_the_codec(message: ServerMessage) -> None:
    raw = codec.encode(message)
    SERVER.validate(json.loads(raw))
    assert codec.decode_server(raw) == message


@pytest.mark.parametrize("message", ALL, ids=name_of)
def test_a_message_without_a_field_that_it_needs_fits_neither(message: ClientMessage | ServerMessage) -> None:
    whole = json.loads(codec.encode(message))
    validator, decode = (SERVER, codec.decode_server) if message in FROM_SERVERS else (CLIENT, codec.decode_client)
    needed = SCHEMA["$defs"][name_of(message)].get("required", [])
    assert whole.keys() >= set(needed)
    for field in needed:
        partial = {key: value for key, value in whole.items() if key != field}
        assert not validator.is_valid(partial)
        with pytest.raises(CoscribeError) as refused:
            decode(msgspec.json.encode(partial))
        assert refused.value.code is Code.INVALID_MESSAGE


def test_every_field_of_every_message_is_described() -> None:
    for name, definition in SCHEMA["$defs"].items():
        if name not in ("ClientMessage", "ServerMessage"):
            assert definition["description"]
            assert all(field == "type" or schema["description"] for field, schema in definition["properties"].items())


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert codec.decode_client(b'{"type":"ping","nonce":1,"color":{"deep":[1]}}') == Ping(1)
    CLIENT.validate({"type": "ping", "nonce": 1, "color": "red"})


# ---- frames that are put together by hand


operations = st.one_of(
    st.builds(Splice, st.integers(0, 9), st.just(0), st.text('ab"\\\n😀', min_size=1)),
    st.builds(Splice, st.integers(0, 9), st.integers(1, 9), st.text("ab😀")),
    st.just(NOTHING),
    st.just((1, "x", 2, "y")),
)
entries = st.lists(
    st.builds(
        lambda operation, author, restores: Entry(
            1, 2, 1, changes(operation), "a:1", author, b"", operation, "", tuple(restores)
        ),
        operations,
        st.sampled_from(["ann", 'b"o\\b', "Å😀"]),
        st.lists(st.integers(0, 9), max_size=2),
    ),
    max_size=3,
)


def element(entry: Entry) -> CommittedOperation:
    return CommittedOperation(
        entry.operation_id,
        entry.author,
        entry.sequence,
        entry.version,
        *codec.wire_form(entry.operation),
        list(entry.restores),
    )


@given(entries)
def test_a_committed_frame_is_the_encoded_message(batch: list[Entry]) -> None:
    frame = codec.committed_frame("a.b-c_d", 41, b"\x01" * 32, [codec.encode_entry(entry) for entry in batch])
    assert frame == codec.encode(Committed("a.b-c_d", 41, "01" * 32, [element(entry) for entry in batch]))


@given(entries, st.booleans())
def test_a_resent_frame_is_the_encoded_message(batch: list[Entry], more: bool) -> None:
    frame = codec.resent_frame("notes", 0, b"\xff" * 32, more, [codec.encode_entry(entry) for entry in batch])
    assert frame == codec.encode(Resent("notes", 0, "ff" * 32, more, [element(entry) for entry in batch]))


@given(st.text())
def test_a_snapshot_frame_is_the_encoded_message(content: str) -> None:
    snapshot = Snapshot("notes", 5, 7, "log", CHAIN_HASH, "editor", FATES, True, "")
    frame = codec.snapshot_frame(snapshot, codec.encode(content))
    assert frame == codec.encode(msgspec.structs.replace(snapshot, content=content))


@given(operations)
def test_a_committed_operation_reads_back_as_it_was(operation: Operation) -> None:
    entry = Entry(1, 1, 0, changes(operation), "a:1", "ann", b"", operation, "")
    read = msgspec.json.decode(codec.encode_entry(entry), type=CommittedOperation)
    assert codec.operation_of(read) == operation


# ---- what cannot be decoded


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", Code.MALFORMED_JSON),
        (b"{", Code.MALFORMED_JSON),
        (b"hello", Code.MALFORMED_JSON),
        (b'{"type":"ping"} {"type":"ping"}', Code.MALFORMED_JSON),
        (b'{"type":"ping","nonce":NaN}', Code.MALFORMED_JSON),
        (b'{"type":"leave","fileId":"a\x00b"}', Code.MALFORMED_JSON),
        (b'\xef\xbb\xbf{"type":"ping"}', Code.MALFORMED_JSON),
        (b'{"type":"ping","x":' + b"[" * 100_000, Code.MALFORMED_JSON),
        (b'{"type":"ping","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, Code.MALFORMED_JSON),
        (b'{"type":"leave","fileId":"\\ud83d"}', Code.INVALID_TEXT),
        (b'{"type":"leave","fileId":"\\ude00\\ud83d"}', Code.INVALID_TEXT),
        (b'{"type":"leave","fileId":"\xed\xa0\xbd"}', Code.INVALID_TEXT),
        (b'{"type":"leave","fileId":"\xff"}', Code.INVALID_TEXT),
        (b"[1]", Code.INVALID_MESSAGE),
        (b"null", Code.INVALID_MESSAGE),
        (b'"ping"', Code.INVALID_MESSAGE),
        (b"{}", Code.INVALID_MESSAGE),
        (b'{"nonce":1}', Code.INVALID_MESSAGE),
        (b'{"type":"leave"}', Code.INVALID_MESSAGE),
        (b'{"type":"leave","fileId":7}', Code.INVALID_MESSAGE),
        (b'{"type":"leave","fileId":""}', Code.INVALID_MESSAGE),
        (b'{"type":"ping","nonce":-1}', Code.INVALID_MESSAGE),
        (b'{"type":"ping","nonce":1.0}', Code.INVALID_MESSAGE),
        (b'{"type":"ping","nonce":9007199254740992}', Code.INVALID_MESSAGE),
        (b'{"type":"ping","nonce":' + b"9" * 10_000 + b"}", Code.INVALID_MESSAGE),
        (b'{"type":"ping","nonce":true}', Code.INVALID_MESSAGE),
        (b'{"type":"nothing"}', Code.UNKNOWN_TYPE),
        (b'{"type":"Ping"}', Code.UNKNOWN_TYPE),
        (b'{"type":7}', Code.UNKNOWN_TYPE),
        (b'{"type":"welcome"}', Code.UNKNOWN_TYPE),
        (b'{"type":"welcome","type":"ping"}', Code.UNKNOWN_TYPE),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else value.value.code,
)
def test_what_cannot_be_decoded_has_a_code(raw: bytes, code: Code) -> None:
    with pytest.raises(CoscribeError) as refused:
        codec.decode_client(raw)
    assert refused.value.code is code


@given(st.binary(max_size=60))
def test_no_bytes_get_past_the_decoder_as_anything_but_a_message_or_an_error(raw: bytes) -> None:
    codes = set()
    for decode in (codec.decode_client, codec.decode_server):
        try:
            message = decode(raw)
        except CoscribeError as error:
            codes.add(error.code.value.code)
        else:
            assert isinstance(message, messages.Message)
    assert codes <= {"malformed_json", "invalid_message", "invalid_text", "unknown_type"}


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(FROM_CLIENTS), st.data())
def test_the_decoder_and_the_schema_agree(message: ClientMessage, data: st.DataObject) -> None:
    """One field is replaced by anything; what the decoder takes the schema takes too, and the other way round."""
    whole = json.loads(codec.encode(message))
    field = data.draw(st.sampled_from(sorted(whole)))
    whole[field] = data.draw(json_values)
    raw = json.dumps(whole).encode()
    try:
        codec.decode_client(raw)
    except CoscribeError as error:
        # JSON Schema has no notion of half a surrogate, and takes 1.0 for an integer.
        lenient = error.code is Code.INVALID_TEXT or "got `float`" in str(error) or "NaN" in raw.decode()
        assert lenient or "Infinity" in raw.decode() or not CLIENT.is_valid(whole)
    else:
        CLIENT.validate(whole)


def test_an_error_says_what_the_table_says() -> None:
    for code in Code:
        kind = code.value
        sent = codec.error_message(CoscribeError(code, "detail", operation_id="a:2"), "notes", "a:1")
        assert sent == Error(kind.code, kind.fault, kind.retry, kind.help, "detail", "notes", "a:2")


# ---- requests


def operation(**fields: Any) -> messages.Operation:
    whole = {
        "file_id": "notes",
        "operation_id": "a:1",
        "user_id": "ann",
        "base_version": 0,
        "operation_type": "insert",
        "position": 0,
        "payload": "x",
    }
    return messages.Operation(**{**whole, **fields})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (operation(operation_id="a b"), Code.INVALID_OPERATION_ID),
        (operation(operation_id="ä"), Code.INVALID_OPERATION_ID),
        (operation(operation_id="a\n"), Code.INVALID_OPERATION_ID),
        (operation(operation_id=""), Code.INVALID_OPERATION_ID),
        (operation(operation_id="a" * 129), Code.INVALID_OPERATION_ID),
        (operation(payload="x" * 11), Code.OPERATION_TOO_LARGE),
        (operation(operation_type="batch", payload=[(0, 0, "x" * 6), (1, 0, "x" * 5)]), Code.OPERATION_TOO_LARGE),
        (operation(operation_type="batch", payload=[(0, 0, "")] * 10_001), Code.OPERATION_TOO_LARGE),
        (operation(payload="\ud800"), Code.INVALID_TEXT),
        (operation(restores=list(range(1_025))), Code.INVALID_PAYLOAD),
        (Chain("notes", "ann", 0, [ChainElement(f"a:{n}", "insert", 0, "x") for n in range(4)]), Code.CHAIN_TOO_LONG),
        (Chain("notes", "ann", 0, [ChainElement("a:1", "insert", 0, "x")] * 2), Code.CHAIN_MISMATCH),
    ],
    ids=lambda value: "" if isinstance(value, msgspec.Struct) else value.value.code,
)
def test_requests_that_are_refused(message: messages.Operation | Chain, code: Code) -> None:
    with pytest.raises(CoscribeError) as refused:
        codec.requests_of(message, Limits(operation_length=10, chain_operations=3))
    assert refused.value.code is code


@pytest.mark.parametrize("file_id", ["a", "A-b_c.d", "0", "a" * 128])
def test_file_ids(file_id: str) -> None:
    codec.check_file_id(file_id)


@pytest.mark.parametrize(
    "file_id", ["", ".", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "ä", "a\n", "a\0", "a" * 129]
)
def test_file_ids_that_are_refused(file_id: str) -> None:
    with pytest.raises(CoscribeError) as refused:
        codec.check_file_id(file_id)
    assert refused.value.code is Code.INVALID_FILE_ID


def test_a_committed_batch_may_have_more_edits_than_one_that_is_sent() -> None:
    """Rebased over an insert in the middle of one of its deletes, the largest batch has one edit more."""
    sent = from_edits([(3 * number, 2, "") for number in range(codec.MAX_BATCH_EDITS)])
    rebased = transform(sent, Splice(1, 0, "x"), LEFT)
    operation_type, position, payload = codec.wire_form(rebased)
    committed = messages.CommittedOperation("a:1", "ann", 1, 1, operation_type, position, payload)
    assert isinstance(payload, list) and len(payload) == codec.MAX_BATCH_EDITS + 1
    assert codec.operation_of(committed) == rebased
    with pytest.raises(CoscribeError, match="operation_too_large"):
        codec.compile_operation(operation_type, position, payload, Limits())
