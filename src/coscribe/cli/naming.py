"""People and documents by the names that people use. What fits nothing, or more than one, ends with what there is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from coscribe.cli.api import Api, Row
from coscribe.cli.common import fail
from coscribe.cli.show import ago, as_line

SHOWN = 5
"""Candidates that an error lists."""

_USER_ID = re.compile("usr_[0-9a-f]{32}")
_DOCUMENT_ID = re.compile("(doc|wsp)_[0-9a-f]{32}")


def user_id(api: Api, name: str) -> str:
    """The id of the account that an id, a handle or (for administrators) an address names."""
    return name if _USER_ID.fullmatch(name) else str(_user(api, name)["userId"])


def member_id(members: Iterable[Row], name: str) -> str | None:
    """The id of a member whom an id, a handle or a group's name names."""
    wanted = name.removeprefix("@").lower()
    found = list(members)
    for row in found:
        if name == row["memberId"] or wanted == row["handle"]:
            return str(row["memberId"])
    groups = [row for row in found if row["kind"] == "group" and row["name"].lower() == wanted]
    if len(groups) > 1:
        fail(
            f"{len(groups)} groups are called {name!r}", _listed(f"{row['memberId']}  {row['name']}" for row in groups)
        )
    return str(groups[0]["memberId"]) if groups else None


def document_path(api: Api, name: str, *statuses: str) -> str:
    """Where the document that a name means is, by the API; see `document`."""
    return f"/documents/{document(api, name, *statuses)['documentId']}"


def document(api: Api, name: str, *statuses: str, kind: str = "document") -> Row:
    """The document or workspace that an id, a name or the beginning of only one name means, in any case of letters;
    only a workspace where that is the ``kind``.

    Looked for among one's own, then, by administrators, among all; only among those in one of the statuses.
    """
    if _DOCUMENT_ID.fullmatch(name):
        return api.get(f"/documents/{name}")
    others: list[Row] = []
    fitting: list[Row] = []
    for source in _catalogues(api, name, statuses, kind):
        found = [row for row in source if row["status"] in statuses and kind in ("document", row["kind"])]
        others += found
        fitting = _fitting(found, name)
        if fitting:
            break
    if not fitting:
        listing = "project" if kind == "workspace" else "documents"
        advice = _listed(map(_described, others)) if others else f"See `coscribe {listing} list` and its options."
        fail(f"there is no {' or '.join(statuses)} {kind} {name!r}", advice, code=1)
    if len(fitting) > 1:
        fail(f"{len(fitting)} {kind}s fit {name!r}", _listed(map(_described, fitting)))
    return fitting[0]


def _user(api: Api, name: str) -> Row:
    handle = name.removeprefix("@").lower()
    near: list[Row] = []
    for row in _people(api, handle):
        if handle in (row["handle"], row.get("email")):
            break
        if handle in row["handle"] or handle in row["displayName"].lower():
            near.append(row)
    else:
        advice = _listed(f"{row['handle']}  {row['displayName']}" for row in near)
        advice = advice if near else "Give a handle, or an id."
        fail(f"there is nobody called {name!r}, or nobody you can find", advice, code=1)
    return row


def _people(api: Api, handle: str) -> Iterator[Row]:
    if api.administers:
        return api.pages("/admin/users", query=handle)
    return chain([api.get("/account")], api.pages("/users", query=handle, limit=SHOWN))


def _catalogues(api: Api, name: str, statuses: Iterable[str], kind: str) -> Iterator[Iterable[Row]]:
    only = api.who["documentId"]
    if only:
        yield [api.get(f"/documents/{only}")]
    elif api.who["userId"]:
        kinds = "all" if kind == "document" else kind
        yield chain.from_iterable(api.pages("/documents", query=name, status=status, kind=kinds) for status in statuses)
    if api.administers:
        yield api.pages("/admin/documents", query=name)


def _fitting(rows: list[Row], name: str) -> list[Row]:
    """Those that are called exactly so; else those whose name begins so."""
    folded = name.casefold()
    for fits in (
        lambda row: name in (row["name"], row["documentId"]),
        lambda row: row["name"].casefold() == folded,
        lambda row: row["name"].casefold().startswith(folded),
    ):
        fitting = [row for row in rows if fits(row)]
        if fitting:
            return fitting
    return []


def _described(row: Row) -> str:
    return f"{row['documentId']}  {row['name']} ({row['status']}, edited {ago(row['editedAt'])})"


def _listed(lines: Iterable[str]) -> str:
    """Candidates, one a line."""
    rest = iter(lines)
    shown = [as_line(line) for line in islice(rest, SHOWN)]
    return "There is:\n    " + "\n    ".join(shown) + ("\n    and more" if next(rest, None) is not None else "")
