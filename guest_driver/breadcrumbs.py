"""Breadcrumbs: how the driver hears that requests are done.

A request leaves its number in memory and raises an interrupt. The interrupt is let through only while somebody waits;
then the numbers of all that are waited for are looked at. Because a request may be done just before the interrupt is
let through, they are looked at once more right after.
Source: linux:drivers/gpu/drm/i915/gt/intel_breadcrumbs.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.platform import ENGINES, Engine
from pvinfo.registers import EngineInterrupt, EngineRegisters

from .uncore import Uncore
from .work import Work

if TYPE_CHECKING:
    from .request import Request

__all__ = ("Breadcrumbs",)

_ALL: Final = 0xFFFF_FFFF
_ALWAYS_HEARD: Final = EngineInterrupt.of(master_error=1, context_switch=1, wait_semaphore=1)
"""Events that are let through whether or not somebody waits for a request."""
_HEARD_BY_WAITERS: Final = EngineInterrupt.of(_ALWAYS_HEARD, user=1)


@final
class Breadcrumbs:
    """Who waits for requests of one engine."""

    def __init__(self, uncore: Uncore, engine: Engine, work: Work) -> None:
        self._uncore = uncore
        self._name = engine.name
        self._shift = ENGINES[engine].interrupt_shift
        self._work = work
        self.waited_for: list[Request] = []
        """Requests whose end somebody wants to hear of, in the order in which they asked."""
        self._done: list[Request] = []
        self.armed = False
        """The interrupt is let through."""
        self.active = False
        """The engine is in use: the interrupt may stay armed between two waiters."""

    def _mask(self, heard: EngineInterrupt) -> None:
        self._uncore.write(EngineRegisters.imr, ~(heard << self._shift) & _ALL, self._name)

    def reset(self) -> None:
        """Write the mask anew after an engine has lost it (``intel_breadcrumbs_reset``)."""
        if self.armed:
            self._arm()
        else:
            self._mask(_ALWAYS_HEARD)

    def _arm(self) -> None:
        self._mask(_HEARD_BY_WAITERS)
        self._uncore.read(EngineRegisters.imr, self._name)

    def add(self, request: Request) -> None:
        """Somebody wants to hear when ``request``, which the engine has, is done (``insert_breadcrumb``)."""
        if request.complete:
            self._done.append(request)
            self._work.signal(self.look)
            return
        self.waited_for.append(request)
        if not self.armed:
            self._work.signal(self.look)

    def remove(self, request: Request) -> None:
        """The engine no longer has ``request`` (``i915_request_cancel_breadcrumb``)."""
        if request in self.waited_for:
            self.waited_for.remove(request)

    def interrupted(self) -> None:
        """A request of the engine has said that it is done."""
        self._work.signal(self.look)

    def look(self) -> None:
        """Tell whoever waits for what is done by now (``signal_irq_work``)."""
        done, self._done = self._done, []
        if not done and self.armed and not self.waited_for:
            self._disarm()
        still: list[Request] = []
        for request in self.waited_for:
            (done if request.complete else still).append(request)
        self.waited_for = still
        for request in done:
            request.signal()
        if not self.armed and self.waited_for:
            self.armed = True
            self._arm()
            self._work.signal(self.look)
        if self.armed and not self.active:
            self._disarm()

    def _disarm(self) -> None:
        self.armed = False
        self._mask(_ALWAYS_HEARD)

    def park(self) -> None:
        """The engine is no longer in use (``intel_breadcrumbs_park``)."""
        self.active = False
        if self.armed:
            self._work.signal(self.look)
