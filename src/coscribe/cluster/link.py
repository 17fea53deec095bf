"""Link: everything that two instances have to say to each other, over a bus that may lose it. No I/O, no clock.

    open --(accept)--> open <--batches, confirmations--> (gap, silence, reset, bus gone) --> ended, for good

The theory. Each end makes a fresh *tag* for each link, and every message names the tag of whoever it is for. So a
message of a link that is over, however late it comes, belongs to nothing that is there, and is answered with a reset.
Both tags are drawn anew each time: an old `open` that comes twice begins a link that the other end knows nothing of.

Batches are numbered from 1 on, in each direction. An end takes in batch n + 1 after batch n, drops what it has had
already, and ends the link at anything else: so what it has handed on is, at any time, a prefix of what was sent, each
once. A message without items names the number of the last batch, so that the loss of that one is seen, too: one is sent
every ``heartbeat`` seconds in which nothing else was. Who hears nothing for ``silence`` seconds ends the link. When
one end has ended it, the other does, at the latest after ``silence``: it is told, or it hears nothing more. What was
sent behind the prefix is lost. That is told to whoever opened or took a channel (`on_lost`), and what to do about it
is theirs: nothing is sent twice here.

Items belong to *channels*, which either end may open; the numbers of one end are even, of the other odd. Within a
channel, and between channels too, order is kept. An item that goes to many channels and is the same object for all of
them travels once. All items that come together in one turn of the event loop are one batch, if they fit.

Bounds, from the inside out. A channel has a *window*: so many bytes may be on their way to whoever takes them before
that one says that it has `consumed` them, and none while it has said `pause`. An item may begin as long as a byte is
left, and is then sent whole. What comes after waits at the sender and is told to it: `on_full`, later `on_ready`. A
link has ``in_flight`` bytes that were not confirmed; beyond them all channels wait likewise. All that waits is at most
``waiting`` bytes: then the link ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from coscribe.cluster.ports import BusUnavailable
from coscribe.metrics import metrics

log = structlog.get_logger(__name__)

VERSION = 1
"""Of what is said on links. Who speaks another one is not linked with."""

WINDOW = 256_000
"""Bytes on their way in one channel and direction, if nothing else is said."""

_ROOM = 256
"""Bytes of a message that are kept free for its head."""

_ITEM_COST = 16
_TARGET_COST = 5
"""Bytes that an item, and each channel that it is for, take at most beside what it says."""


class LinkLost(Exception):
    """There is no link to an instance now."""


class LinkLimits(NamedTuple):
    """Times in seconds, sizes in bytes; see above. ``channels``: that may be open. What is in flight on all links of an
    instance has to have room in its bus, and in the bus's server."""

    heartbeat: float = 0.5
    silence: float = 2.0
    in_flight: int = 2_000_000
    waiting: int = 1_000_000_000
    channels: int = 100_000


class _Kind(IntEnum):
    OPEN = 0
    ACCEPT = 1
    BATCH = 2
    RESET = 3


class Message(msgspec.Struct, array_like=True, gc=False):
    """What goes over the bus. ``to_tag`` 0: of an `open`, as the other's is not known. ``number``: of this batch;
    without items, of the last one. ``confirmed``: the last batch that was taken in."""

    kind: int
    sender: str
    to_tag: int
    tag: int
    number: int = 0
    confirmed: int = 0
    items: list[tuple[int, int | list[int], bytes]] = []
    version: int = VERSION


class _Says(IntEnum):
    ITEM = 0
    OPEN = 1
    CLOSE = 2
    CONSUMED = 3
    PIECE = 4


class _Opening(msgspec.Struct, array_like=True, gc=False):
    kind: str
    window: int
    head: bytes


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode
"""A message of a link. Raises msgspec.MsgspecError."""
_decode_opening = msgspec.msgpack.Decoder(_Opening).decode


class Carrier(Protocol):
    """What a channel gives its items to."""

    @property
    def full(self) -> bool:
        """Whether items are to wait."""
        ...

    def carry(self, channel: Channel, item: bytes) -> None: ...

    def carry_close(self, channel: Channel, reason: bytes) -> None: ...

    def carry_consumed(self, channel: Channel, count: int) -> None: ...

    def held(self, channel: Channel, count: int) -> None:
        """So many bytes more, or fewer, wait in a channel. 0 or more: it is to `pour` when the carrier has room."""
        ...


def _ignore(*_: object) -> None:
    """What a channel does until somebody has said something else."""


class Channel:
    """One conversation between two instances. ``peer``: the other one. ``kind``, ``head``: as it was opened.

    Set ``on_item`` (bytes), ``on_close`` (reason: bytes, said by the other end) and ``on_lost`` before anything else
    runs; and ``on_full``, ``on_ready`` where what is sent can be held back. After `close`, `on_close` or `on_lost`
    nothing of the channel is called any more.
    """

    __slots__ = (
        "_carrier",
        "_consumed",
        "_credit",
        "_held",
        "closed",
        "ending",
        "full",
        "head",
        "kind",
        "last_entry",
        "number",
        "on_close",
        "on_full",
        "on_item",
        "on_lost",
        "on_ready",
        "peer",
        "unsent",
        "waiting",
        "window",
    )

    def __init__(self, carrier: Carrier, number: int, peer: str, kind: str, head: bytes, window: int) -> None:
        self._carrier = carrier
        self.number = number
        self.peer = peer
        self.kind = kind
        self.head = head
        self.window = window
        self.closed = False
        """Nothing more is sent or comes."""
        self.unsent = False
        """It was lost before anything of it went out: the other end does not know of it."""
        self.ending: bytes | None = None
        """It was closed here, and what waits goes out first."""
        self.full = False
        self.waiting = 0
        """Bytes of `send` that have not begun to go out."""
        self.last_entry = -1
        self._credit = window
        self._consumed = 0
        self._held: deque[bytes] | None = None
        self.on_item: Callable[[bytes], None] = _ignore
        self.on_close: Callable[[bytes], None] = _ignore
        self.on_lost: Callable[[], None] = _ignore
        self.on_full: Callable[[], None] = _ignore
        self.on_ready: Callable[[], None] = _ignore

    @property
    def unread(self) -> int:
        """Bytes that were sent, and that the other end has not said it has consumed."""
        return self.window - self._credit + self.waiting

    def send(self, item: bytes) -> None:
        """Never waits: what has no room is kept until there is some. Nothing happens when it is closed."""
        carrier = self._carrier
        if self.full or carrier.full or self.closed:
            self._send_later(item)
            return
        self._credit -= len(item)
        carrier.carry(self, item)
        if self._credit <= 0:
            self._become_full()

    def _send_later(self, item: bytes) -> None:
        if self.closed or self.ending is not None:
            return
        self._hold(item)
        if not self.full:
            self._become_full()

    def consumed(self, count: int) -> None:
        """So many bytes of items have been dealt with: the other end may send as many more."""
        count += self._consumed
        if count * 2 < self.window:
            self._consumed = count
        elif not self.closed:
            self._consumed = 0
            self._carrier.carry_consumed(self, count)

    def pause(self) -> None:
        """The other end is to send nothing more, as if a whole window were unread; until `resume`."""
        if not self.closed:
            self._carrier.carry_consumed(self, -self.window)

    def resume(self) -> None:
        """Takes a `pause` back."""
        if not self.closed:
            self._carrier.carry_consumed(self, self.window)

    def close(self, reason: bytes = b"", *, at_once: bool = False) -> None:
        """Ends it, behind everything that was sent. ``at_once``: what waits is dropped, but for the last item."""
        if self.closed or self.ending is not None:
            return
        if at_once and self._held:
            last = self._held[-1]
            self._drop_held()
            self._carrier.carry(self, last)
        if self._held:
            self.ending = reason
            self.on_item = self.on_ready = _ignore
        else:
            self.closed = True
            self._carrier.carry_close(self, reason)

    # ---- from the carrier

    def granted(self, count: int) -> None:
        """The other end has consumed so much; less than nothing: it pauses."""
        self._credit += count
        if self._credit > 0:
            self.pour()
        elif not self.full:
            self._become_full()

    def pour(self) -> None:
        """Sends what waits, as far as there is room now."""
        held = self._held
        while held and self._credit > 0 and not self._carrier.full:
            item = held.popleft()
            self.waiting -= len(item)
            self._carrier.held(self, -len(item))
            self._credit -= len(item)
            self._carrier.carry(self, item)
        if not self.full:
            return
        if self._carrier.full:
            self._carrier.held(self, 0)
        elif not held and self._credit > 0:
            self.full = False
            if self.ending is not None:
                self.closed = True
                self._carrier.carry_close(self, self.ending)
            else:
                self.on_ready()

    def lost(self) -> None:
        """The link is over."""
        if not self.closed:
            self.closed = True
            self._drop_held()
            if self.ending is None:
                self.on_lost()

    def was_closed(self, reason: bytes) -> None:
        """By the other end."""
        if not self.closed:
            self.closed = True
            self._drop_held()
            if self.ending is None:
                self.on_close(reason)

    def _hold(self, item: bytes) -> None:
        if self._held is None:
            self._held = deque()
        self._held.append(item)
        self.waiting += len(item)
        self._carrier.held(self, len(item))

    def _drop_held(self) -> None:
        if self._held:
            self._carrier.held(self, -self.waiting)
            self.waiting = 0
            self._held = None

    def _become_full(self) -> None:
        self.full = True
        self.on_full()


class _Entry:
    """An item that waits to go out, and the channels that it is for. ``index``: of all that ever waited."""

    __slots__ = ("index", "payload", "says", "targets")

    def __init__(self, says: int, targets: list[int], payload: bytes) -> None:
        self.says = says
        self.targets = targets
        self.payload = payload
        self.index = 0

    def size(self) -> int:
        return len(self.payload) + _ITEM_COST + _TARGET_COST * len(self.targets)


class Link:
    """One end of a link. The shell calls `take`, `flush` and `tick` with the time in monotonic seconds.

    ``is_first``: opens it, where `accepts` is for the other end. ``emit`` puts a message on the bus (may raise
    BusUnavailable), ``wake`` asks for a `flush` soon; ``serve`` is given channels that the other end opens, and
    ``ended`` is told why the link is over, before its channels are.
    """

    def __init__(
        self,
        me: str,
        peer: str,
        tag: int,
        limits: LinkLimits,
        largest: int,
        now: float,
        *,
        emit: Callable[[bytes], None],
        wake: Callable[[], None],
        serve: Callable[[Channel], None],
        ended: Callable[[str], None],
    ) -> None:
        self.me = me
        self.peer = peer
        self.tag = tag
        self.is_open = False
        self.ended = False
        self.full = False
        self._limits = limits
        self._room = largest - _ROOM
        self._emit = emit
        self._wake = wake
        self._serve = serve
        self._ended = ended
        self._peer_tag = 0
        self._heard_at = self._said_at = now
        self._channels: dict[int, Channel] = {}
        self._next_number = 2 if me < peer else 1
        # What goes out.
        self._queue: deque[_Entry] = deque()
        self._first_entry = (
            0  # how many have left the queue: an entry's index is where it has stood since the beginning
        )
        self._queued = 0
        self._same: dict[int, _Entry] = {}
        self._sent = 0
        self._unconfirmed: deque[tuple[int, int]] = deque()
        self._in_flight = 0
        self._held: dict[Channel, None] = {}
        self._waiting = 0
        # What comes in.
        self._taken = 0
        self._to_confirm = 0
        self._pieces: list[bytes] = []
        self._pieces_size = 0

    @property
    def channels(self) -> int:
        return len(self._channels)

    @property
    def waiting(self) -> int:
        """Bytes that have not gone out."""
        return self._queued + self._waiting

    # ---- from those who use it

    def open(self, kind: str, head: bytes, window: int = WINDOW) -> Channel:
        """A channel to the other end. Items may be sent at once. Raises LinkLost."""
        if self.ended or len(self._channels) >= self._limits.channels:
            raise LinkLost(self.peer)
        number, self._next_number = self._next_number, self._next_number + 2
        channel = self._channels[number] = Channel(self, number, self.peer, kind, head, window)
        self._put(channel, _Says.OPEN, _encode(_Opening(kind, window, head)))
        return channel

    def end(self, why: str, *, tell: bool = True) -> None:
        """Ends it, for good: all channels are told."""
        if self.ended:
            return
        self.ended = True
        if tell and self._peer_tag:
            self._say(Message(_Kind.RESET, self.me, self._peer_tag, self.tag))
        self._queue.clear()
        self._ended(why)
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.unsent = not self.is_open
            _guarded(channel.lost)

    # ---- from the shell

    def begin(self) -> None:
        """Asks the other end for a link."""
        self._say(Message(_Kind.OPEN, self.me, 0, self.tag))

    def accept(self, peer_tag: int, now: float) -> None:
        """The other end has asked for one."""
        self._agree(peer_tag, now)
        self._say(Message(_Kind.ACCEPT, self.me, peer_tag, self.tag))

    def take(self, message: Message, now: float) -> None:
        """A message that names this end's tag."""
        if self.ended:
            return
        kind = message.kind
        if kind == _Kind.RESET:
            self.end("reset", tell=False)
        elif not self._peer_tag and kind == _Kind.ACCEPT:
            self._agree(message.tag, now)
        elif message.tag != self._peer_tag:
            return
        elif kind == _Kind.BATCH:
            self._heard_at = now
            self._take_batch(message)

    def _agree(self, peer_tag: int, now: float) -> None:
        self._peer_tag = peer_tag
        self._heard_at = now
        self.is_open = True
        self._wake()

    def _take_batch(self, message: Message) -> None:
        self._confirm(message.confirmed)
        number, items = message.number, message.items
        if not items:
            if number > self._taken:
                self.end("gap")
        elif number == self._taken + 1:
            self._taken = number
            for says, target, payload in items:
                self._to_confirm += len(payload) + _ITEM_COST
                self._take_item(says, target, payload)
                if self.ended:
                    return
            if self._to_confirm * 4 > self._limits.in_flight:
                self._wake()
        elif number > self._taken:
            self.end("gap")

    def _take_item(self, says: int, target: int | list[int], payload: bytes) -> None:
        if says == _Says.PIECE:
            self._pieces.append(payload)
            self._pieces_size += len(payload)
            if self._pieces_size > self._limits.waiting:
                self.end("too_much")
            return
        if self._pieces:
            payload = b"".join([*self._pieces, payload])
            self._pieces, self._pieces_size = [], 0
        channels = self._channels
        if says == _Says.ITEM:
            for number in target if isinstance(target, list) else (target,):
                channel = channels.get(number)
                if channel is not None:
                    try:
                        channel.on_item(payload)
                    except Exception:
                        _failed(channel)
            return
        assert isinstance(target, int)
        channel = channels.get(target)
        if says == _Says.OPEN:
            self._opened(target, _decode_opening(payload))
        elif channel is None:
            return
        elif says == _Says.CONSUMED:
            channel.granted(int.from_bytes(payload, "big", signed=True))
        elif says == _Says.CLOSE:
            del channels[target]
            _guarded(channel.was_closed, payload)

    def _opened(self, number: int, opening: _Opening) -> None:
        channel = Channel(self, number, self.peer, opening.kind, opening.head, opening.window)
        self._channels[number] = channel
        if len(self._channels) > self._limits.channels:
            channel.close(b"full")
        else:
            _guarded(self._serve, channel)

    def _confirm(self, number: int) -> None:
        unconfirmed = self._unconfirmed
        while unconfirmed and unconfirmed[0][0] <= number:
            self._in_flight -= unconfirmed.popleft()[1]
        if self.full or self._queue:
            self._wake()

    def flush(self, now: float) -> None:
        """Sends what waits, as far as there is room, and confirms what was taken in if that is due."""
        if not self.is_open or self.ended:
            return
        self._same.clear()
        limits = self._limits
        while self._queue and self._in_flight < limits.in_flight:
            self._send_batch(now)
        if self._to_confirm * 4 > limits.in_flight:
            self._beat(now)
        if self._queued + self._waiting > limits.waiting:
            self.end("too_much")
        elif self.full and self._in_flight + self._queued < limits.in_flight:
            self.full = False
            self._pour()

    def _pour(self) -> None:
        """Those who had to wait for the link go on, each as far as there is room; who comes too late is the first next
        time."""
        for channel in tuple(self._held):
            if self.full:
                return
            if self._held.pop(channel, False) is None and not channel.closed:
                _guarded(channel.pour)
                if channel.full:
                    self._held[channel] = None

    def tick(self, now: float) -> None:
        """To be called several times in a heartbeat."""
        if self.ended:
            return
        if now - self._heard_at > self._limits.silence:
            self.end("silence")
        elif now - self._said_at >= self._limits.heartbeat:
            if self.is_open:
                self._beat(now)
            else:
                self._said_at = now
                self.begin()

    def asked_again(self, peer_tag: int, now: float) -> None:
        """The other end asks for a link, and here one is already."""
        if not self.is_open or peer_tag == self._peer_tag:
            self.accept(peer_tag, now)
        else:
            self.end("anew", tell=False)

    # ---- what goes out

    def carry(self, channel: Channel, item: bytes) -> None:
        same = self._same.get(id(item))
        if same is not None and same.index > channel.last_entry:
            channel.last_entry = same.index
            same.targets.append(channel.number)
            self._queued += _TARGET_COST
            return
        entry = self._same[id(item)] = self._put(channel, _Says.ITEM, item)
        entry.index = channel.last_entry
        if self._in_flight + self._queued >= self._limits.in_flight:
            self.full = True

    def carry_close(self, channel: Channel, reason: bytes) -> None:
        self._channels.pop(channel.number, None)
        self._held.pop(channel, None)
        self._put(channel, _Says.CLOSE, reason)

    def carry_consumed(self, channel: Channel, count: int) -> None:
        self._put(channel, _Says.CONSUMED, count.to_bytes(8, "big", signed=True))

    def held(self, channel: Channel, count: int) -> None:
        self._waiting += count
        if count >= 0:
            self._held[channel] = None
            if self._waiting > self._limits.waiting:
                self._wake()

    def _put(self, channel: Channel, says: int, payload: bytes) -> _Entry:
        if not self._queue:
            self._wake()
        channel.last_entry = self._first_entry + len(self._queue)
        entry = _Entry(says, [channel.number], payload)
        self._queue.append(entry)
        self._queued += entry.size()
        return entry

    def _send_batch(self, now: float) -> None:
        room = self._room
        items: list[tuple[int, int | list[int], bytes]] = []
        queue = self._queue
        while queue:
            entry = queue[0]
            size = entry.size()
            if size > room:
                if items:
                    break
                items.append(self._part_of(entry))
                break
            queue.popleft()
            self._first_entry += 1
            self._queued -= size
            room -= size
            targets = entry.targets
            items.append((entry.says, targets[0] if len(targets) == 1 else targets, entry.payload))
        self._sent += 1
        size = self._room - room if room < self._room else self._room
        self._in_flight += size
        self._unconfirmed.append((self._sent, size))
        self._say_batch(self._sent, items, now)

    def _part_of(self, entry: _Entry) -> tuple[int, int | list[int], bytes]:
        """The beginning of what is too large for one message; the rest stays where it was."""
        most_targets = self._room // (2 * _TARGET_COST)
        before = entry.size()
        if len(entry.targets) > most_targets:
            part: tuple[int, int | list[int], bytes]
            if len(entry.payload) + _ITEM_COST <= self._room // 2:
                part = entry.says, entry.targets[:most_targets], entry.payload
                entry.targets = entry.targets[most_targets:]
                self._queued += entry.size() - before
                return part
            rest = _Entry(entry.says, entry.targets[most_targets:], entry.payload)
            entry.targets = entry.targets[:most_targets]
            self._queue.insert(1, rest)
            self._first_entry -= 1
            self._queued += rest.size()
        most = self._room // 2
        part = _Says.PIECE, 0, entry.payload[:most]
        entry.payload = entry.payload[most:]
        self._queued += entry.size() - before
        return part

    def _beat(self, now: float) -> None:
        self._say_batch(self._sent, [], now)

    def _say_batch(self, number: int, items: list[tuple[int, int | list[int], bytes]], now: float) -> None:
        if self.ended:
            return
        self._said_at = now
        self._to_confirm = 0
        self._say(Message(_Kind.BATCH, self.me, self._peer_tag, self.tag, number, self._taken, items))

    def _say(self, message: Message) -> None:
        try:
            self._emit(_encode(message))
        except BusUnavailable:
            self.end("bus", tell=False)


class Near:
    """Carries between two channels of one process: at once, once the far one is served."""

    full = False

    def __init__(self, me: str, kind: str, head: bytes, window: int) -> None:
        self.opened = Channel(self, 0, me, kind, head, window)
        self.served = Channel(self, 1, me, kind, head, window)
        self._early: list[Callable[[], None]] | None = []

    def begin(self, serve: Callable[[Channel], None]) -> None:
        """Hands the far one over, and what was sent to it meanwhile."""
        early, self._early = self._early, None
        serve(self.served)
        for each in early or ():
            each()

    def carry(self, channel: Channel, item: bytes) -> None:
        other = self.served if channel is self.opened else self.opened
        if self._early is not None:
            self._early.append(lambda: other.on_item(item))
        elif not other.closed:
            other.on_item(item)

    def carry_close(self, channel: Channel, reason: bytes) -> None:
        other = self._other(channel)
        if self._early is not None:
            self._early.append(lambda: other.was_closed(reason))
        else:
            other.was_closed(reason)

    def carry_consumed(self, channel: Channel, count: int) -> None:
        self._other(channel).granted(count)

    def held(self, channel: Channel, count: int) -> None:
        """The window alone holds items back."""

    def _other(self, channel: Channel) -> Channel:
        return self.served if channel is self.opened else self.opened


def reset(me: str, message: Message) -> bytes | None:
    """What to answer to a message of a link that is not there; None: nothing."""
    if message.kind in (_Kind.ACCEPT, _Kind.BATCH):
        return _encode(Message(_Kind.RESET, me, message.tag, message.to_tag))
    return None


def is_opening(message: Message) -> bool:
    return message.kind == _Kind.OPEN


def _guarded(call: Callable[..., Any], *arguments: Any) -> None:
    """One channel's mistake is not the others'."""
    try:
        call(*arguments)
    except Exception:
        metrics.housekeeping_failed.inc()
        log.exception("channel_failed")


def _failed(channel: Channel) -> None:
    metrics.housekeeping_failed.inc()
    log.exception("channel_failed", kind=channel.kind)
    channel.close(b"failed", at_once=True)
