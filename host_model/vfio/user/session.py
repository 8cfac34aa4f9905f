"""One client on its socket: reads, has the requests worked off, and sends the replies.

What matters here is the round trip of a read, because a guest's processor waits for it:

* The reading rule of :class:`~.connection.ServerConnection` is kept by reading just far enough, so that nearly every
  message is one system call, and file descriptors are never taken for another message's.
* While messages keep coming and nothing else is due, the next one is awaited in the read itself, for a few
  milliseconds, and not by way of the selector: that is a third of the time of a round trip.
* Writes that must not be answered are worked off together, as many as have come: a guest that draws sends them by the
  hundred thousand.
* A turn is short. Then the loop looks after timers and the other clients.
"""

from __future__ import annotations

import array
import errno
import select
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, Protocol, final

from pvinfo.errors import PeerError
from pvinfo.system_limits import what_ran_out
from pvinfo.units import PAGE_SIZE
from pvinfo.vfio_user import MAX_MESSAGE_FDS, RegionAccess, RegionIndex

from ...clock import HostClock
from .connection import BULK_READ, READ_AHEAD, Frame, MemoryReadReply, Phase, ServerConnection
from .device_server import DeviceServer
from .regions import READ_SIZE
from .requests import Request

__all__ = ("Loop", "Session")

_READS_A_TURN: Final = 64
_MOST_OF_A_TURN: Final = 4096
"""Bytes that are hundreds of writes, or one long message: enough for a turn."""
_TURN_NS: Final = 8_000_000
_LINGER_NS: Final = 4_000_000
"""How long a read waits for the next message."""
_LINGER: Final = struct.pack("@ll", 0, _LINGER_NS // 1000)
_ANCILLARY_SPACE: Final = socket.CMSG_SPACE(MAX_MESSAGE_FDS * array.array("i").itemsize)
# Plain integers: arithmetic with the flags' own type costs more than the system call.
_NOW: Final = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_SOON: Final = int(socket.MSG_CMSG_CLOEXEC)
_SEND: Final = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_TRUNCATED: Final = int(socket.MSG_CTRUNC)


class Loop(Protocol):
    """What a session asks of the loop that it runs in."""

    @property
    def selector(self) -> selectors.BaseSelector:
        """Where the session waits."""

    @property
    def clock(self) -> HostClock:
        """Whose timers the loop runs."""

    @property
    def crowded(self) -> bool:
        """Others wait here as well: a second client, or a descriptor that must not wait."""


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """The file descriptors among what came beside the data."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return tuple(fds)


@final
class Session:
    """Somebody who has connected; the device's client from the moment that ``admit`` says 0 to its opening.

    ``ended`` is called once, when the socket is closed, with what went wrong, or None for a client that just left.
    """

    def __init__(
        self,
        client: socket.socket,
        server: DeviceServer,
        loop: Loop,
        admit: Callable[[Session], int],
        ended: Callable[[Session, str | None], None],
    ) -> None:
        self.connection = ServerConnection(lambda: admit(self))
        self._socket = client
        self._server = server
        self._loop = loop
        self._ended = ended
        self._unsent = b""
        self._closed = False
        client.settimeout(None)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LINGER)
        loop.selector.register(client, selectors.EVENT_READ, self.serve)

    # ---- a turn ----

    def serve(self, events: int) -> None:
        """One turn: the socket can be read, or written again."""
        if self._closed or (events & selectors.EVENT_WRITE and not self._send(b"")):
            return
        turn_end_ns = time.monotonic_ns() + _TURN_NS
        how = _NOW
        for _ in range(_READS_A_TURN):
            more = self._serve_accesses(how, turn_end_ns) if self._may_be_plain() else self._serve_any(how)
            if not more:
                return
            now_ns = time.monotonic_ns()
            if now_ns > turn_end_ns:
                break
            # Where the end of the message is still to come, its sender is about to send it.
            how = _NOW if self.connection.mid_message or now_ns > self._patience_end_ns(turn_end_ns) else _SOON
        self._send(self.connection.data_to_send())

    def _may_be_plain(self) -> bool:
        """Only in an open connection, and where a message begins, may one be answered from its bytes alone."""
        return self.connection.phase is Phase.OPEN and not self.connection.mid_message

    def _patience_end_ns(self, turn_end_ns: int) -> int:
        """Until when the next message may be awaited in the read itself, because nobody else needs the loop."""
        if self._loop.crowded:
            return 0
        clock = self._loop.clock
        deadline_ns = clock.next_deadline_ns()
        if deadline_ns is None:
            return turn_end_ns
        return min(turn_end_ns, time.monotonic_ns() + deadline_ns - clock.now_ns() - _LINGER_NS)

    def _serve_accesses(self, how: int, turn_end_ns: int) -> bool:
        """Answer plain accesses until something else comes, or nothing; False when the turn is over.

        This is the inner loop of a guest's register accesses: no call in it without need.
        """
        receive, send, answer = self._socket.recvmsg, self._socket.send, self._server.regions.answer
        wanted = READ_AHEAD
        now = time.monotonic_ns
        patience_end_ns = self._patience_end_ns(turn_end_ns)
        for _ in range(_READS_A_TURN):
            try:
                data, ancillary, flags, _ = receive(wanted, _ANCILLARY_SPACE, how)
            except OSError as error:
                return self._unread(error)
            if ancillary or flags & _TRUNCATED:
                return self._take(data, ancillary, flags)
            reply = answer(data)
            if reply is None:
                return self._take(data, ancillary, flags) and len(data) < _MOST_OF_A_TURN
            # Behind a write that is not answered come others.
            wanted = READ_AHEAD if reply else BULK_READ
            if reply:
                try:
                    sent = send(reply, _SEND)
                except OSError:
                    sent = 0
                if sent < len(reply):
                    return self._send(reply[sent:])
            if len(data) != READ_SIZE:
                # A write may have set a timer.
                patience_end_ns = self._patience_end_ns(turn_end_ns)
            how = _SOON if now() < patience_end_ns else _NOW
        return False

    def _serve_any(self, how: int) -> bool:
        """Read on, whatever comes; False when the turn is over."""
        wanted = self.connection.wanted
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(wanted, _ANCILLARY_SPACE, how)
        except OSError as error:
            return self._unread(error)
        more = self._take(data, ancillary, flags)
        if more and len(data) > _MOST_OF_A_TURN:
            self._send(self.connection.data_to_send())
            return False
        return more

    def _unread(self, error: OSError) -> bool:
        """Nothing can be read: nothing has come, or the connection is broken. Either way the turn is over."""
        if isinstance(error, BlockingIOError):
            self._send(self.connection.data_to_send())
        else:
            self._close(f"the connection broke: {error.strerror}")
        return False

    def _take(self, data: bytes, ancillary: list[tuple[int, int, bytes]], flags: int) -> bool:
        """Work off what was read; False when the turn is over."""
        connection = self.connection
        if not data:
            self._close("the client went in the middle of a message" if connection.mid_message else None)
            return False
        fds = _descriptors(ancillary)
        if flags & _TRUNCATED and len(fds) < MAX_MESSAGE_FDS:
            self._note_lost_descriptors()
        connection.receive(data, fds, surplus=bool(flags & _TRUNCATED))
        self._work_off()
        # While more of the same is on its way, the replies go together.
        if not connection.mid_message and not self._send(connection.data_to_send()):
            return False
        if connection.phase is Phase.ENDED:
            self._close(None)
            return False
        return True

    def _work_off(self) -> None:
        """Work off the whole messages that have come; the replies wait in the connection."""
        connection, store = self.connection, self._server.regions.store_posted
        while True:
            try:
                connection.pass_posted(store)
                frame = connection.next_frame()
                if frame is None:
                    return
                self._work_off_one(frame)
            except PeerError as error:
                self._note(error)

    def _work_off_one(self, frame: Frame) -> None:
        server = self._server
        if not frame.fds and self.connection.phase is Phase.OPEN:
            reply = server.regions.answer(frame.data)
            if reply is not None:
                self.connection.send(reply)
                return
        message = self.connection.read(frame)
        if message is None:
            return
        if isinstance(message, MemoryReadReply):
            server.page_checked(message.address, message.data)
            return
        self._handle(server, message)
        if isinstance(message.body, RegionAccess) and message.body.region == RegionIndex.CONFIG:
            page = server.page_to_check()
            if page is not None:
                self.connection.read_memory(page, PAGE_SIZE)

    def _handle(self, server: DeviceServer, request: Request) -> None:
        try:
            body = server.handle(request)
        except PeerError as error:
            self.connection.reject(request, error.errno)
            self._note(error)
        else:
            self.connection.reply(request, body)

    def _note(self, error: PeerError) -> None:
        self._server.findings.note("vfio-user-request", error.rule, f"the client's request was refused with errno {error.errno}")

    def _note_lost_descriptors(self) -> None:
        exhausted = what_ran_out(OSError(errno.EMFILE, ""))
        self._server.findings.note("vfio-user-descriptors", "file descriptors", f"{exhausted}: some that came beside a message are lost, and it is refused")

    # ---- sending ----

    def _send(self, data: bytes) -> bool:
        """Send ``data`` after what is unsent; False when the turn is over, because the client does not read or has gone."""
        waiting = bool(self._unsent)
        data = self._unsent + data
        sent = 0
        if data:
            try:
                sent = self._socket.send(data, _SEND)
            except BlockingIOError:
                pass
            except OSError as error:
                self._close(f"the connection broke: {error.strerror}")
                return False
        self._unsent = data[sent:]
        if self._unsent:
            # Nothing more is read until the client has read what it asked for.
            if not waiting:
                self._loop.selector.modify(self._socket, selectors.EVENT_WRITE, self.serve)
            return False
        if waiting:
            self._loop.selector.modify(self._socket, selectors.EVENT_READ, self.serve)
            if self.connection.phase is Phase.ENDED:
                self._close(None)
                return False
        return True

    # ---- the end ----

    def finish_if_gone(self) -> None:
        """If the client has hung up, work off what it has left in the socket, which is little, and end."""
        poll = select.poll()
        poll.register(self._socket, 0)
        while not self._closed and any(events & select.POLLHUP for _, events in poll.poll(0)):
            self.serve(selectors.EVENT_READ)

    def close(self) -> None:
        """Hang up."""
        self._close(None)

    def _close(self, why: str | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.selector.unregister(self._socket)
        self._socket.close()
        self.connection.close()
        self._ended(self, why)
