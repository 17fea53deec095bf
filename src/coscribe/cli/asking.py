"""Commands that ask the server for something and say what came of it: the options that all of them have, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import Any, Concatenate, NamedTuple, ParamSpec, get_type_hints

import typer

from coscribe.cli.api import Api, At, Given, Operator, Row, opened
from coscribe.cli.common import DEFAULT_SERVER, Json
from coscribe.cli.show import Columns, show_done, show_list, show_one

P = ParamSpec("P")

_SHARED: dict[str, tuple[Any, object]] = {
    "server": (At, DEFAULT_SERVER),
    "token": (Given, ""),
    "data": (Operator, None),
    "json": (Json, False),
}
"""Options by name, with what they are where nothing is given."""


class Said(NamedTuple):
    """What the server answered, and what that is in words: a line, or several."""

    row: Row
    words: str | list[str]

    def show(self, *, json: bool) -> None:
        show_done(self.row, self.words, json=json)


class Shown(NamedTuple):
    """One thing, and its parts by what they are called."""

    row: Row
    columns: Columns

    def show(self, *, json: bool) -> None:
        show_one(self.row, self.columns, json=json)


class Listed(NamedTuple):
    """A list as a table; ``nothing``: what to say of an empty one."""

    rows: Sequence[Row]
    columns: Columns
    nothing: str

    def show(self, *, json: bool) -> None:
        show_list(self.rows, self.columns, json=json, nothing=self.nothing)


Answer = Said | Shown | Listed


def asks(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Api, P], Answer]], Callable[Concatenate[Api, P], Answer]]:
    """Makes a command of a function of the API and of what the command is told besides. What it returns is printed."""

    def decorate(work: Callable[Concatenate[Api, P], Answer]) -> Callable[Concatenate[Api, P], Answer]:
        hints = get_type_hints(work, include_extras=True)
        _, *own = signature(work).parameters.values()
        parameters = [each.replace(annotation=hints[each.name], kind=Parameter.KEYWORD_ONLY) for each in own]
        parameters += [
            Parameter(each, Parameter.KEYWORD_ONLY, annotation=kind, default=otherwise)
            for each, (kind, otherwise) in _SHARED.items()
        ]

        def command(**given: Any) -> None:
            server, token, data, json = (given.pop(each) for each in _SHARED)
            with opened(server, token, data) as api:
                answer = work(api, **given)  # type: ignore[call-arg]  # as the signature below says
            answer.show(json=json)

        command.__name__, command.__doc__ = work.__name__, work.__doc__
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__signature__ = signature(work).replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]  # what `inspect` looks at
        app.command(name)(command)
        return work

    return decorate
