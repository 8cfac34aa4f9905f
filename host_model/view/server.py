"""The sockets of the view: a listener and its connections, in the selector that the devices' own sockets wait in.

Nobody who looks can hold up a guest: a turn is one read or one write that never blocks, a request is short, a
connection lives for one of them, a picture is made piece by piece while it is sent, and when too many connections are
open the oldest makes room.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias, final

from pvinfo.errors import SetupError, UsageError

from ..clock import HostClock, Timer
from .http import LONGEST_HEAD, Request, Response, read_request, refusal

__all__ = ("Answer", "ViewAddress", "ViewServer", "parse_view_address")

_LOOPBACK: Final = "127.0.0.1"
_HIGHEST_PORT: Final = 0xFFFF
_MOST_CONNECTIONS: Final = 32
_BACKLOG: Final = 64
_ACCEPTS_A_TURN: Final = 8
_ACCEPT_PAUSE_NS: Final = 100_000_000
_LIFE_NS: Final = 20_000_000_000
"""For how long a connection may keep its place: to ask, to read the answer, and to go."""
_SEND_SIZE: Final = 1 << 18
_READ_SIZE: Final = 1 << 12

Answer: TypeAlias = Callable[[str], Response]
"""What is at a path."""


class ViewAddress(NamedTuple):
    """Where to listen: a numeric address, and a port, 0 for any. ``anywhere``: the address may be other than loopback."""

    host: str
    port: int
    anywhere: bool = False

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


def parse_view_address(text: str, *, anywhere: bool = False) -> ViewAddress:
    """``[HOST:]PORT`` as on the command line; HOST is an address or ``localhost``, an IPv6 address stands in brackets.

    Raises: UsageError for what is no such address, and, unless ``anywhere``, for one that is not loopback.
    """
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not port.isascii() or int(port) > _HIGHEST_PORT:
        raise UsageError(f"--view {text}: {port!r} is no port: give [HOST:]PORT, PORT from 0 (any that is free) to {_HIGHEST_PORT}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"--view {text}: an IPv6 address stands in brackets: [{host}]:{port}")
    if not colon or host == "localhost":
        host = _LOOPBACK
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(f"--view {text}: {host!r} is no address: HOST is an IPv4 address, an IPv6 address in brackets, or localhost") from None
    if not address.is_loopback and not anywhere:
        raise UsageError(
            f"--view {text}: {host} is not loopback, and whoever reaches it sees the guests' screens; --view-anywhere allows that"
        )
    return ViewAddress(host, int(port), anywhere)


def _listen(address: ViewAddress) -> socket.socket:
    listener = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SetupError(f"--view: nothing can listen at {address.host} port {address.port}: {error.strerror}") from None
    return listener


@final
class ViewServer:
    """Answers requests at ``address`` for as long as somebody runs the selector and the clock's timers.

    ``selector`` and ``clock`` stay their maker's. Raises: SetupError when nothing can listen there.
    """

    def __init__(self, selector: selectors.BaseSelector, clock: HostClock, address: ViewAddress, answer: Answer) -> None:
        self._selector: Final = selector
        self._clock: Final = clock
        self._address: Final = address
        self._answer: Final = answer
        self._listener: Final = _listen(address)
        self._connections: dict[_Connection, None] = {}
        """The oldest first."""
        self._paused: Timer | None = None
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"http://{host}:{self.port}/"

    @property
    def connections(self) -> int:
        """How many are connected now."""
        return len(self._connections)

    def close(self) -> None:
        """Hang up on everybody and listen no more."""
        for connection in list(self._connections):
            connection.close()
        if self._paused is None:
            self._selector.unregister(self._listener)
        else:
            self._paused.cancel()
        self._listener.close()

    def _accept(self, events: int) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                client, _peer = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                # The system is out of something: look again later, instead of at once and for ever.
                self._selector.unregister(self._listener)
                self._paused = self._clock.call_after(_ACCEPT_PAUSE_NS, self._resume)
                return
            if len(self._connections) >= _MOST_CONNECTIONS:
                next(iter(self._connections)).close()
            client.setblocking(False)
            self._connections[_Connection(client, self._selector, self._clock, self._respond, self._gone)] = None

    def _resume(self) -> None:
        self._paused = None
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _gone(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)

    def _respond(self, request: Request) -> Response:
        if not self._address.anywhere and not self._is_ours(request.host):
            # A page from elsewhere may have its own name lead here, to look in under that name.
            return refusal(HTTPStatus.MISDIRECTED_REQUEST, f"{request.host} is not served here")
        return self._answer(request.path)

    def _is_ours(self, host: str) -> bool:
        """Whether the name that a client used is loopback's, and not one that somebody else may have made up."""
        name, _, port = host.lower().rpartition(":")
        if not port.isdecimal():
            name = host.lower()
        if name in ("", "localhost"):
            return True
        try:
            return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
        except ValueError:
            return False


@final
class _Connection:
    """One client: reads its request, writes the response, and waits for it to go."""

    def __init__(
        self,
        client: socket.socket,
        selector: selectors.BaseSelector,
        clock: HostClock,
        respond: Callable[[Request], Response],
        gone: Callable[[_Connection], None],
    ) -> None:
        self._client: Final = client
        self._selector: Final = selector
        self._respond: Final = respond
        self._gone: Final = gone
        self._received = b""
        self._pieces: Iterator[bytes] = iter(())
        self._unsent = memoryview(b"")
        self._closed = False
        self._timer: Final = clock.call_after(_LIFE_NS, self.close)
        selector.register(client, selectors.EVENT_READ, self._read)

    def close(self) -> None:
        """Hang up."""
        if not self._closed:
            self._closed = True
            self._timer.cancel()
            self._selector.unregister(self._client)
            self._client.close()
            self._pieces = iter(())
            self._unsent = memoryview(b"")
            self._gone(self)

    def _read(self, events: int) -> None:
        if self._closed:
            return
        try:
            data = self._client.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received = (self._received + data)[: LONGEST_HEAD + _READ_SIZE]
        request = read_request(self._received)
        if request is None:
            return
        if isinstance(request, Response):
            self._pieces = request.wire()
        else:
            self._pieces = self._respond(request).wire(head_only=request.head_only, chunked=request.chunked)
        self._received = b""
        self._selector.modify(self._client, selectors.EVENT_WRITE, self._write)
        self._write(selectors.EVENT_WRITE)

    def _write(self, events: int) -> None:
        if self._closed:
            return
        while not self._unsent:
            piece = next(self._pieces, None)
            if piece is None:
                self._finish()
                return
            self._unsent = memoryview(piece)
        try:
            sent = self._client.send(self._unsent[:_SEND_SIZE], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._unsent = self._unsent[sent:]

    def _finish(self) -> None:
        """To hang up at once could cost the client the end of what it has not read yet."""
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self._selector.modify(self._client, selectors.EVENT_READ, self._discard)

    def _discard(self, events: int) -> None:
        """Whatever else it says, until it has hung up."""
        if self._closed:
            return
        try:
            if self._client.recv(_READ_SIZE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()
