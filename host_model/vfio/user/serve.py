"""The vfio-user server: devices on their sockets, timers, and whatever else shares the loop.

One selector, no threads. A key's data is called with the ready events; whoever shares the selector keeps to that.
"""

from __future__ import annotations

import errno
import selectors
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, final

from pvinfo.bus import PciDevice
from pvinfo.finding import FindingLog
from pvinfo.system_limits import what_ran_out

from ...clock import HostClock
from .device_server import DeviceServer, MemoryWindow
from .listener import Listener
from .regions import SpecificRegion
from .session import Session

__all__ = ("ServedDevice", "VfioUserServer")

_MOST_WAITING: Final = 8
"""How many may be connected to one device, at one time, without being its client."""
_ACCEPTS_A_TURN: Final = _MOST_WAITING
_ACCEPT_PAUSE_NS: Final = 100_000_000


@final
class ServedDevice:
    """A device on its socket: at most one client at a time, any number one after another."""

    def __init__(self, listener: Listener, server: DeviceServer, loop: VfioUserServer) -> None:
        self.path = listener.path
        self.server = server
        self.clients_seen = 0
        """Clients so far; who was refused is none."""
        self.on_leaving: Callable[[], None] | None = None
        """Called when the client has gone, while its memory is still there."""
        self._listener = listener
        self._loop = loop
        self._client: Session | None = None
        self._waiting: list[Session] = []
        """Who has connected and said nothing yet, or is being refused."""
        self._paused = False
        loop.selector.register(listener.socket, selectors.EVENT_READ, self._accept)

    @property
    def connected(self) -> bool:
        """A client is there."""
        return self._client is not None

    def still_connected(self) -> bool:
        """A client is there, and has not hung up in the meantime."""
        if self._client is not None:
            self._client.finish_if_gone()
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
                client, _ = self._listener.socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                why = what_ran_out(error) or error.strerror
                self.server.findings.note("vfio-user-accept", str(self.path), f"no client can be accepted now: {why}")
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
        if self.still_connected():
            return errno.EBUSY
        self._waiting.remove(session)
        self._client = session
        self.clients_seen += 1
        self._loop.crowd_changed()
        return 0

    def _pause(self) -> None:
        """The system is out of something: look again later, instead of at once and for ever."""
        self._loop.selector.unregister(self._listener.socket)
        self._paused = True
        self._loop.clock.call_after(_ACCEPT_PAUSE_NS, self._resume)

    def _resume(self) -> None:
        if self._paused and self._listener.is_open:
            self._paused = False
            self._loop.selector.register(self._listener.socket, selectors.EVENT_READ, self._accept)

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
            self._loop.selector.unregister(self._listener.socket)
        self._listener.close()
        self.server.close()


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
        served = ServedDevice(Listener(path), DeviceServer(device, memory, self, findings, typed), self)
        self._devices.append(served)
        return served

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """Everything that is served."""
        return tuple(self._devices)

    def end(self, served: ServedDevice) -> None:
        """Serve a device no more. Not to be called from within a turn of the loop, but by a timer: who is hung up on may have a turn yet."""
        self._devices.remove(served)
        served.close()
        self.crowd_changed()

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
