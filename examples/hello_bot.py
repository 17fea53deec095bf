"""A bot that types into a document: python examples/hello_bot.py [DOCUMENT] (while `make serve` runs)."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from coscribe.app import token_secret
from coscribe.client import Client
from coscribe.config import Settings
from coscribe.gateway.auth import make_token

WORDS = ("Every", "word", "of", "this", "is", "on", "disk", "before", "anybody", "sees", "it.\n")


async def main(document: str, url: str) -> None:
    token = os.environ.get("COSCRIBE_TOKEN") or make_token(token_secret(_settings()), "bot", "editor", 3_600)
    async with Client(url, token) as client:
        text = await client.open(document)
        for word in WORDS:
            text.insert(len(text.text), word if word.endswith("\n") else f"{word} ")
            await text.synced()
        print(f"{document} has {len(text.text)} characters, version {text.version}")


def _settings() -> Settings:
    return Settings(folder=Path(os.environ.get("COSCRIBE_FOLDER", ".coscribe")))


if __name__ == "__main__":
    asyncio.run(
        main(sys.argv[1] if len(sys.argv) > 1 else "notes", os.environ.get("COSCRIBE_URL", "ws://127.0.0.1:8777/ws"))
    )
