"""The host beside a boot: whatever serves the guests' GPUs, and the one event loop of the run.

There are no threads: the devices' sockets and the guests' consoles wait in one selector. Whoever
owns it calls the data of each ready key, a :data:`Ready`, with the events that are ready.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, final

from host_model.mediator.scheduler.options import ScheduleChoice
from host_model.monitor_choice import MonitorChoice
from host_model.view.server import ViewAddress

__all__ = ("HostFactory", "HostRequest", "HostSide", "NoDevices", "Picture", "Ready")

Ready: TypeAlias = Callable[[int], None]
"""What a key of the shared selector carries as data; called with the mask of ready events."""


class Picture(NamedTuple):
    """A guest's screen as a PNG; None where nothing is shown, and then ``why``."""

    png: bytes | None
    why: str = ""


class HostSide(Protocol):
    """The devices that guests are attached to, listening on their sockets from the start."""

    @property
    def selector(self) -> selectors.BaseSelector:
        """Where everything of the run waits; the data of each key is a :data:`Ready`."""

    def step(self, timeout_s: float) -> None:
        """Serves whatever is ready, or becomes ready within ``timeout_s``, foreign keys included."""

    @property
    def view_url(self) -> str | None:
        """Where the live view of a run is to be seen, None when none was asked for."""

    def picture(self, guest: int) -> Picture:
        """What guest number ``guest`` shows now or, once it has gone, what it showed last."""

    def opregion(self, guest: int) -> bytes | None:
        """The OpRegion that guest number ``guest`` is to get from its firmware; None for none."""

    def report(self) -> dict[str, object]:
        """What the host saw: the JSON object of a run without its ``guests`` and ``ok``."""

    def close(self) -> None:
        """Ends every device and removes its socket."""


class HostRequest(NamedTuple):
    """What a run wants from its host: a vGPU for each socket, unless it says something else."""

    sockets: Sequence[Path]
    platform: str
    vgpu_types: Sequence[str]
    """What they are: as many as there are vGPUs, one for all of them, or none for the smallest there is."""
    aperture_mib: int | None
    trace: Path | None
    physical: bool = False
    """Hand out the physical GPU itself, to one machine."""
    own_weight: int | None = None
    """At the first socket have the host's own device, of this weight, instead of a vGPU."""
    pictures: bool = False
    """Pictures will be asked for, even of guests that have gone."""
    view: ViewAddress | None = None
    """Where to serve the live view."""
    monitor: MonitorChoice = MonitorChoice()
    """What is plugged into each device."""
    schedule: ScheduleChoice = ScheduleChoice()
    """Who has the GPU when, and the picture of it."""


HostFactory: TypeAlias = Callable[[HostRequest], HostSide]
"""Makes the host of a run; when it returns, every socket listens."""


@final
class NoDevices:
    """A host without any GPU: guests boot on the bare machine, the control experiment of a boot."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    @property
    def selector(self) -> selectors.BaseSelector:
        return self._selector

    def step(self, timeout_s: float) -> None:
        for key, events in self._selector.select(timeout_s):
            key.data(events)

    @property
    def view_url(self) -> str | None:
        return None

    def picture(self, guest: int) -> Picture:
        return Picture(None, f"guest {guest} has no GPU of ours")

    def opregion(self, guest: int) -> bytes | None:
        return None

    def report(self) -> dict[str, object]:
        return {"platform": None, "vgpus": [], "gpu": None}

    def close(self) -> None:
        self._selector.close()
