"""pycrdt-websocket as its documentation sets it up for ASGI, under uvicorn: rooms are in memory, and nothing is stored.

Runs in the peers' own virtual environment (build/peers), with the port as its only argument.
"""

import asyncio
import sys

import uvicorn
from pycrdt.websocket import (  # type: ignore[import-not-found]  # installed in build/peers
    ASGIServer,
    WebsocketServer,
    exception_logger,
)


async def main(port: int) -> None:
    # Without a handler the whole server ends when a client goes while something is being sent to it.
    async with WebsocketServer(exception_handler=exception_logger) as rooms:
        # Compression is off in all servers.
        config = uvicorn.Config(
            ASGIServer(rooms), host="127.0.0.1", port=port, log_level="warning", ws_per_message_deflate=False
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
