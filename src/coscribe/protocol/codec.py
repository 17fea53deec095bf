"""Between bytes, messages and the core's values. Everything that is wrong with a message's form is found here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TypeVar, cast

import msgspec

from coscribe.core import tree
from coscribe.core.document_state import Limits, Request
from coscribe.core.errors import Code, CoscribeError
from coscribe.core.op_window import Committed as CommittedEntry
from coscribe.core.operation import NOTHING, Operation, Splice, from_edits, to_edits
from coscribe.core.tree import NodeState, TreeOperation, node_id
from coscribe.protocol import messages
from coscribe.protocol.messages import ChainElement, ClientMessage, Payload, Replacement, ServerMessage

_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_encoder = msgspec.json.Encoder()
encode = _encoder.encode

_FILE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_OPERATION_ID = re.compile(r"[!-~]{1,128}")
_CONTROL = re.compile(r"[\0\r\ud800-\udfff]")

MAX_BATCH_EDITS = 10_000

MAX_RESTORES = 1_024

_M = TypeVar("_M")


class JoinRefused(CoscribeError):
    """There is no such file for whoever asks. ``fates``: what became of the operations that they had in flight."""

    def __init__(self, file_id: str, fates: list[messages.OperationFate]) -> None:
        super().__init__(Code.FILE_NOT_FOUND, f"there is no file {file_id!r} for you", file_id=file_id)
        self.fates = fates


def decode_client(raw: bytes) -> ClientMessage:
    """One message of a client. Errors: ``malformed_json``, ``unknown_type``, ``invalid_message``, ``invalid_text``."""
    return _decode(_client_decoder, raw)


def decode_server(raw: bytes) -> ServerMessage:
    """One message of the server. Errors as for `decode_client`."""
    return _decode(_server_decoder, raw)


def _decode(decoder: msgspec.json.Decoder[_M], raw: bytes) -> _M:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        code = Code.UNKNOWN_TYPE if str(error).endswith("`$.type`") else Code.INVALID_MESSAGE
        raise CoscribeError(code, str(error)) from None
    except UnicodeDecodeError as error:
        raise CoscribeError(Code.INVALID_TEXT, f"not UTF-8: {error.reason}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        if _has_lone_surrogate(raw):
            raise CoscribeError(Code.INVALID_TEXT, "a lone surrogate") from None
        raise CoscribeError(Code.MALFORMED_JSON, str(error)) from None


def _has_lone_surrogate(raw: bytes) -> bool:
    """Whether the only thing wrong with some JSON is an escape of half a character."""
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return False
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def check_file_id(file_id: str) -> None:
    """Errors: ``invalid_file_id``."""
    if not _FILE_ID.fullmatch(file_id):
        raise CoscribeError(Code.INVALID_FILE_ID, f"{file_id[:40]!r} cannot name a file")


def check_operation_id(operation_id: str) -> None:
    """Errors: ``invalid_operation_id``."""
    if not _OPERATION_ID.fullmatch(operation_id):
        raise CoscribeError(Code.INVALID_OPERATION_ID, f"{operation_id[:40]!r} cannot name an operation")


def requests_of(message: messages.Operation | messages.Chain, limits: Limits) -> list[Request]:
    """The checked requests of a message: the form of ids, payloads and texts; not yet whether they fit the file.

    Errors: ``invalid_operation_id``, ``invalid_payload``, ``invalid_text``, ``operation_too_large``,
    ``chain_too_long``.
    """
    if isinstance(message, messages.Operation):
        return [_request(message, limits)]
    if len(message.operations) > limits.chain_operations:
        raise CoscribeError(Code.CHAIN_TOO_LONG, f"{len(message.operations)} operations in one chain")
    requests = [_request(element, limits) for element in message.operations]
    if len({request.operation_id for request in requests}) < len(requests):
        raise CoscribeError(Code.CHAIN_MISMATCH, "an operationId appears twice in the chain")
    return requests


def _request(element: messages.Operation | ChainElement, limits: Limits) -> Request:
    check_operation_id(element.operation_id)
    if len(element.restores) > MAX_RESTORES:
        raise CoscribeError(Code.INVALID_PAYLOAD, f"restores names more than {MAX_RESTORES} sequences")
    operation = compile_operation(element.operation_type, element.position, element.payload, limits)
    origin = "" if element.origin is msgspec.UNSET else element.origin
    return Request(element.operation_id, operation, tuple(element.restores), origin)


def compile_operation(operation_type: str, position: int, payload: Payload, limits: Limits) -> Operation:
    """The core's form of a wire operation."""
    if operation_type == "insert" and isinstance(payload, str) and payload:
        _check_text(payload, limits)
        return Splice(position, 0, payload)
    if operation_type == "delete" and isinstance(payload, int) and payload > 0:
        return Splice(position, payload, "")
    if operation_type == "replace" and isinstance(payload, Replacement) and payload.delete and payload.insert:
        _check_text(payload.insert, limits)
        return Splice(position, payload.delete, payload.insert)
    if operation_type == "batch" and isinstance(payload, list) and position == 0:
        if limits is not _NO_LIMITS and len(payload) > MAX_BATCH_EDITS:
            raise CoscribeError(Code.OPERATION_TOO_LARGE, f"{len(payload)} edits in one batch")
        _check_text("".join(edit[2] for edit in payload), limits)
        return from_edits(payload) if payload else NOTHING
    raise CoscribeError(Code.INVALID_PAYLOAD, f"this is no payload for {operation_type}")


def _check_text(text: str, limits: Limits) -> None:
    if len(text) > limits.operation_length:
        raise CoscribeError(Code.OPERATION_TOO_LARGE, f"{len(text)} code points, at most {limits.operation_length}")
    check_characters(text)


def check_characters(text: str) -> None:
    """Errors: ``invalid_text``."""
    found = _CONTROL.search(text)
    if found:
        raise CoscribeError(Code.INVALID_TEXT, f"U+{ord(found[0]):04X} at {found.start()} of the text")


def tree_operations_of(message: messages.TreeOperation) -> list[TreeOperation]:
    """The core's form of operations on a tree. Whether they are in order is for the tree to say.

    Errors: ``invalid_operation_id``, ``invalid_payload``.
    """
    check_operation_id(message.operation_id)
    if len(message.restores) > MAX_RESTORES:
        raise CoscribeError(Code.INVALID_PAYLOAD, f"restores names more than {MAX_RESTORES} sequences")
    root = message.file_id
    return [
        _tree_operation(edit, root, node_id(root, message.operation_id, place))
        for place, edit in enumerate(message.operations)
    ]


def _tree_operation(edit: messages.TreeEdit, root: str, new_id: str) -> TreeOperation:
    if isinstance(edit, messages.CreateNode):
        properties = tuple(edit.properties.items())
        return tree.Create(
            new_id, _inside(edit.parent_id, root), edit.name, edit.kind, edit.content, properties, edit.exact
        )
    if isinstance(edit, messages.MoveNode):
        parent_id = None if edit.parent_id is None else _inside(edit.parent_id, root)
        return tree.Move(edit.file_id, parent_id, edit.name, edit.replaces, edit.exact)
    if isinstance(edit, messages.DeleteNode):
        return tree.Delete(edit.file_id)
    if isinstance(edit, messages.RestoreNode):
        parent_id = None if edit.parent_id is None else _inside(edit.parent_id, root)
        return tree.Restore(edit.file_id, parent_id, edit.name)
    if isinstance(edit, messages.PutContent):
        return tree.Put(edit.file_id, edit.kind, edit.content)
    if isinstance(edit, messages.SetProperty):
        return tree.SetProperty(edit.file_id, edit.key, edit.value)
    return tree.Purge(tuple(edit.file_ids))


def tree_edit_of(operation: TreeOperation, root: str) -> messages.TreeEdit:
    """The wire form of an operation on a tree. Of a new file the id is not in it: that follows from where it stands."""
    if isinstance(operation, tree.Create):
        _, parent_id, name, kind, content, properties, exact = operation
        return messages.CreateNode(parent_id or root, name, cast(messages.Kind, kind), content, dict(properties), exact)
    if isinstance(operation, tree.Move):
        parent = None if operation.parent_id is None else operation.parent_id or root
        return messages.MoveNode(operation.file_id, parent, operation.name, operation.replaces, operation.exact)
    if isinstance(operation, tree.Delete):
        return messages.DeleteNode(operation.file_id)
    if isinstance(operation, tree.Restore):
        parent = None if operation.parent_id is None else operation.parent_id or root
        return messages.RestoreNode(operation.file_id, parent, operation.name)
    if isinstance(operation, tree.Put):
        return messages.PutContent(operation.file_id, cast(messages.Kind, operation.kind), operation.content)
    if isinstance(operation, tree.SetProperty):
        return messages.SetProperty(operation.file_id, operation.key, operation.value)
    return messages.PurgeNodes(list(operation.file_ids))


def _inside(file_id: str, root: str) -> str:
    """The core's name of a folder: to it the root is one and the same in every workspace."""
    return tree.ROOT if file_id == root else file_id


def encode_effect_entry(entry: CommittedEntry, effect: tree.Effect, root: str) -> bytes:
    """The wire form of what became of a tree: one element of ``entries``. ``effect``: what is seen of the entry's."""
    changes = [
        messages.TreeChange(file_id, _wire_node(before, root), _wire_node(after, root))
        for file_id, before, after in effect.changes
    ]
    return _encoder.encode(
        messages.TreeEntry(entry.operation_id, entry.author, entry.sequence, changes, list(entry.restores))
    )


def _wire_node(state: NodeState | None, root: str) -> messages.TreeNode | None:
    return None if state is None else messages.TreeNode(*_wire_fields(state, root))


def _wire_fields(state: NodeState, root: str) -> tuple[str, str, messages.Kind, bool, str, dict[str, str]]:
    parent_id, name, kind, trashed, content, properties = state
    return parent_id or root, name, cast(messages.Kind, kind), trashed, content, dict(properties)


def placed_node(file_id: str, state: NodeState, root: str) -> messages.PlacedNode:
    """A node of a snapshot."""
    return messages.PlacedNode(*_wire_fields(state, root), file_id)


def node_state(node: messages.TreeNode, root: str) -> NodeState:
    """The core's form of a node."""
    properties = tuple(sorted(node.properties.items()))
    return NodeState(_inside(node.parent_id, root), node.name, node.kind, node.trashed, node.content, properties)


def effect_of(entry: messages.TreeEntry, root: str) -> tree.Effect:
    """The core's form of what became of a tree, as a client receives it."""

    def state(node: messages.TreeNode | None) -> NodeState | None:
        return None if node is None else node_state(node, root)

    return tree.Effect(
        tuple(tree.Change(change.file_id, state(change.before), state(change.after)) for change in entry.changes)
    )


def wire_form(operation: Operation) -> tuple[messages.OperationType, int, Payload]:
    """operationType, position and payload of an operation."""
    if isinstance(operation, Splice):
        position, deleted, inserted = operation
        if not deleted:
            return "insert", position, inserted
        if not inserted:
            return "delete", position, deleted
        return "replace", position, Replacement(deleted, inserted)
    return "batch", 0, to_edits(operation)


def encode_entry(entry: CommittedEntry) -> bytes:
    """The wire form of a committed operation: one element of ``operations`` in Committed and Resent."""
    operation_type, position, payload = wire_form(entry.operation)
    return _encoder.encode(
        messages.CommittedOperation(
            entry.operation_id,
            entry.author,
            entry.sequence,
            entry.version,
            operation_type,
            position,
            payload,
            list(entry.restores),
        )
    )


def committed_frame(file_id: str, previous: int, chain_hash: bytes, encoded: Iterable[bytes]) -> bytes:
    """A Committed message from operations that are already encoded. (Equal to encoding the message whole.)"""
    return b'{"type":"committed","fileId":"%b","previousSequenceId":%d,"chainHash":"%b","operations":[%b]}' % (
        file_id.encode(),
        previous,
        chain_hash.hex().encode(),
        b",".join(encoded),
    )


def resent_frame(file_id: str, previous: int, chain_hash: bytes, more: bool, encoded: Iterable[bytes]) -> bytes:
    """A Resent message, likewise."""
    return b'{"type":"resent","fileId":"%b","previousSequenceId":%d,"chainHash":"%b","more":%b,"operations":[%b]}' % (
        file_id.encode(),
        previous,
        chain_hash.hex().encode(),
        b"true" if more else b"false",
        b",".join(encoded),
    )


def tree_frame(file_id: str, previous: int, chain_hash: bytes, encoded: Iterable[bytes]) -> bytes:
    """A TreeCommitted message from entries that are already encoded."""
    return b'{"type":"treeCommitted","fileId":"%b","previousSequenceId":%d,"chainHash":"%b","entries":[%b]}' % (
        file_id.encode(),
        previous,
        chain_hash.hex().encode(),
        b",".join(encoded),
    )


def tree_resent_frame(file_id: str, previous: int, chain_hash: bytes, more: bool, encoded: Iterable[bytes]) -> bytes:
    """A TreeResent message, likewise."""
    return b'{"type":"treeResent","fileId":"%b","previousSequenceId":%d,"chainHash":"%b","more":%b,"entries":[%b]}' % (
        file_id.encode(),
        previous,
        chain_hash.hex().encode(),
        b"true" if more else b"false",
        b",".join(encoded),
    )


def snapshot_frame(snapshot: messages.Snapshot, content: bytes) -> bytes:
    """A Snapshot message whose content is already JSON (a long text is encoded once, not once a join)."""
    head = _encoder.encode(snapshot)
    assert head.endswith(b'"content":""}')
    return b"".join((head[:-3], content, b"}"))


def error_message(error: CoscribeError, file_id: str | None = None, operation_id: str | None = None) -> messages.Error:
    """What a client is told of an error. ``file_id``: what the message that it answers was about; a client finds by it
    what it has open, while an operation on a tree may have failed on some file in it."""
    kind = error.code.value
    return messages.Error(
        kind.code,
        kind.fault,
        kind.retry,
        kind.help,
        error.detail,
        file_id or error.file_id,
        error.operation_id or operation_id,
        error.fates if isinstance(error, JoinRefused) and error.fates else msgspec.UNSET,
    )


def operation_of(element: messages.CommittedOperation) -> Operation:
    """The core's form of a committed operation, as a client receives it. It may have more edits than one that is sent:
    a delete is split by what others inserted into it."""
    return compile_operation(element.operation_type, element.position, element.payload, _NO_LIMITS)


_NO_LIMITS = Limits(operation_length=2**62)
