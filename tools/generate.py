"""Writes what is generated from the code: schemas of wire and API, error list, reference and policy pages, vectors.

    python tools/generate.py            write the files
    python tools/generate.py --check    exit 1 and name what is stale

The sources are ``protocol/messages.py`` (messages and their docstrings), ``core/errors.py`` (codes), the limits of the
layers, ``contract/protocol.template.md`` (the prose of the page) and, for the vectors, the tables below and a seed. No
expected value of a vector comes from the core: it is written by hand below, or computed by the naive oracle of
``tests/core/naive.py`` and ``naive_tree.py``, which also have to agree with what is written by hand.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from textwrap import indent
from typing import Any, Literal, NamedTuple, get_args

import msgspec

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.api import policy_table  # noqa: E402  (the path comes first)
from tests.core.naive import (  # noqa: E402
    AnyOp,
    JsonComponent,
    JsonOp,
    naive_apply,
    naive_compose,
    naive_normal,
    naive_reach,
    naive_transform,
    naive_utf16,
)
from tests.core.naive_tree import NaiveTree, Refused, naive_apply_tree, naive_listing  # noqa: E402
from tests.core.tree_operations import any_operation  # noqa: E402
from tests.core.tree_pairs import PAIRS, UNDONE  # noqa: E402

from coscribe.api.app import description  # noqa: E402  (the path comes first)
from coscribe.core.document_state import Limits  # noqa: E402
from coscribe.core.errors import Code  # noqa: E402
from coscribe.documents.collaboration import RESEND_PAGE  # noqa: E402
from coscribe.gateway.socket import GatewayLimits  # noqa: E402
from coscribe.protocol import messages  # noqa: E402

TEMPLATE = ROOT / "contract" / "protocol.template.md"
CONVERSATIONS = ROOT / "contract" / "conformance" / "conversations"
SEED = 20_260_101

Json = Any
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


# ---- the schema

MEANINGS = {
    "protocol": "the protocol versions that the client speaks, in any order",
    "Welcome.protocol": "the version that is spoken from here on",
    "token": "what proves who it is; from `coscribe token USER`, or a one-time ticket",
    "client": "name and version of the client, for the server's logs",
    "fileId": "the file: 1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    "have": "what is left from before; without it the answer is a snapshot",
    "Resend.have": "where the replica is",
    "inFlight": "the ids that were sent and never acknowledged; the answer names the fate of each",
    "lastCursor": "where my caret was when I last had the file open",
    "Join.lastCursor": "whether `live` is to say where my caret was when I last had the file open",
    "snapshotSequenceId": "the sequence that the snapshot shows",
    "snapshotVersion": "the version that the snapshot shows",
    "incarnation": "which log it is; another one after a restore from a backup",
    "serverSequenceId": "a place in the order of the workspace",
    "Lineage.serverSequenceId": "the last sequence that the replica has",
    "Have.serverSequenceId": "the last sequence that the replica has",
    "Live.serverSequenceId": "the file's last sequence",
    "Checksum.serverSequenceId": "the file's last sequence",
    "Saved.serverSequenceId": "everything up to here is on the disk",
    "Save.fileId": "the file, or the workspace; none: the workspace of what is open here",
    "Saved.fileId": "as it was asked",
    "documentVersion": "the version of the file's text",
    "OperationFate.serverSequenceId": "its sequence, where it was committed",
    "OperationFate.documentVersion": "the version after it, where it was committed",
    "Have.documentVersion": "the version of the replica's text",
    "CommittedOperation.documentVersion": "the version after the operation",
    "Place.documentVersion": "the version after the operation",
    "Participant.documentVersion": "the version that the cursor refers to",
    "SetPresence.documentVersion": "the version that the cursor refers to",
    "chainHash": "the digest of the log's entry at that sequence, in hex; 64 zeros at sequence 0",
    "TreeSnapshot.chainHash": "the digest of the log's entry at that sequence; empty where one does not see all",
    "Committed.chainHash": "the digest of the last of these entries",
    "Resent.chainHash": "the digest of the last of these entries; of what one has where there are none",
    "operationId": "unique for ever: 1 to 128 printable ASCII characters without blanks",
    "Error.operationId": "the operation that was refused, if one was",
    "Error.fileId": "the file that it was about, if one is known",
    "operationType": "which form `position` and `payload` have",
    "position": "where, in code points",
    "payload": "what, by operationType",
    "origin": "where what it inserts is from, as its author says; kept in the log",
    "restores": "the sequences that an undo or a restore brings back",
    "userId": "who: the one of the welcome message",
    "CommittedOperation.userId": "who made it",
    "Participant.userId": "who it is",
    "Welcome.userId": "who one is, by the token",
    "baseVersion": "the version of the text that the edit was made on; one that the server has sent",
    "operations": "the operations, in order",
    "Chain.operations": "the elements, in order",
    "cursor": "the selection; none: nothing is shown",
    "throughSequenceId": "up to and including which sequence",
    "nonce": "any number; comes back",
    "connectionId": "tells two windows of one person apart",
    "limits": "bounds to keep to",
    "server": "name and version of the server",
    "role": "what one may do with the file",
    "RoleChanged.role": "what one may do with it from here on",
    "Participant.role": "what they may do with the file",
    "fates": "what became of each id in flight",
    "Error.fates": "what became of each id in flight, where a join that named some is refused for want of access",
    "fate": "`committed`, `notCommitted` (may be sent again) or `unknowable` (goes back to its author)",
    "lineageLost": "whether the log does not know what the client had",
    "content": "the text",
    "previousSequenceId": "the file's sequence before the first of them; above one's own there is a gap",
    "Resent.previousSequenceId": "the sequence that was asked from",
    "participants": "who has the file open, oneself included",
    "participant": "who",
    "more": "whether the range goes on behind the last of these",
    "contentHash": "SHA-256 of the UTF-8 text, in hex",
    "reason": "a code of the error table",
    "code": "a code of the error table; more may be added, none changes its meaning",
    "fault": "who has to change something",
    "retry": "what may be done with the same message: see the error table",
    "help": "what to do, for people",
    "detail": "what exactly was wrong, for people; may change",
    "retryAfter": "milliseconds after which to come back",
    "delete": "how many code points to drop",
    "insert": "the text to put in their place",
    "anchor": "the fixed end of the selection",
    "head": "the caret",
    "displayName": "how to show them",
    "color": "`#rrggbb`; stays the same for a person",
    "messageBytes": "bytes of one message",
    "operationLength": "code points that one operation inserts",
    "fileLength": "code points of a file",
    "chainOperations": "operations of one chain",
    "filesPerConnection": "files that are open on one connection",
    "verb": "what is to be done",
    "parentId": "the folder; the workspace's own id is the top",
    "MoveNode.parentId": "the folder to move it to; none: it stays in its own",
    "RestoreNode.parentId": "the folder to restore it to; none: the one that it was in",
    "name": "the name in its folder, of at most 255 bytes, without a slash",
    "MoveNode.name": "the new name; none: it keeps its own",
    "RestoreNode.name": "the new name; none: it keeps its own",
    "kind": "what sort of file it is",
    "CreateNode.content": "of a binary file the SHA-256 in hex, of a link the target",
    "PutContent.content": "of a binary file the SHA-256 in hex, of a link the target",
    "TreeNode.content": "of a binary file the SHA-256 in hex, of a link the target",
    "PlacedNode.content": "of a binary file the SHA-256 in hex, of a link the target",
    "properties": "`mode`, `eol`, `bom`, `encoding`, `diskName`, where they are not the usual",
    "exact": "whether it is refused, `conflict`, where the name is taken; else it is numbered",
    "replaces": "the file that has the name, and goes into the trash for it",
    "key": "which property",
    "value": "the property's value; empty takes it away",
    "fileIds": "what goes; a folder only with all that is in it",
    "trashed": "whether it was deleted itself; what is below it is in the trash, too",
    "path": "the names from the top, with slashes between",
    "Moved.trashed": "whether it, or a folder above it, is in the trash",
    "foldsCase": "whether names that differ in case are the same",
    "nodes": "all files and folders, each behind its folder",
    "entries": "what became of the tree, in order",
    "TreeEntry.userId": "whose operation it was",
    "TreeOperation.fileId": "the workspace",
    "changes": "the files that are other ones now, in order",
    "before": "what it was; none: it was not there",
    "after": "what it is; none: it is not there any more",
    "notes": "what came out other than it was asked",
    "why": "why it did",
    "TreeCommitted.chainHash": "the digest of the last of these entries; empty where one does not see all",
    "TreeResent.chainHash": "the digest of the last of these entries; of what one has where there are none",
    "TreeResent.previousSequenceId": "the sequence that was asked from",
}
"""What a field means; ``Message.field`` where a field means something else there."""


def definitions() -> tuple[Json, Json, dict[str, Json]]:
    """The schema of what clients send, of what the server sends, and of every message and part by name."""
    (client, server), defs = msgspec.json.schema_components(
        (messages.ClientMessage, messages.ServerMessage), ref_template="#/$defs/{name}"
    )
    used: set[str] = set()
    for name, definition in defs.items():
        definition["description"] = prose(definition["description"])
        for field, schema in definition["properties"].items():
            if field != "type":
                key = f"{name}.{field}" if f"{name}.{field}" in MEANINGS else field
                used.add(key)
                schema["description"] = MEANINGS[key]
    unused = MEANINGS.keys() - used
    assert not unused, f"MEANINGS of no field: {unused}"
    return client, server, defs


def prose(docstring: str) -> str:
    """A docstring as Markdown."""
    return inspect.cleandoc(docstring).replace("``", "`")


def schema_file() -> str:
    client, server, defs = definitions()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "wire.schema.json",
        "title": "The Coscribe wire protocol",
        "description": (
            "Generated from src/coscribe/protocol/messages.py by tools/generate.py. Validate what is sent against "
            "#/$defs/ClientMessage and what is received against #/$defs/ServerMessage. Unknown fields are ignored."
        ),
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": {"ClientMessage": client, "ServerMessage": server, **defs},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def errors_file() -> str:
    """Every code with its row of the table, one a line."""
    rows = [
        {"code": kind.code, "fault": kind.fault, "retry": kind.retry, "closes": kind.closes, "help": kind.help}
        for kind in (code.value for code in Code)
    ]
    origin = "Generated from src/coscribe/core/errors.py by tools/generate.py."
    return one_a_line({"origin": origin}, "errors", rows)


# ---- the page


class Limit(NamedTuple):
    """A row of the limits: a field of `Limits` or `GatewayLimits`, or a number that stands in a module."""

    name: str
    meaning: str
    beyond: str


FILE_LIMITS = [
    Limit("operation_length", "code points that one operation inserts", "`operation_too_large`"),
    Limit("file_length", "code points of a file", "`file_too_large`"),
    Limit("chain_operations", "operations of one chain", "`chain_too_long`"),
    Limit("rebase_steps", "versions behind, times operations of the chain", "`base_version_too_old`"),
    Limit("window_operations", "operations of a file kept in memory", "the log is read; a join gets a snapshot"),
    Limit("window_bytes", "bytes of them", "the same"),
]
GATEWAY_LIMITS = [
    Limit("message_bytes", "bytes of one message", "`message_too_large`"),
    Limit("hello_bytes", "bytes of a message before the welcome", "`message_too_large`"),
    Limit("hello_seconds", "seconds until hello", "`hello_timeout`"),
    Limit("files_per_connection", "files that are open on one connection", "`too_many_files`"),
    Limit("in_flight_ids", "ids that a join names", "`invalid_message`"),
    Limit("rate", "operations and chains a second", "`rate_limited`"),
    Limit("burst", "of them at once after a rest", "`rate_limited`"),
    Limit("ask_rate", "messages a second that are no edits; reading a long text counts for more", "they wait"),
    Limit("ask_burst", "of them at once after a rest", "they wait"),
    Limit("inbox_messages", "messages that wait behind one that asks storage", "`inbox_full`"),
    Limit("inbox_bytes", "bytes of them", "`inbox_full`"),
    Limit("buffer_bytes", "bytes that wait to be read by a client", "`slow_consumer`"),
    Limit("lag_seconds", "seconds that a client may be behind", "`slow_consumer`"),
    Limit("idle_seconds", "seconds of silence until the server pings", "a WebSocket ping"),
    Limit("silent_seconds", "seconds of silence until it gives up", "close 1001"),
    Limit("message_seconds", "seconds for all fragments of a message", "close 1008"),
    Limit("connections", "connections in all", "503 at the handshake"),
    Limit("connections_per_address", "of them from one address (IPv6: a /64)", "429 at the handshake"),
    Limit("connections_per_account", "of them of one account", "`too_many_requests`"),
    Limit("unauthenticated", "connections that have not said hello", "`hello_timeout` for the oldest"),
]
OF_REQUESTS = {
    *("http_connections", "http_connections_per_address", "http_seconds", "http_rate", "head_bytes", "head_seconds"),
}
"""Limits of requests by HTTP, with which the protocol has nothing to do (docs/limits.md has them)."""


def page_file() -> str:
    """The template with its ``{{...}}`` lines filled in."""
    _, _, defs = definitions()

    def fill(match: re.Match[str]) -> str:
        what, _, argument = match[1].partition(" ")
        if what == "conversation":
            return transcript(argument)
        return fillings[what]()

    fillings: dict[str, Callable[[], str]] = {
        "versions": lambda: ", ".join(map(str, messages.PROTOCOL_VERSIONS)),
        "client": lambda: message_sections(messages.ClientMessage, defs),
        "server": lambda: message_sections(messages.ServerMessage, defs),
        "parts": lambda: part_sections(defs),
        "errors": errors_table,
        "limits": limits_table,
        "resendPage": lambda: str(RESEND_PAGE),
    }
    return re.sub(r"\{\{(.+?)\}\}", fill, TEMPLATE.read_text(encoding="utf-8"))


def message_sections(union: Any, defs: dict[str, Json]) -> str:
    return "\n".join(section(message.__name__, defs[message.__name__]) for message in get_args(union))


def part_sections(defs: dict[str, Json]) -> str:
    return "\n".join(section(name, definition) for name, definition in defs.items() if not is_message(definition))


def is_message(definition: Json) -> bool:
    return "type" in definition["properties"]


def section(name: str, definition: Json) -> str:
    title = definition["properties"]["type"]["enum"][0] if is_message(definition) else name
    lines = [f"### {title}", "", definition["description"], ""]
    fields = {field: schema for field, schema in definition["properties"].items() if field != "type"}
    if fields:
        lines += ["| field | type | meaning |", "|---|---|---|"]
    for field, schema in fields.items():
        mark = "" if field in definition["required"] else "?"
        lines.append(f"| `{field}`{mark} | {type_of(schema)} | {schema['description']} |")
    return "\n".join([*lines, ""])


def type_of(schema: Json) -> str:
    """How a type is shown in a table."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_of(option) for option in schema["anyOf"] if option.get("type") != "null")
    if "prefixItems" in schema:
        return f"[{', '.join(type_of(item) for item in schema['prefixItems'])}]"
    if schema["type"] == "array":
        return f"list of {type_of(schema['items'])}"
    return "number" if schema["type"] == "integer" else str(schema["type"])


def errors_table() -> str:
    lines = ["| code | fault | retry | closes | what to do |", "|---|---|---|---|---|"]
    for code in Code:
        kind = code.value
        lines.append(f"| `{kind.code}` | {kind.fault} | {kind.retry} | {'yes' if kind.closes else ''} | {kind.help} |")
    return "\n".join(lines)


def limits_table() -> str:
    rows = [(limit, getattr(Limits(), limit.name)) for limit in FILE_LIMITS]
    rows += [(limit, getattr(GatewayLimits(), limit.name)) for limit in GATEWAY_LIMITS]
    described = {limit.name for limit, _ in rows}
    left_out = ({*Limits._fields, *GatewayLimits._fields} - OF_REQUESTS) ^ described
    assert not left_out, f"limits without a row, or rows without a limit: {left_out}"
    lines = ["| what | default | beyond it |", "|---|---|---|"]
    lines += [f"| {limit.meaning} | {value:,.10g} | {limit.beyond} |" for limit, value in rows]
    return "\n".join(lines)


def transcript(name: str) -> str:
    """A conversation of the conformance vectors as it goes over the wire."""
    record = json.loads((CONVERSATIONS / f"{name}.json").read_text(encoding="utf-8"))
    lines = ["```"]
    for step in record["steps"]:
        if "send" in step:
            lines.append(f"{step['from']} > {shortened(step['send'])}")
        elif "expect" in step or "includes" in step:
            people = step["to"] if isinstance(step["to"], str) else ", ".join(step["to"])
            lines.append(f"{people} < {shortened(step.get('expect') or step['includes'])}")
        elif "open" in step:
            lines.append(f"{step['open']}   connects and says hello")
        elif "storage" in step:
            lines.append(f"      {STORAGE[step['storage']]}")
    return "\n".join([*lines, "```"])


STORAGE = {"hold": "(commits take their time)", "failAfter": "(a commit is written, but not confirmed)"}
"""What steps of the conversations that the page shows do to the disk."""

LEFT_OUT = ("type", "fileId", "userId", "incarnation", "chainHash", "participants", "fates", "role")


def shortened(message: Json) -> str:
    """A message for reading: its type, and of its fields those that matter, each operation on a line."""
    shown = {key: value for key, value in message.items() if key not in LEFT_OUT or (key == "fates" and value)}
    for key, value in shown.items():
        if isinstance(value, dict):
            shown[key] = {name: item for name, item in value.items() if name not in LEFT_OUT}
    operations = shown.pop("operations", [])
    parts = [", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in shown.items())]
    for operation in operations:
        fields = {key: value for key, value in operation.items() if key not in LEFT_OUT}
        parts.append(", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()))
    return f"\n{' ' * 10}".join([f"{message['type']}  {parts[0]}".rstrip(), *parts[1:]])


# ---- the vectors: written by hand

D1: JsonComponent = {"d": 1}
D2: JsonComponent = {"d": 2}
D3: JsonComponent = {"d": 3}
D4: JsonComponent = {"d": 4}

# why, text, op, expected
APPLY: list[tuple[str, str, AnyOp, str]] = [
    ("nothing to do", "", [], ""),
    ("nothing to do", "abc", [], "abc"),
    ("a retain up to the end", "abc", [3], "abc"),
    ("into an empty text", "", ["abc"], "abc"),
    ("at the beginning", "bc", ["a"], "abc"),
    ("in the middle", "ac", [1, "b"], "abc"),
    ("at the end", "ab", [2, "c"], "abc"),
    ("everything", "abc", [D3], ""),
    ("the first", "abc", [D1], "bc"),
    ("the last", "abc", [2, D1], "ab"),
    ("replace: insert before delete", "abc", [1, "X", D1], "aXc"),
    ("replace: delete before insert", "abc", [1, D1, "X"], "aXc"),
    ("replace everything", "abc", ["xyz", D3], "xyz"),
    ("several places", "abcdef", [1, "1", 2, D2, "2"], "a1bc2f"),
    ("an emoji is one", "a😀b", [2, "!"], "a😀!b"),
    ("an emoji goes whole", "a😀b", [1, D1], "ab"),
    ("an emoji comes", "ab", [1, "😀"], "a😀b"),
    ("four code points on the screen as one", "👩‍💻!", [3, "?"], "👩‍💻?!"),
    ("a combining mark is a code point of its own", "e\u0301x", [1, D1], "ex"),
    ("a flag is two", "🇩🇪", [1, D1], "🇩"),
    ("lines", "a\nb\n", [2, "x\n"], "a\nx\nb\n"),
    ("a byte order mark is text", "\ufeffa", [D1], "a"),
    ("the last code point there is", "\U0010ffff", [1, "a"], "\U0010ffffa"),
]

# why, text, op: it reaches past the end
PAST_THE_END: list[tuple[str, str, AnyOp]] = [
    ("insert behind the end", "abc", [4, "x"]),
    ("delete more than there is", "abc", [1, D3]),
    ("delete from nothing", "", [D1]),
    ("keep more than there is", "abc", [4]),
    ("two UTF-16 units are one code point", "😀", [2, "x"]),
    ("a batch whose last edit does not fit", "abc", ["x", 3, D1]),
]

# why, text, op, other, result with side left, result with side right
TRANSFORM: list[tuple[str, str, AnyOp, AnyOp, AnyOp, AnyOp]] = [
    ("insert before an insert", "abc", [1, "x"], [2, "y"], [1, "x"], [1, "x"]),
    ("insert behind an insert", "abc", [2, "x"], [1, "y"], [3, "x"], [3, "x"]),
    ("tie", "abc", [1, "x"], [1, "y"], [1, "x"], [2, "x"]),
    ("tie in an empty text", "", ["x"], ["yy"], ["x"], [2, "x"]),
    ("tie at the end", "abc", [3, "x"], [3, "yy"], [3, "x"], [5, "x"]),
    ("tie of emoji", "a😀", [2, "🙂"], [2, "🙃🙃"], [2, "🙂"], [4, "🙂"]),
    ("tie with a replace", "abc", [1, "x"], [1, "y", D1], [1, "x"], [2, "x"]),
    (
        "a replace ties: its text goes by the side, its delete behind the other",
        "ab",
        ["x", D1],
        ["y"],
        ["x", 1, D1],
        [1, "x", D1],
    ),
    ("two replaces of one range", "cat", ["cow", D3], ["dog", D3], ["cow"], [3, "cow"]),
    ("insert before a delete", "abc", [1, "x"], [1, D1], [1, "x"], [1, "x"]),
    ("insert into a delete", "abcd", [2, "x"], [1, D2], [1, "x"], [1, "x"]),
    ("insert behind a delete", "abcd", [3, "x"], [1, D2], [1, "x"], [1, "x"]),
    ("insert behind a delete that is far before", "abcdef", [5, "x"], [D2], [3, "x"], [3, "x"]),
    ("delete before an insert", "abc", [D1], [1, "x"], [D1], [D1]),
    ("delete behind an insert", "abc", [1, D1], [1, "x"], [2, D1], [2, D1]),
    ("delete split by an insert", "abcd", [1, D2], [2, "x"], [1, D1, 1, D1], [1, D1, 1, D1]),
    ("delete split by a long insert", "abcd", [D4], [2, "xyz"], [D2, 3, D2], [D2, 3, D2]),
    ("delete split twice", "abcdef", [1, D4], [2, "x", 2, "yy"], [1, D1, 1, D2, 2, D1], [1, D1, 1, D2, 2, D1]),
    (
        "replace split by an insert: its text stays in front",
        "abcd",
        [1, "Q", D2],
        [2, "x"],
        [1, "Q", D1, 1, D1],
        [1, "Q", D1, 1, D1],
    ),
    ("the same delete", "abc", [1, D1], [1, D1], [], []),
    ("a delete within a delete", "abcd", [1, D1], [D4], [], []),
    ("a delete around a delete", "abcd", [D4], [1, D2], [D2], [D2]),
    ("deletes that overlap, this one behind", "abcdef", [2, D3], [1, D3], [1, D1], [1, D1]),
    ("deletes that overlap, this one before", "abcdef", [1, D3], [2, D3], [1, D1], [1, D1]),
    ("deletes that touch", "abcd", [2, D2], [D2], [D2], [D2]),
    (
        "an insert between two deletes of the other that meet there",
        "abcd",
        [2, "x"],
        [1, D1, "y", D1],
        [1, "x"],
        [2, "x"],
    ),
    (
        "two inserts and a delete over an insert at one of the places",
        "abcd",
        ["1", 2, "2", D1],
        [2, "y"],
        ["1", 2, "2", 1, D1],
        ["1", 3, "2", D1],
    ),
    ("nothing over something", "abc", [], [1, "x"], [], []),
    ("something over nothing", "abc", [1, "x"], [], [1, "x"], [1, "x"]),
    ("positions count code points", "😀😀", [2, "x"], ["🙂🙂"], [4, "x"], [4, "x"]),
]

# why, text, first, second, result
COMPOSE: list[tuple[str, str, AnyOp, AnyOp, AnyOp]] = [
    ("nothing and nothing", "abc", [], [], []),
    ("typing on", "abc", [1, "x"], [2, "y"], [1, "xy"]),
    ("typing before", "abc", [1, "x"], [1, "y"], [1, "yx"]),
    ("typing into what was typed", "abc", [1, "xy"], [2, "-"], [1, "x-y"]),
    ("taking back what was typed", "abc", [1, "x"], [1, D1], []),
    ("taking back a part", "abc", [1, "xyz"], [2, D1], [1, "xz"]),
    ("deleting on", "abcd", [1, D1], [1, D1], [1, D2]),
    ("deleting backwards", "abcd", [2, D1], [1, D1], [1, D2]),
    ("deleting over what was typed", "abcd", [2, "x"], [1, D3], [1, D2]),
    ("typing where something was deleted: before it", "abc", [1, D1], [1, "x"], [1, "x", D1]),
    ("a replace of what was typed", "abc", [1, "x"], [1, "y", D1], [1, "y"]),
    ("a replace of a replace", "abc", [1, "x", D1], [1, "y", D1], [1, "y", D1]),
    ("far apart", "abcdef", ["x"], [5, D1], ["x", 4, D1]),
    ("emoji", "a😀", [1, "🙂"], [2, D1], [1, "🙂", D1]),
    ("into an empty text and out again", "", ["abc"], [D3], []),
]

# operationType, position, payload, op
WIRE: list[tuple[str, int, Json, AnyOp]] = [
    ("insert", 0, "x", ["x"]),
    ("insert", 2, "a\nb", [2, "a\nb"]),
    ("insert", 1, "😀", [1, "😀"]),
    ("delete", 0, 3, [D3]),
    ("delete", 4, 1, [4, D1]),
    ("replace", 0, {"delete": 2, "insert": "x"}, ["x", D2]),
    ("replace", 3, {"delete": 1, "insert": "🙂🙂"}, [3, "🙂🙂", D1]),
    ("batch", 0, [], []),
    ("batch", 0, [[0, 0, ""]], []),
    ("batch", 0, [[2, 0, "x"]], [2, "x"]),
    ("batch", 0, [[2, 3, ""]], [2, D3]),
    ("batch", 0, [[2, 3, "x"]], [2, "x", D3]),
    ("batch", 0, [[0, 0, "1"], [1, 1, ""], [3, 0, "2"]], ["1", 1, D1, 1, "2"]),
    ("batch", 0, [[1, 1, ""], [2, 1, ""]], [1, D2]),
    ("batch", 0, [[1, 0, "a"], [1, 0, "b"]], [1, "ab"]),
    ("batch", 0, [[1, 1, ""], [2, 0, "x"]], [1, D1, "x"]),
    ("batch", 0, [[1, 0, "x"], [1, 1, ""]], [1, "x", D1]),
    ("batch", 0, [[0, 1, "A"], [1, 1, "B"]], ["A", D1, "B", D1]),
]

# operationType, position, payload, code
NOT_WIRE: list[tuple[str, int, Json, str]] = [
    ("insert", 0, "", "invalid_payload"),
    ("insert", 0, 3, "invalid_payload"),
    ("insert", 0, {"delete": 1, "insert": "x"}, "invalid_payload"),
    ("insert", 0, [[0, 0, "x"]], "invalid_payload"),
    ("delete", 0, 0, "invalid_payload"),
    ("delete", 0, "x", "invalid_payload"),
    ("replace", 0, {"delete": 0, "insert": "x"}, "invalid_payload"),
    ("replace", 0, {"delete": 1, "insert": ""}, "invalid_payload"),
    ("replace", 0, "x", "invalid_payload"),
    ("batch", 1, [[0, 0, "x"]], "invalid_payload"),
    ("batch", 0, "x", "invalid_payload"),
    ("batch", 0, [[2, 0, "x"], [1, 0, "y"]], "invalid_payload"),
    ("batch", 0, [[0, 2, ""], [1, 1, ""]], "invalid_payload"),
    ("insert", 0, "a\rb", "invalid_text"),
    ("insert", 0, "a\u0000b", "invalid_text"),
    ("replace", 0, {"delete": 1, "insert": "\r\n"}, "invalid_text"),
    ("batch", 0, [[0, 0, "ok"], [1, 0, "\u0000"]], "invalid_text"),
]

TEXTS = [
    "",
    "a",
    "plain text",
    "naïve",
    "😀",
    "a😀b",
    "😀😀😀",
    "x\ny😀\nz",
    "👩‍💻 types",
    "e\u0301🇩🇪",
    "\ufeffa",
    "\uffff\U00010000\U0010ffff",
    "中文𠀀字",
    "a" * 30 + "🙂",
]

# why, text, UTF-16 offset: no boundary of a code point
NO_BOUNDARY = [
    ("inside a surrogate pair", "😀", 1),
    ("inside the second pair", "a😀😀", 4),
    ("behind the end", "abc", 4),
    ("behind the end", "😀", 3),
]


# ---- the vectors: the files


def one_a_line(header: dict[str, str], name: str, rows: Iterable[Json], **more: Iterable[Json]) -> str:
    """JSON with one row a line, for readable differences."""
    parts = [f'  "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in header.items()]
    for key, lines in {name: rows, **more}.items():
        listed = ",\n".join(f"    {json.dumps(line, ensure_ascii=False)}" for line in lines)
        parts.append(f'  "{key}": [\n{listed}\n  ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def header(form: str) -> dict[str, str]:
    return {
        "format": form,
        "origin": (
            "Written by tools/generate.py. A case with a `why` is written by hand, its result included; the others are "
            f"random (seed {SEED}). All results are those of tests/core/naive.py, an oracle that shares no code with "
            'the core. An op is a list: a number keeps so many code points, a string is inserted, {"d": n} deletes n; '
            "neighbours of one kind are merged, and a number at the end is left out."
        ),
    }


def agree(why: str, written: object, computed: object) -> None:
    """What is written by hand and what the oracle says have to be the same."""
    if written != computed:
        raise SystemExit(f"{why}: by hand {written!r}, the oracle says {computed!r}")


class Dice:
    """Random values that are the same on every version of Python: only ``random()`` is promised to be."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, limit: int) -> int:
        return int(self._random() * limit)

    def text(self, length: int) -> str:
        letters = "abcdefgh \né中😀🙂𠀀"
        return "".join(letters[self.below(len(letters))] for _ in range(length))

    def op(self, length: int) -> JsonOp:
        """An operation on a text of that length, in normal form."""
        parts: JsonOp = []
        left = length
        while left > 0:
            kind, size = self.below(3), min(left, 1 + self.below(4))
            if kind == 0:
                parts.append(self.text(1 + self.below(3)))
                continue
            parts.append(size if kind == 1 else {"d": size})
            left -= size
        if self.below(3) == 0:
            parts.append(self.text(1 + self.below(2)))
        return naive_normal(parts)


def apply_file() -> str:
    dice = Dice(SEED)
    cases: list[Json] = []
    for why, text, op, expected in APPLY:
        agree(why, expected, naive_apply(text, op))
        cases.append({"why": why, "text": text, "op": op, "result": expected})
    for _ in range(250):
        text = dice.text(dice.below(16))
        random_op = dice.op(len(text))
        cases.append({"text": text, "op": random_op, "result": naive_apply(text, random_op)})
    past = [{"why": why, "text": text, "op": op} for why, text, op in PAST_THE_END]
    assert all(naive_reach(op) > len(text) for _, text, op in PAST_THE_END)
    form = "cases: apply(text, op) == result. pastTheEnd: op does not fit text and is refused, position_out_of_range."
    return one_a_line(header(form), "cases", cases, pastTheEnd=past)


def transform_file() -> str:
    dice = Dice(SEED + 1)
    cases: list[Json] = []
    for why, text, op, other, left, right in TRANSFORM:
        for side, expected in zip(SIDES, (left, right), strict=True):
            agree(f"{why}, {side}", expected, naive_transform(op, other, side))
            cases.append({"why": why, "text": text, "op": op, "other": other, "side": side, "result": expected})
    for _ in range(150):
        text = dice.text(dice.below(14))
        mine, theirs = dice.op(len(text)), dice.op(len(text))
        for side in SIDES:
            result = naive_transform(mine, theirs, side)
            cases.append({"text": text, "op": mine, "other": theirs, "side": side, "result": result})
    form = (
        "transform(op, other, side) == result: op and other are made on text, result is op as it must be after other. "
        "side left: at a tie the insert of op goes left (the server, for what comes in later); right: a client, for a "
        "remote operation over its own pending ones."
    )
    return one_a_line(header(form), "cases", cases)


def compose_file() -> str:
    dice = Dice(SEED + 2)
    cases: list[Json] = []
    for why, text, first, second, expected in COMPOSE:
        agree(why, expected, naive_compose(first, second))
        cases.append({"why": why, "text": text, "first": first, "second": second, "result": expected})
    for _ in range(250):
        text = dice.text(dice.below(14))
        one = dice.op(len(text))
        two = dice.op(len(naive_apply(text, one)))
        cases.append({"text": text, "first": one, "second": two, "result": naive_compose(one, two)})
    form = "compose(first, second) == result: second is made on what first makes of text; result does both at once."
    return one_a_line(header(form), "cases", cases)


def positions_file() -> str:
    dice = Dice(SEED + 3)
    texts = TEXTS + [dice.text(dice.below(20)) for _ in range(20)]
    cases = [
        {"text": text, "codePoint": position, "utf16": naive_utf16(text, position)}
        for text in texts
        for position in range(len(text) + 1)
    ]
    none = [{"why": why, "text": text, "utf16": offset} for why, text, offset in NO_BOUNDARY]
    for _, text, offset in NO_BOUNDARY:
        assert offset not in {naive_utf16(text, position) for position in range(len(text) + 1)}
    form = (
        "cases: the code point position and the UTF-16 offset are the same place of text, in both directions. "
        "noBoundary: the UTF-16 offset is no place between two code points of text."
    )
    return one_a_line(header(form), "cases", cases, noBoundary=none)


def wire_file() -> str:
    cases = []
    for kind, position, payload, op in WIRE:
        agree(f"{kind} {position} {payload}", op, naive_normal(spelled_out(kind, position, payload)))
        cases.append({"operationType": kind, "position": position, "payload": payload, "op": op})
    refused = [
        {"operationType": kind, "position": position, "payload": payload, "code": code}
        for kind, position, payload, code in NOT_WIRE
    ]
    form = (
        "cases: the operation that a client sends in this form is op. refused: this is no operation, and the code it "
        "is refused with."
    )
    return one_a_line(header(form), "cases", cases, refused=refused)


def spelled_out(kind: str, position: int, payload: Json) -> JsonOp:
    """A wire operation as components, edit by edit."""
    edits: dict[str, Callable[[], Json]] = {
        "insert": lambda: [[position, 0, payload]],
        "delete": lambda: [[position, payload, ""]],
        "replace": lambda: [[position, payload["delete"], payload["insert"]]],
        "batch": lambda: payload,
    }
    parts: JsonOp = []
    at = 0
    for start, deleted, inserted in edits[kind]():
        parts += [start - at, inserted, {"d": deleted}]
        at = start + deleted
    return parts


def tree_file() -> str:
    cases = []
    for pair in PAIRS:
        case = {"why": pair.why, "given": pair.operations(), "one": pair.one, "other": pair.other}
        for key, one_is_first in (("oneFirst", True), ("otherFirst", False)):
            outcome = pair.outcome(one_is_first=one_is_first)
            agree(f"{pair.why}, {key}", pair.expected(one_is_first=one_is_first), outcome.short())
            case[key] = outcome._asdict()
        cases.append(case | ({"foldsCase": True} if pair.folds_case else {}))
    undone = []
    for each in UNDONE:
        done, back = each.trees()
        agree(f"{each.why}, done", each.done, ", ".join(naive_listing(done)))
        agree(f"{each.why}, undone", each.undone, ", ".join(naive_listing(back)))
        case = {"why": each.why, "given": each.operations(), "operation": each.operation}
        undone.append(case | {"done": done, "undone": back})
    dice = Dice(SEED + 4)
    histories = [tree_history(dice, folds_case=bool(number % 2)) for number in range(60)]
    form = (
        "cases: of two operations that were made on the tree given, one is applied first, then the other, or the other "
        "way round; an operation that is refused changes nothing. undone: the tree after an operation, and after its "
        "inverse, of which nothing is noted; the inverse of that leads to the first again. histories: operations one "
        "after the other, and for each its outcome: notes, or the code of the refusal; then the tree. foldsCase: names "
        "that differ in case only are one name; else they are two. nodes, depth: limits. A tree is id -> node; `in` is "
        "the id of its folder."
    )
    origin = (
        "Written by tools/generate.py. What comes of cases and undone is written by hand (tests/core/tree_pairs.py); "
        f"histories are random (seed {SEED}). All are those of tests/core/naive_tree.py, which shares no code with the "
        "core and says what the operations are."
    )
    return one_a_line({"format": form, "origin": origin}, "cases", cases, undone=undone, histories=histories)


def tree_history(dice: Dice, *, folds_case: bool) -> Json:
    """Operations by chance on a tree with little room."""
    nodes, depth, tree = 10, 4, NaiveTree()
    operations: list[Json] = []
    outcomes: list[Json] = []
    for _ in range(20):
        operation = any_operation(dice.below, tree)
        operations.append(operation)
        try:
            tree, notes = naive_apply_tree(tree, operation, folds_case=folds_case, nodes=nodes, depth=depth)
            outcomes.append({"notes": notes})
        except Refused as refused:
            outcomes.append({"refused": str(refused)})
    limits = {"foldsCase": folds_case, "nodes": nodes, "depth": depth}
    return limits | {"operations": operations, "outcomes": outcomes, "tree": tree}


def openapi_file() -> str:
    return json.dumps(description(version("coscribe")), ensure_ascii=False, indent=2) + "\n"


def rules_file() -> str:
    """The alarms as the Prometheus Operator takes them."""
    head = "# Generated by tools/generate.py from deploy/prometheus/alerts.yml; do not edit.\n"
    kind = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: coscribe\nspec:\n"
    alarms = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    rules = "".join(line for line in alarms.splitlines(keepends=True) if not line.startswith("#"))
    return head + kind + indent(rules, "  ")


FILES: dict[str, Callable[[], str]] = {
    "contract/wire.schema.json": schema_file,
    "contract/errors.json": errors_file,
    "contract/openapi.json": openapi_file,
    "docs/protocol.md": page_file,
    "docs/policy.md": policy_table.page,
    "contract/conformance/apply.json": apply_file,
    "contract/conformance/transform.json": transform_file,
    "contract/conformance/compose.json": compose_file,
    "contract/conformance/positions.json": positions_file,
    "contract/conformance/wire.json": wire_file,
    "contract/conformance/tree.json": tree_file,
    "deploy/kubernetes/components/monitoring/rules.yaml": rules_file,
}


def stale(root: Path) -> Iterator[str]:
    """What is not as it would be written now, and what nothing here writes."""
    for name, generate in FILES.items():
        path = root / name
        if not path.exists():
            yield f"{name} is missing"
        elif path.read_text(encoding="utf-8") != generate():
            yield f"{name} is stale"
    for path in sorted((root / "contract" / "conformance").glob("*.json")):
        name = path.relative_to(root).as_posix()
        if name not in FILES:
            yield f"{name} is not generated by anything"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the files are (default: this checkout)")
    arguments = parser.parse_args()
    if arguments.check:
        found = list(stale(arguments.root))
        for line in found:
            print(f"{line}: run `make generate`", file=sys.stderr)
        return 1 if found else 0
    for name, generate in FILES.items():
        (arguments.root / name).write_text(generate(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
