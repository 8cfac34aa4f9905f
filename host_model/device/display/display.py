"""What a GPU drives: a monitor, if one is plugged in, and the pipes that feed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .monitor import Monitor
from .pipes import Pipes

if TYPE_CHECKING:
    from ..base import RegisterDevice

__all__ = ("Display",)


@final
class Display:
    """The display of one device."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device
        self.monitor: Monitor | None = None
        self.pipes = Pipes(device)

    def plug(self, monitor: Monitor) -> None:
        """Plug in ``monitor``, in place of another one if there is one; software hears of it."""
        self.monitor = monitor

    def unplug(self) -> None:
        """Pull the cable; software hears of it."""
        self.monitor = None

    def reset(self) -> None:
        """The registers were reset. The cable stays where it is."""
        self.pipes.reset()

    def close(self) -> None:
        """The device goes away."""
        self.pipes.close()
