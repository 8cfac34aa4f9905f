"""The vfio-user server: devices on their sockets, timers, and whatever else shares the loop.

One selector, no threads. A key's data is called with the ready events; whoever shares the selector keeps to that.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, final

from pvinfo.bus import PciDevice
from pvinfo.errors import SetupError
from pvinfo.finding import FindingLog

from ...clock import HostClock
from .device_server import DeviceServer, MemoryWindow
from .regions import SpecificRegion
from .session import Session

__all__ = ("LONGEST_SOCKET_PATH", "ServedDevice", "VfioUserServer")

LONGEST_SOCKET_PATH: Final = 107
"""Bytes of a Unix socket's path, its closing NUL apart. Source: linux:include/uapi/linux/un.h"""
_MOST_WAITING: Final = 8
"""How many may be connected to one device, at one time, without being its client."""
_BACKLOG: Final = 1024
"""Connections that the system holds until they are accepted: a burst of clients is not turned away."""
_ACCEPTS_A_TURN: Final = _MOST_WAITING
_ACCEPT_PAUSE_NS: Final = 100_000_000


@final
class ServedDevice:
    """A device on its socket: at most one client at a time, any number one after another."""

    def __init__(self, path: Path, listener: socket.socket, server: DeviceServer, loop: VfioUserServer) -> None:
        self.path = path
        self.server = server
        self.clients_seen = 0
        """Clients so far; who was refused is none."""
        self.on_leaving: Callable[[], None] | None = None
        """Called when the client has gone, while its memory is still there."""
        self._listener = listener
        self._loop = loop
        status = path.stat()
        self._identity = (status.st_dev, status.st_ino)
        self._client: Session | None = None
        self._waiting: list[Session] = []
        """Who has connected and said nothing yet, or is being refused."""
        self._paused = False
        loop.selector.register(listener, selectors.EVENT_READ, self._accept)

    @property
    def connected(self) -> bool:
        """A client is there."""
        return self._client is not None

    @property
    def abandoned(self) -> bool:
        """There was a client, and it has gone."""
        return self.clients_seen > 0 and self._client is None

    @property
    def connections(self) -> int:
        """The client, and who else is connected."""
        return len(self._waiting) + self.connected

    def _accept(self, events: int) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self.server.findings.note("vfio-user-accept", str(self.path), f"no client can be accepted now: {error.strerror}")
                self._pause()
                return
            if len(self._waiting) >= _MOST_WAITING:
                self._make_room()
            self._waiting.append(Session(client, self.server, self._loop, self._admit, self._session_ended))
            self._loop.crowd_changed()

    def _make_room(self) -> None:
        """Who has waited longest without a word goes, so that silence keeps nobody out; what it has said counts first."""
        oldest = self._waiting[0]
        oldest.serve(selectors.EVENT_READ)
        if oldest in self._waiting:
            oldest.close()

    def _admit(self, session: Session) -> int:
        """Whoever opens first is the client, until it goes: a connection that stays silent keeps nobody out."""
        if self._client is not None:
            self._client.finish_if_gone()
        if self._client is not None:
            return errno.EBUSY
        self._waiting.remove(session)
        self._client = session
        self.clients_seen += 1
        self._loop.crowd_changed()
        return 0

    def _pause(self) -> None:
        """The system is out of something: look again later, instead of at once and for ever."""
        self._loop.selector.unregister(self._listener)
        self._paused = True
        self._loop.clock.call_after(_ACCEPT_PAUSE_NS, self._resume)

    def _resume(self) -> None:
        if self._paused and self._listener.fileno() >= 0:
            self._paused = False
            self._loop.selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _session_ended(self, session: Session, why: str | None) -> None:
        if session is not self._client:
            self._waiting.remove(session)
            self._loop.crowd_changed()
            return
        self._client = None
        self._loop.crowd_changed()
        if self.on_leaving is not None:
            self.on_leaving()
        self.server.client_gone()
        if why is not None:
            self.server.findings.note("vfio-user-client", str(self.path), why)

    def close(self) -> None:
        """Hang up, remove the socket, and serve the device no more."""
        for session in (*self._waiting, self._client):
            if session is not None:
                session.close()
        if not self._paused:
            self._loop.selector.unregister(self._listener)
        self._listener.close()
        self.server.close()
        try:
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self.path.unlink()
        except FileNotFoundError:
            pass


def _listen(path: Path) -> socket.socket:
    """A socket that listens at ``path``. Raises: SetupError saying what stands against it."""
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise SetupError(f"socket path {path} has {length} bytes: the system takes {LONGEST_SOCKET_PATH} at most; use a shorter folder")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SetupError(f"no socket can be made at {path}: {error.strerror}") from None
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens to any more. Raises: SetupError when the path is in use."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SetupError(f"no socket can be made at {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise SetupError(f"no socket can be made at {path}: there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            pass
        except OSError as error:
            raise SetupError(f"the socket at {path} is there already, and cannot be tried: {error.strerror}") from None
        else:
            raise SetupError(f"the socket at {path} is in use: another server listens there")
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise SetupError(f"the stale socket at {path} cannot be removed: {error.strerror}") from None


@final
class VfioUserServer:
    """Serves devices over vfio-user, and runs the timers of ``clock`` while it does. A context manager.

    ``selector`` may be shared, and stays its maker's.
    """

    def __init__(self, selector: selectors.BaseSelector, clock: HostClock) -> None:
        self.selector = selector
        self.clock = clock
        self._devices: list[ServedDevice] = []
        self._watched = 0
        self.crowded = False
        """More than one connection, or descriptors that must not wait."""

    def __enter__(self) -> VfioUserServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def listen(
        self, path: Path, device: PciDevice, memory: MemoryWindow, findings: FindingLog, typed: Sequence[SpecificRegion] = ()
    ) -> ServedDevice:
        """Serve ``device`` at ``path`` from now on; its guest's RAM goes to ``memory``, what is noticed to ``findings``.
        ``typed`` are device-specific regions.

        A socket that an ended server left behind is replaced. Raises: SetupError when there can be no socket.
        """
        listener = _listen(path)
        served = ServedDevice(path, listener, DeviceServer(device, memory, self, findings, typed), self)
        self._devices.append(served)
        return served

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """Everything that is served."""
        return tuple(self._devices)

    def step(self, timeout_s: float) -> None:
        """Serve whatever is ready, or becomes ready within ``timeout_s``, then call the timers that are due."""
        deadline_ns = self.clock.next_deadline_ns()
        if deadline_ns is not None:
            timeout_s = max(min(timeout_s, (deadline_ns - self.clock.now_ns()) / 1e9), 0.0)
        for key, events in self.selector.select(timeout_s):
            key.data(events)
        self.clock.run_due()

    def close(self) -> None:
        """Hang up on every client, and remove every socket."""
        while self._devices:
            self._devices.pop().close()

    # ---- for sessions and interrupts ----

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        self.selector.register(fd, selectors.EVENT_READ, lambda events: ready())
        self._watched += 1
        self.crowd_changed()

    def unwatch(self, fd: int) -> None:
        self.selector.unregister(fd)
        self._watched -= 1
        self.crowd_changed()

    def crowd_changed(self) -> None:
        """Somebody or a descriptor has come or gone."""
        self.crowded = self._watched > 0 or sum(device.connections for device in self._devices) > 1
