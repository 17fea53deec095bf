"""Operations on trees in JSON, as `naive_tree` has them: made by hand, and by chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tests.core.naive_tree import JsonTreeOperation, NaiveTree

T = TypeVar("T")

NAMES = ("a", "A", "b.txt", "é", "e\u0301", "a (2)")
HASHES = ("0" * 64, "1" * 64)
IDS = tuple(f"n{number}" for number in range(14))


def new(file_id: str, to: str = "", kind: str = "text", **more: Any) -> JsonTreeOperation:
    return {"do": "create", "id": file_id, "in": to, "name": file_id, "kind": kind} | more


def rename(file_id: str, name: str, **more: Any) -> JsonTreeOperation:
    return {"do": "move", "id": file_id, "name": name} | more


def move(file_id: str, to: str, **more: Any) -> JsonTreeOperation:
    return {"do": "move", "id": file_id, "to": to} | more


def delete(file_id: str) -> JsonTreeOperation:
    return {"do": "delete", "id": file_id}


def restore(file_id: str, **more: Any) -> JsonTreeOperation:
    return {"do": "restore", "id": file_id} | more


def put(file_id: str, which: int = 0) -> JsonTreeOperation:
    return {"do": "put", "id": file_id, "kind": "binary", "content": HASHES[which]}


def set_eol(file_id: str, value: str = "crlf") -> JsonTreeOperation:
    return {"do": "set", "id": file_id, "key": "eol", "value": value}


def purge(*file_ids: str) -> JsonTreeOperation:
    return {"do": "purge", "ids": list(file_ids)}


def any_operation(below: Callable[[int], int], tree: NaiveTree) -> JsonTreeOperation:
    """Any operation; one that is right for the tree, mostly. ``below``: a number from 0 on and below its argument."""

    def one_of(choices: Sequence[T]) -> T:
        return choices[below(len(choices))]

    is_wild = below(24) == 23
    known = IDS if is_wild or not tree else tuple(sorted(tree))
    folders = [each for each, row in sorted(tree.items()) if row["kind"] == "directory"]
    to, name = one_of(known if is_wild else ["", *folders, *folders]), one_of(NAMES)
    do = one_of(("create", "move", "delete", "restore", "move", "put", "set", "purge", "create", "restore"))
    if do == "create" or not tree:
        unused = IDS if is_wild else [each for each in IDS if each not in tree] or IDS
        operation = new(one_of(unused), to, one_of(("directory", "directory", "text")), name=name)
    elif do == "move":
        asked = below(3)
        operation = rename(one_of(known), name) if asked else move(one_of(known), to)
        operation |= {"to": to} if asked == 2 else {}
        operation |= {"replaces": one_of(known)} if not below(3) else {}
    elif do == "delete":
        operation = delete(one_of(known))
    elif do == "restore":
        trashed = [each for each in known if tree.get(each, {}).get("trashed")]
        operation = restore(one_of(trashed if trashed and below(4) else known))
        asked = below(4)
        operation |= {"to": to} if asked & 1 else {}
        operation |= {"name": name} if asked & 2 else {}
    elif do == "put":
        operation = put(one_of(known), below(2)) if below(2) else {"do": "put", "id": one_of(known), "kind": "text"}
    elif do == "set":
        key, value = one_of((("eol", "crlf"), ("eol", ""), ("diskName", "/w==")))
        operation = {"do": "set", "id": one_of(known), "key": key, "value": value}
    else:
        operation = purge(*(one_of(known) for _ in range(1 + below(4))))
    if do in ("create", "move") and not below(6):
        operation["exact"] = True
    return operation
