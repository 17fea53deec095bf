"""Every pair of operations on a tree that two people can do at the same time, and what has to come of it in either
order; and operations that are undone: the tables behind `contract/conformance/tree.json`. The expected values are
written by hand.

``given`` is a tree in short, its nodes named like their ids: ``d/`` a folder, ``d/x`` a text in it; ``~`` trashed.
An outcome is in short ``paths; notes``: the lines of `naive_listing`, then ``id why``, or ``one code``, ``other code``
for an operation that is refused.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.core.naive_tree import JsonTreeOperation, NaiveTree, Notes, Refused, naive_apply_tree, naive_listing
from tests.core.tree_operations import delete, move, new, purge, put, rename, restore, set_eol


class Outcome(NamedTuple):
    """A tree, what was noted, and the code of whichever was refused."""

    tree: NaiveTree
    notes: Notes
    refused: dict[str, str]

    def short(self) -> str:
        said = [" ".join(note) for note in self.notes] + [f"{which} {code}" for which, code in self.refused.items()]
        paths = ", ".join(naive_listing(self.tree))
        return "; ".join([paths, ", ".join(said)] if said else [paths])


class Pair(NamedTuple):
    """``one_first``: what comes of it where ``one`` is sequenced first; ``other_first`` None: the same."""

    why: str
    given: str | list[JsonTreeOperation]
    one: JsonTreeOperation
    other: JsonTreeOperation
    one_first: str
    other_first: str | None = None
    folds_case: bool = False

    def operations(self) -> list[JsonTreeOperation]:
        """Those that make the tree that is given."""
        return _makes(self.given)

    def outcome(self, *, one_is_first: bool) -> Outcome:
        """What the oracle says."""
        tree: NaiveTree = {}
        for operation in self.operations():
            tree, _ = naive_apply_tree(tree, operation, folds_case=self.folds_case)
        notes: Notes = []
        refused: dict[str, str] = {}
        both = [("one", self.one), ("other", self.other)]
        for which, operation in both if one_is_first else reversed(both):
            try:
                tree, more = naive_apply_tree(tree, operation, folds_case=self.folds_case)
                notes += more
            except Refused as error:
                refused[which] = str(error)
        return Outcome(tree, notes, refused)

    def expected(self, *, one_is_first: bool) -> str:
        return self.one_first if one_is_first or self.other_first is None else self.other_first


class Undone(NamedTuple):
    """``done``: what comes of the operation; ``undone``: of its inverse right behind, whose inverse does it again."""

    why: str
    given: str | list[JsonTreeOperation]
    operation: JsonTreeOperation
    done: str
    undone: str

    def operations(self) -> list[JsonTreeOperation]:
        """Those that make the tree that is given."""
        return _makes(self.given)

    def trees(self) -> tuple[NaiveTree, NaiveTree]:
        """Done and undone, as the oracle says: what there was is as it was, what is new is in the trash."""
        given: NaiveTree = {}
        for operation in self.operations():
            given, _ = naive_apply_tree(given, operation, folds_case=False)
        done, _ = naive_apply_tree(given, self.operation, folds_case=False)
        made = {file_id: {**row, "trashed": True} for file_id, row in done.items() if file_id not in given}
        return done, given | made


def _makes(given: str | list[JsonTreeOperation]) -> list[JsonTreeOperation]:
    if isinstance(given, list):
        return given
    made, trashed = [], []
    for word in given.split():
        *above, name = word.removeprefix("~").rstrip("/").split("/")
        made.append(new(name, "".join(above[-1:]), kind="directory" if word.endswith("/") else "text"))
        trashed += [delete(name)] if word.startswith("~") else []
    return [*made, *trashed]


def verb(operation: JsonTreeOperation) -> str:
    """A move that goes nowhere else is a rename."""
    name: str = operation["do"]
    return "rename" if name == "move" and "to" not in operation else name


_MODE = {"do": "set", "id": "y", "key": "mode", "value": "755"}
_DISK_NAME = {"do": "set", "id": "y", "key": "diskName", "value": "/w=="}

# fmt: off
PAIRS = [
    Pair("two files of one name", "", new("a", name="n.txt"), new("b", name="n.txt"),
         "n (2).txt=b, n.txt=a; b numbered", "n (2).txt=a, n.txt=b; a numbered"),
    Pair("two folders of one name stay two", "", new("a", name="n.d", kind="directory"),
         new("b", name="n.d", kind="directory"),
         "n.d (2)/=b, n.d/=a; b numbered", "n.d (2)/=a, n.d/=b; a numbered"),
    Pair("names that differ in case, where that is a difference", "", new("a", name="n"), new("b", name="N"),
         "N=b, n=a"),
    Pair("names that differ in case, where that is none", "", new("a", name="n"), new("b", name="N"),
         "N (2)=b, n=a; b numbered", "N=b, n (2)=a; a numbered", folds_case=True),
    Pair("names that differ in how an accent is written, where that is no difference", "", new("a", name="\u00e9"),
         new("b", name="e\u0301"), "e\u0301 (2)=b, \u00e9=a; b numbered", "e\u0301=b, \u00e9 (2)=a; a numbered",
         folds_case=True),
    Pair("a name that has to be exact", "", new("a", name="n"), new("b", name="n", exact=True),
         "n=a; other conflict", "n (2)=a, n=b; a numbered"),
    Pair("create and rename to one name", "y", new("a", name="n"), rename("y", "n"),
         "n (2)=y, n=a; y numbered", "n (2)=a, n=y; a numbered"),
    Pair("create in a folder that is renamed", "d/", new("a", "d"), rename("d", "e"), "e/=d, e/a=a"),
    Pair("create and move to one name", "d/ y", new("a", "d", name="y"), move("y", "d"),
         "d/=d, d/y (2)=y, d/y=a; y numbered", "d/=d, d/y (2)=a, d/y=y; a numbered"),
    Pair("create in a folder that is moved", "d/ e/", new("a", "d"), move("d", "e"), "e/=e, e/d/=d, e/d/a=a"),
    Pair("create in a folder that is deleted", "d/", new("a", "d"), delete("d"),
         "~d/=d, ~d/a=a", "~d/=d, ~d/a=a; a trashed_folder"),
    Pair("create in a folder of a folder that is deleted", "d/ d/e/", new("a", "e"), delete("d"),
         "~d/=d, ~d/e/=e, ~d/e/a=a", "~d/=d, ~d/e/=e, ~d/e/a=a; a trashed_folder"),
    Pair("create under the name of what is deleted", "n", new("a", name="n"), delete("n"),
         "n (2)=a, ~n=n; a numbered", "n=a, ~n=n"),
    Pair("create under the name of what is restored", "~n", new("a", name="n"), restore("n"),
         "n (2)=n, n=a; n numbered", "n (2)=a, n=n; a numbered"),
    Pair("create in a folder that is restored", "~d/", new("a", "d"), restore("d"),
         "d/=d, d/a=a; a trashed_folder", "d/=d, d/a=a"),
    Pair("create beside another content", "y", new("a"), put("y"), "a=a, y=y[binary 00]"),
    Pair("create beside a property", "y", new("a"), set_eol("y"), "a=a, y=y[eol=crlf]"),
    Pair("create in a folder that is purged", "~g/", new("a", "g"), purge("g"),
         "~g/=g, ~g/a=a; a trashed_folder, g kept", "; one file_not_found"),
    Pair("two names for one file", "y", rename("y", "n"), rename("y", "m"), "m=y", "n=y"),
    Pair("one name for two files", "x y", rename("x", "n"), rename("y", "n"),
         "n (2)=y, n=x; y numbered", "n (2)=x, n=y; x numbered"),
    Pair("each the other's name", "x y", rename("x", "y"), rename("y", "x"),
         "x=y, y (2)=x; x numbered", "x (2)=y, y=x; y numbered"),
    Pair("rename a folder and a file in it", "d/ d/x", rename("d", "e"), rename("x", "n"), "e/=d, e/n=x"),
    Pair("rename and move one file", "d/ y", rename("y", "n"), move("y", "d"), "d/=d, d/n=y"),
    Pair("move into a folder that is renamed", "d/ y", rename("d", "e"), move("y", "d"), "e/=d, e/y=y"),
    Pair("rename to the name of what is moved here", "d/ d/x n", rename("x", "n"), move("n", "d"),
         "d/=d, d/n (2)=n, d/n=x; n numbered", "d/=d, d/n (2)=x, d/n=n; x numbered"),
    Pair("rename and delete one file", "y", rename("y", "n"), delete("y"), "~n=y"),
    Pair("rename to the name of what is deleted", "n y", rename("y", "n"), delete("n"),
         "n (2)=y, ~n=n; y numbered", "n=y, ~n=n"),
    Pair("rename a folder, delete a file in it", "d/ d/x", rename("d", "e"), delete("x"), "e/=d, ~e/x=x"),
    Pair("rename and restore one file", "~y", rename("y", "n"), restore("y"), "n=y"),
    Pair("rename to the name of what is restored", "x ~y", rename("x", "y"), restore("y"),
         "y (2)=y, y=x; y numbered", "y (2)=x, y=y; x numbered"),
    Pair("rename a folder that something goes back to", "d/ ~d/x", rename("d", "e"), restore("x"), "e/=d, e/x=x"),
    Pair("rename and another content", "y", rename("y", "n"), put("y"), "n=y[binary 00]"),
    Pair("rename and a property", "y", rename("y", "n"), set_eol("y"), "n=y[eol=crlf]"),
    Pair("a name for people and one for the disk", "y", rename("y", "n"), _DISK_NAME, "n=y[diskName=/w==]", "n=y"),
    Pair("rename and purge one file", "~y", rename("y", "n"), purge("y"), "", "; one file_not_found"),
    Pair("two folders for one file", "d/ e/ y", move("y", "d"), move("y", "e"),
         "d/=d, e/=e, e/y=y", "d/=d, d/y=y, e/=e"),
    Pair("two folders into each other", "d/ e/", move("d", "e"), move("e", "d"),
         "e/=e, e/d/=d; e cycle", "d/=d, d/e/=e; d cycle"),
    Pair("two folders into each other, deeper", "a/ a/b/ c/", move("a", "c"), move("c", "b"),
         "c/=c, c/a/=a, c/a/b/=b; c cycle", "a/=a, a/b/=b, a/b/c/=c; a cycle"),
    Pair("a move that would be a circle still renames", "d/ e/", move("d", "e"), move("e", "d", name="n"),
         "n/=e, n/d/=d; e cycle", "d/=d, d/n/=e; d cycle"),
    Pair("two files of one name into a folder", "d/ x y", move("x", "d", name="n"), move("y", "d", name="n"),
         "d/=d, d/n (2)=y, d/n=x; y numbered", "d/=d, d/n (2)=x, d/n=y; x numbered"),
    Pair("into a folder that is moved", "d/ e/ y", move("y", "d"), move("d", "e"), "e/=e, e/d/=d, e/d/y=y"),
    Pair("two files in the place of one", "d/ d/z x y", move("x", "d", name="z", replaces="z"),
         move("y", "d", name="z", replaces="z"),
         "d/=d, d/z (2)=y, d/z=x, ~d/z=z; y numbered", "d/=d, d/z (2)=x, d/z=y, ~d/z=z; x numbered"),
    Pair("into a folder that is deleted", "d/ y", move("y", "d"), delete("d"),
         "~d/=d, ~d/y=y", "y=y, ~d/=d; y trashed_folder"),
    Pair("move and delete one file", "d/ y", move("y", "d"), delete("y"), "d/=d, ~d/y=y"),
    Pair("out of a folder that is deleted", "d/ d/x", move("x", ""), delete("d"), "x=x, ~d/=d"),
    Pair("in the place of what is deleted", "d/ d/z y", move("y", "d", name="z", replaces="z"), delete("z"),
         "d/=d, d/z=y, ~d/z=z; z already", "d/=d, d/z=y, ~d/z=z"),
    Pair("into a folder that is restored", "~d/ y", move("y", "d"), restore("d"),
         "d/=d, y=y; y trashed_folder", "d/=d, d/y=y"),
    Pair("move and restore one file", "d/ ~y", move("y", "d"), restore("y"), "d/=d, d/y=y"),
    Pair("move and restore one file of a trashed folder", "~d/ d/x e/", move("x", "e"), restore("x"),
         "e/=e, e/x=x, ~d/=d; x already", "e/=e, e/x=x, ~d/=d; x moved_up"),
    Pair("move and another content", "d/ y", move("y", "d"), put("y"), "d/=d, d/y=y[binary 00]"),
    Pair("move and a property", "d/ y", move("y", "d"), set_eol("y"), "d/=d, d/y=y[eol=crlf]"),
    Pair("out of a folder that is purged", "~g/ g/z", move("z", ""), purge("g", "z"),
         "z=z; z already", "; one file_not_found"),
    Pair("delete one file twice", "y", delete("y"), delete("y"), "~y=y; y already"),
    Pair("delete a folder and a file in it", "d/ d/x", delete("d"), delete("x"), "~d/=d, ~d/x=x"),
    Pair("delete and restore one file", "y", delete("y"), restore("y"), "y=y", "~y=y; y already"),
    Pair("delete the folder that something goes back to", "d/ ~d/x", delete("d"), restore("x"),
         "x=x, ~d/=d; x moved_up", "~d/=d, ~d/x=x"),
    Pair("delete the folder above it, too", "d/ d/e/ ~d/e/x", delete("e"), restore("x"),
         "d/=d, d/x=x, ~d/e/=e; x moved_up", "d/=d, ~d/e/=e, ~d/e/x=x"),
    Pair("delete and another content", "y", delete("y"), put("y"), "~y=y[binary 00]"),
    Pair("delete and a property", "y", delete("y"), set_eol("y"), "~y=y[eol=crlf]"),
    Pair("delete and purge one file", "y", delete("y"), purge("y"), "", "~y=y; y already"),
    Pair("delete a folder, purge something in it", "d/ ~d/x", delete("d"), purge("x"), "~d/=d"),
    Pair("restore one file twice", "~y", restore("y"), restore("y"), "y=y; y already"),
    Pair("restore two files of one name", [new("a", name="n"), delete("a"), new("b", name="n"), delete("b")],
         restore("a"), restore("b"), "n (2)=b, n=a; b numbered", "n (2)=a, n=b; a numbered"),
    Pair("restore a folder and a file in it", "~d/ d/x", restore("d"), restore("x"),
         "d/=d, d/x=x; x already", "d/=d, x=x; x moved_up"),
    Pair("restore and another content", "~y", restore("y"), put("y"), "y=y[binary 00]"),
    Pair("restore and a property", "~y", restore("y"), set_eol("y"), "y=y[eol=crlf]"),
    Pair("restore and purge one file", "~y", restore("y"), purge("y"), "y=y; y already", "; one file_not_found"),
    Pair("restore out of a folder that is purged", "~d/ ~d/x", restore("x"), purge("d"),
         "x=x; x moved_up", "x=x, ~d/=d; d kept, x moved_up"),
    Pair("restore to a folder that is purged", "~d/ ~x", restore("x", to="d"), purge("d"),
         "x=x; x moved_up", "~x=x; one file_not_found"),
    Pair("two contents", "y", put("y", 0), put("y", 1), "y=y[binary 11]", "y=y[binary 00]"),
    Pair("another content and a property", "y", put("y"), set_eol("y"), "y=y[binary 00 eol=crlf]"),
    Pair("another content of what is purged", "~y", put("y"), purge("y"), "", "; one file_not_found"),
    Pair("two values of a property", "y", set_eol("y", "crlf"), set_eol("y", "cr"), "y=y[eol=cr]", "y=y[eol=crlf]"),
    Pair("a value and none", "y", set_eol("y"), set_eol("y", ""), "y=y", "y=y[eol=crlf]"),
    Pair("two properties", "y", set_eol("y"), _MODE, "y=y[eol=crlf mode=755]"),
    Pair("a property of what is purged", "~y", set_eol("y"), purge("y"), "", "; one file_not_found"),
    Pair("purge one file twice", "~y", purge("y"), purge("y"), "; other file_not_found", "; one file_not_found"),
    Pair("purge a folder alone, and with what is in it", "~g/ g/z", purge("g"), purge("g", "z"),
         "; g kept", "; one file_not_found"),
]

UNDONE = [
    Undone("what is made is in the trash", "d/", new("a", "d"), "d/=d, d/a=a", "d/=d, ~d/a=a"),
    Undone("a name", "y", rename("y", "n"), "n=y", "y=y"),
    Undone("a name that is not the one on disk", [new("y"), _DISK_NAME], rename("y", "n"), "n=y", "y=y[diskName=/w==]"),
    Undone("a place", "d/ y", move("y", "d"), "d/=d, d/y=y", "d/=d, y=y"),
    Undone("a place and a name", "d/ y", move("y", "d", name="n"), "d/=d, d/n=y", "d/=d, y=y"),
    Undone("a deletion", "d/ d/x", delete("d"), "~d/=d, ~d/x=x", "d/=d, d/x=x"),
    Undone("out of the trash, to another place", "~y d/", restore("y", to="d", name="n"), "d/=d, d/n=y", "d/=d, ~y=y"),
    Undone("another content", "y", put("y"), "y=y[binary 00]", "y=y"),
    Undone("a property", "y", set_eol("y"), "y=y[eol=crlf]", "y=y"),
    Undone("in the place of another", "x y", rename("y", "x", replaces="x"), "x=y, ~x=x", "x=x, y=y"),
    Undone("from elsewhere, in the place of another", "d/ d/x y", move("y", "d", name="x", replaces="x"),
           "d/=d, d/x=y, ~d/x=x", "d/=d, d/x=x, y=y"),
    Undone("in the place of a folder, from another one", "d/ e/ e/x", move("x", "", name="d", replaces="d"),
           "d=x, e/=e, ~d/=d", "d/=d, e/=e, e/x=x"),
    Undone("in the place of the folder that it was in", "d/ d/x d/y", move("x", "", name="d", replaces="d"),
           "d=x, ~d/=d, ~d/y=y", "d/=d, d/x=x, d/y=y"),
    Undone("in the place of a folder above that", "d/ d/e/ d/e/x", move("x", "", name="d", replaces="d"),
           "d=x, ~d/=d, ~d/e/=e", "d/=d, d/e/=e, d/e/x=x"),
    Undone("with what is in it", "c/ c/d/ c/d/e/ c/d/e/x", move("e", "c", name="d", replaces="d"),
           "c/=c, c/d/=e, c/d/x=x, ~c/d/=d", "c/=c, c/d/=d, c/d/e/=e, c/d/e/x=x"),
    Undone("in the place of a folder that has another name on disk",
           [new("y", kind="directory"), _DISK_NAME, new("x", "y")], move("x", "", name="y", replaces="y"),
           "y=x, ~y/=y[diskName=/w==]", "y/=y[diskName=/w==], y/x=x"),
]
# fmt: on
