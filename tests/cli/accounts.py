"""A server with accounts in a process of its own, and people who use it from the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import typer
from typer.testing import CliRunner, Result

from coscribe.cli import app
from tests.api.town import PASSWORD, open_town


class Inhabited:
    """``ada`` administers it. Everybody's password is PASSWORD."""

    def __init__(self, folder: Path) -> None:
        asyncio.run(_settle(folder))
        self.folder = folder
        command = [sys.executable, "-m", "coscribe", "serve", "--port", "0", "--quiet", "--data", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http")

    def sign_up(self, handle: str, **more: str) -> dict[str, Any]:
        """A new account: the answer, with tokens."""
        account = {"handle": handle, "displayName": handle.title(), "password": PASSWORD, **more}
        answer = httpx.post(f"{self.url}/api/accounts", json=account, trust_env=False)
        assert answer.status_code == 201, answer.text
        begun: dict[str, Any] = answer.json()
        return begun


@cache
def commands() -> Any:
    """The commands, built once: that takes longer than most of them."""
    return typer.main.get_command(app)


class Shell:
    """``coscribe`` as one person runs it, with settings of their own, against one server."""

    def __init__(self, server: Inhabited, home: Path) -> None:
        self.server = server
        self.credentials = home / "credentials.json"
        self.environment = {
            "COSCRIBE_SERVER": server.url,
            "COSCRIBE_CONFIG": str(home),
            "COSCRIBE_TOKEN": "",
            "COSCRIBE_FOLDER": "",
        }

    def __call__(self, *arguments: object, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input, env=self.environment)

    def done(self, *arguments: object, input: str | bytes | None = None) -> str:
        """What a command that must succeed prints."""
        result = self(*arguments, input=input)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: object, input: str | bytes | None = None) -> Any:
        return json.loads(self.done(*arguments, "--json", input=input))

    def refused(self, *arguments: object, code: int = 1, input: str | bytes | None = None) -> str:
        """What a command that must not succeed says."""
        result = self(*arguments, input=input)
        assert result.exit_code == code, result.output
        assert "error" in result.stderr.lower()
        return result.stderr

    def login(self, name: str) -> Shell:
        self.done("login", name, "--password-stdin", input=f"{PASSWORD}\n")
        return self

    def stored(self) -> dict[str, Any]:
        """The stored login for the server."""
        login: dict[str, Any] = json.loads(self.credentials.read_bytes())["servers"][self.server.url]
        return login

    def store(self, **changes: object) -> None:
        """Changes the stored login, as time would."""
        content = json.loads(self.credentials.read_bytes())
        content["servers"][self.server.url] |= changes
        self.credentials.write_text(json.dumps(content))

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """The same as a process: command and environment."""
        return [sys.executable, "-m", "coscribe", *arguments], {**os.environ, **self.environment}


async def _settle(folder: Path) -> None:
    async with open_town(folder, token_secret=""):
        pass
