"""A bare picows server: sends so many bytes in one text frame to whoever says anything. What a join is compared with.

``python -m coscribe.bench.bare BYTES`` prints its port and serves until it is ended.
"""

from __future__ import annotations

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class _Sender(WSListener):
    def __init__(self, payload: bytes) -> None:
        self._payload = payload

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        else:
            transport.send(WSMsgType.TEXT, self._payload)


async def main(size: int) -> None:
    payload = b"x" * size

    def listener(_: WSUpgradeRequest) -> WSListener:
        return _Sender(payload)

    server = await ws_create_server(listener, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
