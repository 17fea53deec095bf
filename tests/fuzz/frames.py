"""Any bytes as a frame, to both decoders. A second decoder, Python's own with the wire's schema, has to agree.

    taken      it is JSON and fits the schema; each field is what the JSON says; written and read again it is the same;
               an edit does to a text what plain slicing does; frames put together by hand are those that are encoded
    refused    with a code of the envelope, and the second decoder finds the same fault

What is beside the point: a key that comes twice (the last counts, but each is checked), what is nested too deeply for
either, and bytes that are no UTF-8 in fields that nobody reads.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from coscribe.core.document_state import Limits
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.operation import apply, components, reach
from coscribe.protocol import codec, messages
from coscribe.protocol.messages import ClientMessage, Replacement, ServerMessage
from tests.protocol.test_messages import FROM_CLIENTS, FROM_SERVERS
from tests.simulation.oracle import require

SCHEMA = json.loads((Path(__file__).parents[2] / "contract" / "wire.schema.json").read_text(encoding="utf-8"))
LIMITS = Limits(operation_length=20, chain_operations=3)
TEXT = "abcdefghij" * 3
DEEP = 100
"""Brackets that open one another, after which the two decoders may differ in what is too deep."""

Json = Any

_Strict = extend(  # type: ignore[no-untyped-call]  # its stubs leave it out
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)
"""1.0 is an integer to JSON Schema. The wire's numbers have no point."""


def _types(side: str) -> dict[str, Validator]:
    """The validator of each type of message of one side."""
    mapping: dict[str, str] = SCHEMA["$defs"][side]["discriminator"]["mapping"]
    return {name: _Strict({"$defs": SCHEMA["$defs"], "$ref": ref}) for name, ref in mapping.items()}


SIDES = (
    (codec.decode_client, _types("ClientMessage")),
    (codec.decode_server, _types("ServerMessage")),
)
ENVELOPE = (Code.MALFORMED_JSON, Code.UNKNOWN_TYPE, Code.INVALID_MESSAGE, Code.INVALID_TEXT)
FORM = (
    Code.INVALID_OPERATION_ID,
    Code.INVALID_PAYLOAD,
    Code.INVALID_TEXT,
    Code.OPERATION_TOO_LARGE,
    Code.CHAIN_TOO_LONG,
    Code.CHAIN_MISMATCH,
)


def run(data: bytes) -> str:
    """What both decoders say of the bytes."""
    reading = _Reading(data)
    return "\n".join(_side(data, reading, decode, types) for decode, types in SIDES)


def _side(data: bytes, reading: _Reading, decode: Any, types: dict[str, Validator]) -> str:
    try:
        message = decode(data)
    except CoscribeError as error:
        _refused(reading, error.code, types)
        return error.code.value.code
    _taken(reading, message, types)
    try:
        written: bytes = codec.encode(message)
    except OverflowError:  # a number of the server's, or a protocol version, that no server and no client would write
        return "taken"
    require(decode(written) == message, "what was written is read as something else")
    require(codec.encode(decode(written)) == written, "written again it is something else")
    require(reading.is_vague or reading.says(json.loads(written), types), "a field is not what the JSON says")
    return f"{written.decode()} {_inside(message)}"


class _Reading:
    """The bytes as Python's decoder reads them. ``value`` only where ``fault`` is empty."""

    def __init__(self, data: bytes) -> None:
        self.repeats = False
        self.fault = ""
        self.value: Json = None
        text = data.decode("utf-8", "surrogateescape")
        self.is_utf8 = not re.search("[\udc80-\udcff]", text)
        self.is_vague = _depth(data) > DEEP
        if self.is_vague:
            return
        try:
            self.value = json.loads(
                text, object_pairs_hook=self._object, parse_constant=_refuse, parse_int=_number, parse_float=float
            )
        except ValueError as error:
            self.fault = str(error)
        self.is_vague = self.repeats
        self.has_half_characters = bool(re.search("[\ud800-\udfff]", text)) or b"\\ud" in data.lower()

    def _object(self, pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        self.repeats = self.repeats or len({key for key, _ in pairs}) < len(pairs)
        return dict(pairs)

    def type(self) -> Json:
        return self.value.get("type") if isinstance(self.value, dict) else None

    def fits(self, types: dict[str, Validator]) -> bool:
        name = self.type()
        return isinstance(name, str) and name in types and types[name].is_valid(self.value)

    def says(self, written: dict[str, Json], types: dict[str, Validator]) -> bool:
        """Whether a message that is written holds all that was read, and nothing else but defaults."""
        schema = cast(dict[str, Json], types[written["type"]].schema)
        fields = SCHEMA["$defs"][schema["$ref"].rsplit("/")[-1]]["properties"]
        lacking = [key for key, value in self.value.items() if key in fields and key not in written and value]
        return not lacking and _holds(self.value, written)


def _holds(read: Json, written: Json) -> bool:
    if isinstance(written, dict):
        return isinstance(read, dict) and all(
            _holds(read[key], value) if key in read else not value for key, value in written.items()
        )
    if isinstance(written, list):
        return len(read) == len(written) and all(map(_holds, read, written))
    return type(read) is type(written) and bool(read == written)


def _number(digits: str) -> float:
    """Python does not read numbers of more than 4,300 digits; to the wire all of that size are alike."""
    return int(digits) if len(digits) < 1_000 else int(digits[:1_000])


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _depth(data: bytes) -> int:
    return data.count(b"[") + data.count(b"{")


def _refused(reading: _Reading, code: Code, types: dict[str, Validator]) -> None:
    require(code in ENVELOPE, f"{code} is no code of the envelope")
    if reading.is_vague or reading.fault:
        return
    if code is Code.INVALID_TEXT:
        require(reading.has_half_characters, "there is nothing wrong with the text")
    elif code is Code.UNKNOWN_TYPE:
        name = reading.type()
        require(not isinstance(name, str) or name not in types, f"{name!r} is known")
    elif code is Code.MALFORMED_JSON:
        require(not reading.is_utf8, "it is JSON")
    else:
        require(not reading.fits(types), "it fits the schema")


def _taken(reading: _Reading, message: ClientMessage | ServerMessage, types: dict[str, Validator]) -> None:
    if not reading.is_vague:
        require(not reading.fault, f"it is no JSON: {reading.fault}")
        require(reading.fits(types), f"{message} does not fit the schema")


# ---- what is in a message


def _inside(message: ClientMessage | ServerMessage) -> str:
    if isinstance(message, messages.Operation | messages.Chain):
        return _edits(message)
    if isinstance(message, messages.Committed | messages.Resent):
        _put_together(message)
        return " ".join(map(_operation, message.operations))
    if isinstance(message, messages.Snapshot):
        bare = msgspec.structs.replace(message, content="")
        frame = codec.snapshot_frame(bare, codec.encode(message.content))
        require(frame == codec.encode(message), "the frame of a snapshot is not its message")
    return ""


def _edits(message: messages.Operation | messages.Chain) -> str:
    """The core's form of an edit; or what is wrong with it."""
    elements: Sequence[messages.Operation | messages.ChainElement] = (
        [message] if isinstance(message, messages.Operation) else message.operations
    )
    try:
        requests = codec.requests_of(message, LIMITS)
    except CoscribeError as error:
        require(error.code in FORM, f"{error.code} is no code of an edit's form")
        return error.code.value.code
    ids = [element.operation_id for element in elements]
    require([request.operation_id for request in requests] == ids, "other ids")
    require(len(set(ids)) == len(ids) <= LIMITS.chain_operations, "an id twice, or too many")
    for element, request in zip(elements, requests, strict=True):
        edits = _plain(element)
        inserted = "".join(edit[2] for edit in edits)
        require(not re.search("[\0\r\ud800-\udfff]", inserted), "a character that no text may hold")
        require(len(inserted) <= LIMITS.operation_length, "more than an operation may insert")
        require(list(request.restores) == element.restores, "it restores something else")
        again = codec.compile_operation(*codec.wire_form(request.operation), LIMITS)
        require(components(again) == components(request.operation), "on the wire it is something else")
        if reach(request.operation) <= len(TEXT):
            require(apply(TEXT, request.operation) == _slicing(edits), "it does something else to a text")
    return " ".join(str(request.operation) for request in requests)


def _operation(element: messages.CommittedOperation) -> str:
    try:
        operation = codec.operation_of(element)
    except CoscribeError as error:
        require(error.code in FORM, f"{error.code} is no code of an edit's form")
        return error.code.value.code
    if element.position >= 0 and reach(operation) <= len(TEXT):
        require(apply(TEXT, operation) == _slicing(_plain(element)), "it does something else to a text")
    return str(operation)


def _plain(element: messages.Operation | messages.ChainElement | messages.CommittedOperation) -> list[messages.Edit]:
    """An edit that was taken, as a list of single ones."""
    kind, position, payload = element.operation_type, element.position, element.payload
    if isinstance(payload, str):
        require(kind == "insert" and payload != "", f"a text for a {kind}")
        return [(position, 0, payload)]
    if isinstance(payload, int):
        require(kind == "delete" and payload > 0, f"a number for a {kind}")
        return [(position, payload, "")]
    if isinstance(payload, Replacement):
        require(kind == "replace" and payload.delete > 0 and payload.insert != "", f"a replacement for a {kind}")
        return [(position, payload.delete, payload.insert)]
    require(kind == "batch" and position == 0, f"a list for a {kind} at {position}")
    return payload


def _slicing(edits: list[messages.Edit]) -> str:
    """The text after the edits, the last one first, so that none moves another."""
    text, end = TEXT, len(TEXT)
    for position, deleted, inserted in reversed(edits):
        if deleted or inserted:
            require(position + deleted <= end, "edits that overlap were taken")
            text, end = text[:position] + inserted + text[position + deleted :], position
    return text


def _put_together(message: messages.Committed | messages.Resent) -> None:
    """Of parts that are encoded already the server makes the frame that encoding the whole would make."""
    is_ours = re.fullmatch("[A-Za-z0-9._-]+", message.file_id) and re.fullmatch("([0-9a-f]{2})*", message.chain_hash)
    if not is_ours:
        return
    digest = bytes.fromhex(message.chain_hash)
    encoded = map(codec.encode, message.operations)
    previous = message.previous_sequence_id
    if isinstance(message, messages.Committed):
        frame = codec.committed_frame(message.file_id, previous, digest, encoded)
    else:
        frame = codec.resent_frame(message.file_id, previous, digest, message.more, encoded)
    require(frame == codec.encode(message), "a frame that is put together is not its message")


# ---- inputs


def seeds() -> list[bytes]:
    """Every message there is."""
    return [codec.encode(message) for message in (*FROM_CLIENTS, *FROM_SERVERS)]


EXAMPLES: list[Json] = [json.loads(seed) for seed in seeds()]
WORDS = sorted(
    {
        word
        for definition in SCHEMA["$defs"].values()
        for name, field in definition.get("properties", {}).items()
        for word in (name, *(str(value) for value in field.get("enum", ())))
    }
)
"""The names of all fields, and what is said in them."""

VALUES: tuple[Json, ...] = (
    *(0, 1, 2, 29, 30, 31, -1, 2**53 - 1, 2**53, 2**63, 2**64, 10**30, 0.0, 1.0, 1e308, True, None),
    *("", "x", "é", "😀", "\0", "\r", "\ud83d", "a:1", "x" * 21, "x" * 128, "x" * 129, "\x7f", "ab" * 32),
    *([], {}, [0, 1, "x"], [[0, 1, "x"], [1, 0, "y"]], [[3, 0, "y"], [1, 1, ""]], {"delete": 1, "insert": "x"}),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Another JSON than the one that was given: values, fields and elements are changed, dropped and doubled."""
    try:
        value = json.loads(data) if rng.random() < 0.8 else rng.choice(EXAMPLES)
    except (ValueError, RecursionError):
        value = rng.choice(EXAMPLES)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        value = _changed(value, rng)
    separators = rng.choice(((",", ":"), (", ", " : "), (",\n", ":\t")))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=separators)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Json, rng: random.Random) -> Json:
    """A copy with one change somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        change = rng.randrange(8)
        if change == 0:
            return {name: part for name, part in value.items() if name != key}
        if change == 1:
            return {**value, rng.choice(WORDS): rng.choice((*VALUES, *value.values()))}
        if change == 2:
            return {**value, key: value[rng.choice(list(value))]}
        if change == 3:
            return {**value, key: rng.choice(WORDS)}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = rng.randrange(len(value))
        change = rng.randrange(5)
        if change == 0:
            return [*value[:index], *value[index + 1 :]]
        if change == 1:
            return [*value[:index], *value[index:], value[index]]
        return [*value[:index], _changed(value[index], rng), *value[index + 1 :]]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-1, 1, 2, 10))
    if isinstance(value, str) and rng.random() < 0.5:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(("", "x", "😀", "\0", "\r", '"', "\\", "\ud83d", ":", " ")) + value[at + 1 :]
    return rng.choice((*VALUES, rng.choice(EXAMPLES)))
