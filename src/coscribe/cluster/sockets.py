"""What the two ends of a client's socket say to each other beside the frames: how a channel begins and ends."""

from __future__ import annotations

import msgspec

from coscribe.documents.ports import Identity

KIND = "socket"
"""Of channels that stand for a socket and the files that it has open at one core."""


class Introduction(msgspec.Struct, array_like=True):
    """Whose socket it is: said when the channel is opened. ``protocol``: the version that is spoken with them."""

    identity: Identity
    address: str
    connection_id: str
    protocol: int


class Ending(msgspec.Struct, array_like=True):
    """Why the core has closed it: as a WebSocket is closed."""

    code: int
    reason: str


CORE_GOES = 1012
"""The code of an `Ending` that says nothing of the client: the core gives up what it has."""

encode = msgspec.msgpack.Encoder().encode
decode_introduction = msgspec.msgpack.Decoder(Introduction).decode
_decode_ending = msgspec.msgpack.Decoder(Ending).decode


def ending_of(reason: bytes) -> Ending:
    """Of a channel that ended without one, the core has failed."""
    try:
        return _decode_ending(reason)
    except msgspec.MsgspecError:
        return Ending(CORE_GOES, reason.decode(errors="replace"))
