"""The oracle of trees: everything looked for in the whole table of nodes each time. It shares no code with the core.

A tree is a dict, id -> row; a row is a dict with ``in`` (the id of the folder, "" at the top), ``name``, ``kind``, and
where they are something ``trashed``, ``content``, ``properties``. Operations are JSON, as in the conformance vectors:

    {"do": "create", "id": "a", "in": "", "name": "x", "kind": "text"}       content, properties, exact
    {"do": "move", "id": "a", "to": "d", "name": "y"}                        one of them or both; replaces, exact
    {"do": "delete", "id": "a"}
    {"do": "restore", "id": "a"}                                             to, name
    {"do": "put", "id": "a", "kind": "binary", "content": "..."}
    {"do": "set", "id": "a", "key": "eol", "value": "crlf"}
    {"do": "purge", "ids": ["a"]}

    naive_apply_tree(tree, operation, ...) -> (tree, notes)     the tree given stays as it is; Refused: with its code
    naive_listing(tree) -> paths, "a/b.txt=id"; folders end with a slash, "~" stands before what is not live, and
                           behind the id, where there are some, kind, beginning of the content and properties: "[...]"
    naive_wrong(tree) -> what is wrong with a tree, in words; nothing, if all is as it must be
"""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

Row = dict[str, Any]
NaiveTree = dict[str, Row]
JsonTreeOperation = dict[str, Any]
Notes = list[list[str]]


class Refused(Exception):
    """With the code of the refusal."""


def naive_apply_tree(
    tree: NaiveTree, operation: JsonTreeOperation, *, folds_case: bool = False, nodes: int = 100_000, depth: int = 64
) -> tuple[NaiveTree, Notes]:
    new = copy.deepcopy(tree)
    notes: Notes = []
    do = operation["do"]
    if do == "purge":
        _purge(new, operation["ids"], notes)
        return new, notes
    file_id = operation["id"]
    if do == "create":
        if file_id in new:
            raise Refused("conflict")
        _need_folder(new, operation["in"])
        if len(new) >= nodes or len(_up(new, operation["in"])) >= depth:
            raise Refused("quota_exceeded")
        if not _live(new, operation["in"]):
            notes.append([file_id, "trashed_folder"])
        name = _unused(new, file_id, operation["in"], operation, operation["kind"], folds_case, notes)
        row = {"in": operation["in"], "name": name, "kind": operation["kind"]}
        new[file_id] = row | {key: operation[key] for key in ("content", "properties") if operation.get(key)}
        return new, notes
    if file_id not in new:
        raise Refused("file_not_found")
    row = new[file_id]
    if do == "move":
        _move(new, operation, folds_case, depth, notes)
    elif do == "delete":
        if row.get("trashed"):
            notes.append([file_id, "already"])
        row["trashed"] = True
    elif do == "restore":
        _restore(new, operation, folds_case, depth, notes)
    elif do == "put":
        if row["kind"] == "directory":
            raise Refused("invalid_payload")
        row["kind"] = operation["kind"]
        row.pop("content", None)
        if operation.get("content"):
            row["content"] = operation["content"]
    else:
        assert do == "set"
        properties = {**row.pop("properties", {}), operation["key"]: operation["value"]}
        properties = {key: value for key, value in properties.items() if value}
        if properties:
            row["properties"] = properties
    return new, notes


def naive_listing(tree: NaiveTree) -> list[str]:
    return sorted(_line(tree, each) for each in tree)


def _line(tree: NaiveTree, file_id: str) -> str:
    row = tree[file_id]
    mark, slash = "" if _live(tree, file_id) else "~", "/" if row["kind"] == "directory" else ""
    more = [row["kind"], row["content"][:2]] if "content" in row else []
    more += [f"{key}={value}" for key, value in sorted(row.get("properties", {}).items())]
    return f"{mark}{_path(tree, file_id)}{slash}={file_id}" + (f"[{' '.join(more)}]" if more else "")


def naive_wrong(tree: NaiveTree, *, folds_case: bool = False) -> list[str]:
    wrong = []
    for each, row in tree.items():
        if row["in"] and tree.get(row["in"], {}).get("kind") != "directory":
            wrong.append(f"{each} is in no folder")
            continue
        seen = [each]
        while tree[seen[-1]]["in"] and tree[seen[-1]]["in"] not in seen:
            seen.append(tree[seen[-1]]["in"])
        if tree[seen[-1]]["in"]:
            wrong.append(f"{each} is in a circle")
        for other, its in tree.items():
            same = its["in"] == row["in"] and _alike(its["name"], row["name"], folds_case)
            if other < each and same and not its.get("trashed") and not row.get("trashed"):
                wrong.append(f"{other} and {each} have one name")
    return wrong


def _move(new: NaiveTree, operation: JsonTreeOperation, folds_case: bool, depth: int, notes: Notes) -> None:
    file_id, row = operation["id"], new[operation["id"]]
    to = str(operation.get("to", row["in"]))
    if to != row["in"]:
        _need_folder(new, to)
        if to == file_id or file_id in _up(new, to):
            why = "cycle"
        elif _live(new, file_id) and not _live(new, to):
            why = "trashed_folder"
        elif len(_up(new, to)) + _levels(new, file_id) > depth:
            why = "too_deep"
        else:
            why = ""
        if why:
            notes.append([file_id, why])
            to = row["in"]
    name = str(operation.get("name", row["name"]))
    if not row.get("trashed"):
        for other, its in new.items():
            has_it = its["in"] == to and _alike(its["name"], name, folds_case) and not its.get("trashed")
            if has_it and other == operation.get("replaces") and other != file_id:
                its["trashed"] = True
        name = _unused(new, file_id, to, {**operation, "name": name}, row["kind"], folds_case, notes)
    if name != row["name"] and "diskName" in row.get("properties", {}):
        row["properties"] = {key: value for key, value in row["properties"].items() if key != "diskName"}
        if not row["properties"]:
            del row["properties"]
    row["in"], row["name"] = to, name


def _restore(new: NaiveTree, operation: JsonTreeOperation, folds_case: bool, depth: int, notes: Notes) -> None:
    file_id, row = operation["id"], new[operation["id"]]
    if _live(new, file_id):
        notes.append([file_id, "already"])
        return
    wanted = str(operation.get("to", row["in"]))
    _need_folder(new, wanted)
    to = wanted
    if not _live(new, wanted):
        to = next(each for each in [*_up(new, file_id)[1:], ""] if _live(new, each))
        notes.append([file_id, "moved_up"])
    elif to != row["in"] and len(_up(new, to)) + _levels(new, file_id) > depth:
        notes.append([file_id, "too_deep"])
        to = ""
    named = {"name": operation.get("name", row["name"])}
    row["name"] = _unused(new, file_id, to, named, row["kind"], folds_case, notes)
    row["in"] = to
    row.pop("trashed", None)


def _purge(new: NaiveTree, ids: list[str], notes: Notes) -> None:
    if any(each not in new for each in ids):
        raise Refused("file_not_found")
    live = {each for each in ids if _live(new, each)}
    goes = {each for each in ids if each not in live}
    while stays := {
        each for each in goes if any(row["in"] == each and other not in goes for other, row in new.items())
    }:
        goes -= stays
    told = [(len(_up(new, each)), each) for each in set(ids) - goes]
    for _, each in sorted(told, key=lambda pair: (-pair[0], pair[1])):
        notes.append([each, "already" if each in live else "kept"])
    for each in goes:
        del new[each]


def _need_folder(tree: NaiveTree, file_id: str) -> None:
    if file_id and file_id not in tree:
        raise Refused("file_not_found")
    if file_id and tree[file_id]["kind"] != "directory":
        raise Refused("invalid_payload")


def _up(tree: NaiveTree, file_id: str) -> list[str]:
    return [file_id, *_up(tree, tree[file_id]["in"])] if file_id else []


def _live(tree: NaiveTree, file_id: str) -> bool:
    return not any(tree[each].get("trashed") for each in _up(tree, file_id))


def _path(tree: NaiveTree, file_id: str) -> str:
    return "/".join(tree[each]["name"] for each in reversed(_up(tree, file_id)))


def _levels(tree: NaiveTree, file_id: str) -> int:
    return 1 + max((_levels(tree, each) for each, row in tree.items() if row["in"] == file_id), default=0)


def _alike(one: str, other: str, folds_case: bool) -> bool:
    if one == other or not folds_case:
        return one == other
    forms = [unicodedata.normalize("NFD", name).upper().lower() for name in (one, other)]
    return unicodedata.normalize("NFC", forms[0]) == unicodedata.normalize("NFC", forms[1])


def _unused(
    tree: NaiveTree, file_id: str, to: str, asked: dict[str, Any], kind: str, folds_case: bool, notes: Notes
) -> str:
    taken = [r["name"] for other, r in tree.items() if other != file_id and r["in"] == to and not r.get("trashed")]
    name: str = asked["name"]
    if not any(_alike(name, each, folds_case) for each in taken):
        return name
    if asked.get("exact"):
        raise Refused("conflict")
    head, point, tail = name.rpartition(".")
    if kind == "directory" or not head or len((point + tail).encode()) > 32:
        head, point, tail = name, "", ""
    for number in range(2, 1_001):
        end = f" ({number}){point}{tail}"
        start = head
        while len((start + end).encode()) > 255:
            start = start[: len(start) - 1]
        if not any(_alike(start + end, each, folds_case) for each in taken):
            notes.append([file_id, "numbered"])
            return start + end
    raise Refused("conflict")
