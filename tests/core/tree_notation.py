"""The JSON notation of trees and operations on them (see `naive_tree`), to and from the core's values."""

from __future__ import annotations

from typing import Any

from coscribe.core.errors import CoscribeError
from coscribe.core.tree import (
    Create,
    Delete,
    Effect,
    Move,
    Purge,
    Put,
    Restore,
    SetProperty,
    Tree,
    TreeOperation,
)
from tests.core.naive_tree import JsonTreeOperation, NaiveTree, Notes


def decode_operation(operation: JsonTreeOperation) -> TreeOperation:
    given: dict[str, Any] = operation
    do, exact = given["do"], given.get("exact", False)
    if do == "purge":
        return Purge(tuple(given["ids"]))
    file_id = given["id"]
    if do == "create":
        properties = tuple(given.get("properties", {}).items())
        content = given.get("content", "")
        return Create(file_id, given["in"], given["name"], given["kind"], content, properties, exact)
    if do == "move":
        return Move(file_id, given.get("to"), given.get("name"), given.get("replaces", ""), exact)
    if do == "delete":
        return Delete(file_id)
    if do == "restore":
        return Restore(file_id, given.get("to"), given.get("name"))
    if do == "put":
        return Put(file_id, given["kind"], given.get("content", ""))
    assert do == "set"
    return SetProperty(file_id, given["key"], given["value"])


def naive(tree: Tree) -> NaiveTree:
    """The tree as the oracle has it."""
    rows: NaiveTree = {}
    for file_id in [*tree.below("")]:
        state = tree.state(file_id)
        row: dict[str, Any] = {"in": state.parent_id, "name": state.name, "kind": state.kind}
        if state.trashed:
            row["trashed"] = True
        if state.content:
            row["content"] = state.content
        if state.properties:
            row["properties"] = dict(state.properties)
        rows[file_id] = row
    return rows


def notes_of(effect: Effect) -> Notes:
    return [[note.file_id, note.why] for note in effect.notes]


def attempt(tree: Tree, *operations: JsonTreeOperation) -> tuple[Effect | None, str]:
    """The effect, or the code of the refusal."""
    try:
        return tree.apply([decode_operation(each) for each in operations]), ""
    except CoscribeError as error:
        return None, error.code.value.code
