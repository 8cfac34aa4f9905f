"""The heartbeat: how the driver notices that an engine hangs.

While an engine is awake, a request of the kernel's own context is sent through it every two and a half seconds, at first
with the lowest priority. One that is not done when the next is due gets a higher one, step by step, until nothing may
come before it; an engine that does not even then carry it out is reset.
Source: linux:drivers/gpu/drm/i915/gt/intel_engine_heartbeat.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from .request import Priority, Request
from .work import PutOff

if TYPE_CHECKING:
    from .streamer import Streamer

__all__ = ("HEARTBEAT_NS", "Heartbeat")

HEARTBEAT_NS: Final = 2_500_000_000
"""Source: linux:drivers/gpu/drm/i915/Kconfig.profile"""

_LADDER: Final = (Priority.IDLE, Priority.NORMAL, Priority.HEARTBEAT, Priority.BARRIER)


@final
class Heartbeat:
    """Of one engine."""

    def __init__(self, streamer: Streamer) -> None:
        self._streamer = streamer
        self._timer: PutOff | None = None
        self.pulse: Request | None = None
        """The request that should have been done by the next beat."""

    def start(self) -> None:
        """The engine has woken up (``intel_engine_unpark_heartbeat``)."""
        self.stop()
        self._timer = self._streamer.work.after(HEARTBEAT_NS, self._beat)

    def stop(self) -> None:
        """The engine is parked (``intel_engine_park_heartbeat``)."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.pulse = None

    def _beat(self) -> None:
        streamer = self._streamer
        streamer.execlists.kick()
        streamer.work.run_tasklets()
        if not streamer.awake:
            return
        if self.pulse is not None and self.pulse.complete:
            self.pulse = None
        if not streamer.gt.wedged:
            if self.pulse is not None:
                self._press(self.pulse)
            elif not streamer.only_kernel_context:
                self.pulse = streamer.pulse(Priority.IDLE)
        if streamer.awake:
            self._timer = streamer.work.after(HEARTBEAT_NS, self._beat)

    def _press(self, pulse: Request) -> None:
        """It was not done in time: it becomes more urgent, or the engine is reset."""
        streamer = self._streamer
        if pulse.priority < Priority.BARRIER:
            streamer.reprioritise(pulse, next(step for step in _LADDER if step > pulse.priority))
            streamer.work.run_tasklets()
            return
        streamer.gt.handle_error([streamer], f"stopped heartbeat on {streamer.engine.value}")
