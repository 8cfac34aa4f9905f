"""One vfio-user connection as the server sees it, without a socket.

Bytes and file descriptors that came in go into :meth:`ServerConnection.receive`; whole requests come out of
:meth:`~ServerConnection.next_request`, checked against every bound that the protocol sets; what is to be sent is taken
from :meth:`~ServerConnection.data_to_send`. The opening (VERSION) is dealt with here.

Rules of the stream:

* A request that breaks a rule is answered with an error, its file descriptors are closed, and the next one is read. Only
  where the end of a message is unknown, or the opening failed, nothing more is read: the answer is the last.
* A request that forbids an answer gets none, not even an error.
* File descriptors travel beside the first byte of their message. Whoever reads at most :attr:`~ServerConnection.wanted`
  bytes at a time knows to which message they belong: to the last one that begins in those bytes, because no message
  that may carry any is shorter than ``READ_AHEAD``, and thus none that may is followed by another in the same read.
* Nobody waits for a write that must not be answered, and a guest that draws sends them by the hundred thousand: behind
  one that has begun, whatever has come is wanted at once. The system ends a read behind the bytes that file descriptors
  came beside; of the messages that begin in it they belong to the last one that may carry any.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, final

from pvinfo.errors import PeerError, WireError
from pvinfo.units import PAGE_SIZE
from pvinfo.vfio_user import (
    DMA_ACCESS,
    HEADER,
    IRQ_SET,
    MAX_DATA_SIZE,
    MAX_DMA_MAPS,
    MAX_MESSAGE_FDS,
    MAX_MESSAGE_SIZE,
    VERSION,
    VERSION_MAJOR,
    VERSION_MINOR,
    Capabilities,
    Command,
    DmaAccess,
    Header,
    HeaderFlags,
    MessageType,
    Version,
    capability_text,
    read_capabilities,
)

from .requests import Request, command_of, invalid, parse_request

__all__ = ("BULK_READ", "READ_AHEAD", "Frame", "MemoryReadReply", "Phase", "ServerConnection")

READ_AHEAD: Final = HEADER.size + IRQ_SET.size
"""Bytes to read where a message begins: the shortest message that may carry file descriptors."""
BULK_READ: Final = 1 << 14
"""Some hundred writes."""
_LARGEST_READ: Final = 1 << 18
"""A socket holds less than this by default; a larger buffer would be set up for nothing."""

_POSTED_WRITE: Final = Command.REGION_WRITE.to_bytes(2, "little")
_POSTED_FLAGS: Final = int(HeaderFlags.of(MessageType.COMMAND, no_reply=True)).to_bytes(4, "little")
_CARRIERS: Final = frozenset({Command.DMA_MAP.value, Command.DEVICE_SET_IRQS.value})
"""Commands that may come with file descriptors."""

_MOST_WAITING_FDS: Final = 2 * MAX_MESSAGE_FDS
"""File descriptors that are held for messages that have not come whole: those of one, and of the one behind it."""


class Phase(Enum):
    """How far a connection is."""

    OPENING = "opening"
    OPEN = "open"
    ENDED = "ended"


class Frame(NamedTuple):
    """One whole message, not yet looked into, and the file descriptors that came with it."""

    data: bytes
    fds: tuple[int, ...]


class MemoryReadReply(NamedTuple):
    """The client's answer to :meth:`ServerConnection.read_memory`."""

    address: int
    data: bytes | None
    """None where the client refused."""


class _Arrival(NamedTuple):
    """File descriptors, and the span of the stream they came beside."""

    first: int
    end: int
    fds: tuple[int, ...]
    surplus: bool
    """There were more than a message may carry; the system has closed the rest."""


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


@final
class ServerConnection:
    """See the module. ``admit`` is asked when a client has opened in good form: 0, or the errno to refuse it with."""

    def __init__(self, admit: Callable[[], int] = lambda: 0) -> None:
        self.phase = Phase.OPENING
        self.client = Capabilities()
        """What the client has announced."""
        self._admit = admit
        self._buffer = bytearray()
        self._position = 0
        """Where the buffer begins in the stream."""
        self._arrivals: deque[_Arrival] = deque()
        self._out = bytearray()
        self._asked: dict[int, DmaAccess] = {}
        self._next_id = 0

    # ---- bytes in ----

    @property
    def wanted(self) -> int:
        """How many bytes to read next: what is missing of the message that has begun, and the first bytes of the next; behind a
        write that must not be answered, a lot."""
        buffered = len(self._buffer)
        if not buffered:
            return READ_AHEAD
        if self._buffer[8:12] == _POSTED_FLAGS and self._buffer[2:4] == _POSTED_WRITE:
            return BULK_READ
        size = int.from_bytes(self._buffer[4:8], "little") if buffered >= HEADER.size else HEADER.size
        if not HEADER.size <= size <= MAX_MESSAGE_SIZE:
            return READ_AHEAD
        return min(max(size - buffered, 0) + READ_AHEAD, _LARGEST_READ)

    @property
    def mid_message(self) -> bool:
        """A message has begun and not ended."""
        return bool(self._buffer)

    def receive(self, data: bytes, fds: Sequence[int] = (), *, surplus: bool = False) -> None:
        """Take what one read of the socket gave. The file descriptors are the connection's from now on.

        ``surplus``: the system had to drop file descriptors, because there were more than a message may carry.
        """
        first = self._position + len(self._buffer)
        self._buffer += data
        if fds or surplus:
            self._arrive(first, first + len(data), tuple(fds), surplus)
        if self.phase is Phase.ENDED:
            self.close()

    def _arrive(self, first: int, end: int, fds: tuple[int, ...], surplus: bool) -> None:
        """Keep file descriptors until their message is whole; no more of them than honest messages need."""
        if sum(len(arrival.fds) for arrival in self._arrivals) + len(fds) > _MOST_WAITING_FDS:
            _close_all(fds)
            fds, surplus = (), True
            if self._arrivals and self._arrivals[-1].surplus:
                first, _, fds, _ = self._arrivals.pop()
        self._arrivals.append(_Arrival(first, self._end_of_span(first, end), fds, surplus))

    def _end_of_span(self, first: int, end: int) -> int:
        """Up to where the bytes go that file descriptors came beside, if it is the last message in them that they belong to."""
        buffer, at, carrier_end = self._buffer, self._position, end
        while at + HEADER.size <= end:
            start = at - self._position
            command, size = int.from_bytes(buffer[start + 2 : start + 4], "little"), int.from_bytes(buffer[start + 4 : start + 8], "little")
            if at >= first and command in _CARRIERS:
                carrier_end = at + 1
            at += max(size, HEADER.size)
        return carrier_end

    def next_frame(self) -> Frame | None:
        """The next whole message, or None until more comes.

        Raises: PeerError where the end of the message cannot be known; it is answered, and the connection has ended.
        """
        buffer = self._buffer
        if len(buffer) < HEADER.size or self.phase is Phase.ENDED:
            return None
        size = int.from_bytes(buffer[4:8], "little")
        if not HEADER.size <= size <= MAX_MESSAGE_SIZE:
            header = HEADER.unpack_from(buffer)
            raise self._end(header, invalid(f"message size {size}: a message has {HEADER.size} to {MAX_MESSAGE_SIZE} bytes"))
        if len(buffer) < size:
            return None
        data = bytes(memoryview(buffer)[:size])
        del buffer[:size]
        start = self._position
        self._position += size
        if not self._arrivals:
            return Frame(data, ())
        fds, stray = self._claim(start, self._position)
        if stray is not None:
            _close_all(fds)
            self.refuse(HEADER.unpack_from(data), stray.errno)
            raise stray
        return Frame(data, fds)

    def pass_posted(self, store: Callable[[bytes, int], int]) -> None:
        """Give ``store`` the bytes that have come, if they begin with a write that must not be answered; it does as many of those
        as there are from the start, and says where they end."""
        buffer = self._buffer
        if self._arrivals or self.phase is not Phase.OPEN or buffer[8:12] != _POSTED_FLAGS:
            return
        end = store(bytes(buffer), 0)
        del buffer[:end]
        self._position += end

    def _claim(self, start: int, end: int) -> tuple[tuple[int, ...], PeerError | None]:
        """The file descriptors of the message from ``start`` to ``end`` of the stream, and what is wrong with them."""
        claimed: tuple[int, ...] = ()
        wrong: PeerError | None = None
        # They belong to the last message that begins in the bytes they came beside.
        while self._arrivals and self._arrivals[0].end <= end:
            arrival = self._arrivals.popleft()
            claimed += arrival.fds
            if start < arrival.first:
                wrong = invalid("file descriptors came in the middle of a message, not beside its first byte")
            elif arrival.surplus or len(claimed) > MAX_MESSAGE_FDS:
                wrong = invalid(f"more than {MAX_MESSAGE_FDS} file descriptors with one message")
        return claimed, wrong

    # ---- requests ----

    def next_request(self) -> Request | MemoryReadReply | None:
        """The next request, or None until more comes.

        Raises: PeerError for one that breaks a rule; it is answered already.
        """
        while (frame := self.next_frame()) is not None:
            message = self.read(frame)
            if message is not None:
                return message
        return None

    def read(self, frame: Frame) -> Request | MemoryReadReply | None:
        """What ``frame`` asks for; None for the opening, which is answered here.

        Raises: PeerError for a message that breaks a rule; it is answered already, its file descriptors closed.
        """
        header = HEADER.unpack_from(frame.data)
        try:
            return self._read(header, frame)
        except PeerError as error:
            _close_all(frame.fds)
            if self.phase is Phase.OPENING:
                raise self._end(header, error) from None
            self.refuse(header, error.errno)
            raise

    def _read(self, header: Header, frame: Frame) -> Request | MemoryReadReply | None:
        if header.flags.type is MessageType.REPLY:
            return self._read_reply(header, frame)
        if header.flags.type is not MessageType.COMMAND or header.flags.error:
            raise invalid(f"message flags {int(header.flags):#x}: neither a command nor a reply")
        command = command_of(header)
        if (command is Command.VERSION) != (self.phase is Phase.OPENING):
            raise invalid(f"{command.name} in the phase {self.phase.value}: VERSION is the first message, and only that")
        if command is Command.VERSION:
            if frame.fds:
                raise invalid("VERSION with file descriptors")
            self._open(header, frame.data[HEADER.size :])
            return None
        return parse_request(header, command, frame.data, frame.fds)

    def _open(self, header: Header, body: bytes) -> None:
        try:
            proposed = VERSION.unpack_from(body)
            self.client = read_capabilities(body[VERSION.size :])
        except WireError as error:
            raise invalid(f"VERSION: {error}") from None
        if proposed.major != VERSION_MAJOR:
            raise invalid(f"VERSION {proposed.major}.{proposed.minor}: this is {VERSION_MAJOR}.{VERSION_MINOR}")
        refused = self._admit()
        if refused:
            raise PeerError(refused, "VERSION: the device has another client")
        reply = VERSION.pack(Version(VERSION_MAJOR, min(proposed.minor, VERSION_MINOR)))
        self.phase = Phase.OPEN
        self._reply(header, reply + _shortened(self._offer(), len(body) - VERSION.size))

    def _offer(self) -> Capabilities:
        """Of what the client proposed, what we can do as well: the reply is a subset."""
        client = self.client
        return Capabilities(
            max_msg_fds=None if client.max_msg_fds is None else MAX_MESSAGE_FDS,
            max_data_xfer_size=None if client.max_data_xfer_size is None else MAX_DATA_SIZE,
            max_dma_maps=None if client.max_dma_maps is None else min(client.max_dma_maps, MAX_DMA_MAPS),
            pgsizes=None if client.pgsizes is None or not client.pgsizes & PAGE_SIZE else PAGE_SIZE,
            write_multiple=client.write_multiple or None,
        )

    # ---- messages out ----

    def reply(self, request: Request, body: bytes = b"") -> None:
        """Answer ``request``, unless it forbids that."""
        self._reply(request.header, body)

    def reject(self, request: Request, number: int) -> None:
        """Answer ``request`` with error ``number``, unless it forbids that, and close its file descriptors."""
        _close_all(request.fds)
        self.refuse(request.header, number)

    def send(self, message: bytes) -> None:
        """Send a whole message that somebody else has built."""
        self._out += message

    def _reply(self, header: Header, body: bytes) -> None:
        if header.flags.no_reply:
            return
        flags = HeaderFlags(MessageType.REPLY)
        self._out += HEADER.pack(Header(header.id, header.command, HEADER.size + len(body), flags, 0)) + body

    def refuse(self, header: Header, number: int) -> None:
        """Answer with error ``number``: a header and nothing else. A request that forbids an answer gets none."""
        if header.flags.no_reply:
            return
        flags = HeaderFlags.of(MessageType.REPLY, error=True)
        self._out += HEADER.pack(Header(header.id, header.command, HEADER.size, flags, number))

    def data_to_send(self) -> bytes:
        """Everything that is to be sent now, handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    # ---- our own requests ----

    def read_memory(self, address: int, length: int) -> None:
        """Ask the client for guest memory by message; the answer comes as a :class:`MemoryReadReply`.

        Never from within a request: a client answers only when it has got its own reply.
        """
        number = self._next_id
        self._next_id = (number + 1) & 0xFFFF
        wanted = DmaAccess(address, length)
        self._asked[number] = wanted
        body = DMA_ACCESS.pack(wanted)
        self._out += HEADER.pack(Header(number, Command.DMA_READ, HEADER.size + len(body), HeaderFlags(MessageType.COMMAND), 0)) + body

    def _read_reply(self, header: Header, frame: Frame) -> MemoryReadReply:
        asked = self._asked.pop(header.id, None) if header.command == Command.DMA_READ else None
        if asked is None or frame.fds:
            raise invalid(f"reply to command {header.command} with id {header.id}: nothing like that was asked")
        if header.flags.error:
            return MemoryReadReply(asked.address, None)
        data = frame.data[HEADER.size + DMA_ACCESS.size :]
        if frame.data[HEADER.size : HEADER.size + DMA_ACCESS.size] != DMA_ACCESS.pack(asked) or len(data) != asked.length:
            raise invalid(f"reply to DMA_READ of {asked.length} bytes at {asked.address:#x}: it answers something else")
        return MemoryReadReply(asked.address, data)

    # ---- the end ----

    def _end(self, header: Header, error: PeerError) -> PeerError:
        self.refuse(header, error.errno)
        self.close()
        return error

    def close(self) -> None:
        """Read nothing more; file descriptors that nobody has taken are closed. What is to be sent stays."""
        self.phase = Phase.ENDED
        self._position += len(self._buffer)
        self._buffer.clear()
        while self._arrivals:
            _close_all(self._arrivals.popleft().fds)


def _shortened(offer: Capabilities, space: int) -> bytes:
    """``offer`` as text of at most ``space`` bytes: a client reads the reply into the buffer of its request."""
    order = ("pgsizes", "max_dma_maps", "max_data_xfer_size", "max_msg_fds", "write_multiple")
    for dropped in range(len(order) + 1):
        text = capability_text(offer._replace(**dict.fromkeys(order[:dropped])))
        if len(text) <= space:
            return text
    return b""
