"""How long mediation takes, from ``cost.tsv``: what the host's processors do so that a guest's work is carried out.

On virtual time the mediator's own work would take none. So it is charged to the vGPU that it is done for, and the GPU is
given the context that it was done for as much later. What is to be done at the context's end is charged ahead, with the rest:
events at the end keep the order that they have on the GPU. On real time the work takes what it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..clock import HostClock, VirtualClock
from ..cost_table import Cost, cost_named

__all__ = ("AUDIT", "COMPLETION", "COPY", "HANDING_OVER", "HANDING_OVER_REST", "MAPPING", "SUBMISSION", "ProcessorTime")

_PACKAGE: Final = "host_model.mediator"
SUBMISSION: Final = cost_named(_PACKAGE, "submission")
AUDIT: Final = cost_named(_PACKAGE, "audit")
COPY: Final = cost_named(_PACKAGE, "copy")
MAPPING: Final = cost_named(_PACKAGE, "mapping")
HANDING_OVER: Final = cost_named(_PACKAGE, "handing over")
HANDING_OVER_REST: Final = cost_named(_PACKAGE, "handing over another engine")
COMPLETION: Final = cost_named(_PACKAGE, "completion")


@final
class ProcessorTime:
    """What the mediator does for one vGPU, in time."""

    def __init__(self, clock: HostClock) -> None:
        self._clock = clock
        self._is_charged = isinstance(clock, VirtualClock)
        self._owed_ns = 0
        self.spent_ns = 0
        """All that was charged so far; 0 on real time."""

    def charge(self, cost: Cost, size: int = 0) -> None:
        """Something is done, to ``size`` bytes."""
        if self._is_charged:
            self._owed_ns += cost.of(size)

    @property
    def owed_ns(self) -> int:
        """What was charged, and has not passed yet."""
        return self._owed_ns

    def take_over(self, spent_ns: int, owed_ns: int) -> None:
        """Go on from what was charged on another host."""
        if self._is_charged:
            self.spent_ns, self._owed_ns = spent_ns, owed_ns

    def then(self, act: Callable[[], None]) -> None:
        """Do ``act`` when what was charged has passed; where there is nothing of it, at once."""
        owed, self._owed_ns = self._owed_ns, 0
        if owed:
            self.spent_ns += owed
            self._clock.call_after(owed, act)
        else:
            act()
