"""What serving vGPUs and serving the physical GPU have in common: one loop, sockets, screens and a report."""

from __future__ import annotations

import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pvinfo.errors import SetupError
from pvinfo.finding import FindingLog

from ..boot.host_side import Picture
from ..clock import HostClock
from ..scanout import png
from ..vfio.user.serve import ServedDevice, VfioUserServer
from ..view.facts import DeviceFacts
from ..view.screen import Screen, ShowingDevice
from ..view.shows import Shows, Wanted
from ..view.view import Site, Viewed

__all__ = ("Served", "Total", "Traced", "trace_device")

Total = tuple[str, int, bool]
"""A name, a number, and whether that is bad."""


class Traced(Protocol):
    """A device whose accesses can be recorded."""

    def trace_to(self, path: Path) -> None:
        """Record every access from now on. Raises: OSError."""


class Served(ABC):
    """Devices on their sockets; the host's side of ``host-model boot`` too."""

    def __init__(self, clock: HostClock, wanted: Wanted) -> None:
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self._clock = clock
        self._server = VfioUserServer(self.selector, clock)
        self._wanted = wanted
        self._shows: Shows | None = None

    def _show(self, platform: str, viewed: Sequence[Viewed]) -> None:
        """Show the screens wherever that is wanted. Raises: SetupError."""
        self._shows = Shows(Site(platform, viewed, self.report, self.totals), self.selector, self._clock, self._wanted)

    def _view(
        self, number: int, kind: str, title: str, device: ServedDevice, shown: ShowingDevice, facts: Callable[[], DeviceFacts]
    ) -> Viewed:
        """The screen of ``shown``, which is served as ``device``."""
        screen = Screen(shown, title, lambda: device.abandoned)
        if self._wanted.anything:
            device.on_leaving = screen.keep_last
        return Viewed(number, kind, str(device.path), screen, lambda: device.connected, facts)

    @property
    @abstractmethod
    def findings(self) -> tuple[FindingLog, ...]:
        """What is noticed of each guest."""

    @abstractmethod
    def totals(self) -> tuple[Total, ...]:
        """What stands on top of the live view."""

    @abstractmethod
    def report(self) -> dict[str, object]:
        """What was seen: the JSON object of the command."""

    @property
    def devices(self) -> tuple[ServedDevice, ...]:
        """The devices on their sockets."""
        return self._server.devices

    def step(self, timeout_s: float) -> None:
        """Serve whatever is ready, or becomes ready within ``timeout_s``."""
        self._server.step(timeout_s)

    @property
    def screens(self) -> tuple[Viewed, ...]:
        """The devices with their screens."""
        return () if self._shows is None else tuple(self._shows.devices)

    @property
    def view_url(self) -> str | None:
        """Where the live view is, None without one."""
        return None if self._shows is None else self._shows.view_url

    def picture(self, guest: int) -> Picture:
        """The screen of the device at place ``guest``."""
        screen = self.screens[guest].screen
        frame = screen.look()
        return Picture(None, screen.nothing_shown) if frame is None else Picture(png(frame))

    def close(self) -> None:
        """Hang up, remove the sockets, end the traces."""
        if self._shows is not None:
            self._shows.close()
        self._server.close()
        self._close_devices()
        self.selector.close()

    @abstractmethod
    def _close_devices(self) -> None:
        """Nobody is connected any more."""


def trace_device(device: Traced, path: Path) -> None:
    """Record every access from now on. Raises: SetupError where that cannot be written."""
    try:
        device.trace_to(path)
    except OSError as error:
        raise SetupError(f"the trace {path} cannot be written: {error.strerror}") from None
