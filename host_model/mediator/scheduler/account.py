"""What one vGPU has had of the GPU, or of an engine of it, and how long it has waited for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, final

__all__ = ("Account", "Had", "together")

STARVED_NS: Final = 2_500_000_000
"""A wait that a guest's own driver notices: it begins to ask whether its GPU still does anything.
Source: linux:drivers/gpu/drm/i915/Kconfig.profile (heartbeat interval)"""


class Had(NamedTuple):
    """An account as it stands."""

    used_ns: int
    """Time in which the GPU was its, and had work of it."""
    turns: int
    """Times that it was given the GPU."""
    waits: int
    """Times that it had work while the GPU was not its."""
    waited_ns: int
    """For how long, together."""
    worst_wait_ns: int
    starved: int
    """How many of these waits were longer than a guest's driver is patient."""
    contested_ns: int = 0
    """Of the time used, that in which everybody else had work too: only of this can a share be held against weights."""


def together(accounts: Iterable[Had]) -> Had:
    """Of several engines that have turns of their own: times add up, engine by engine; the worst wait is the worst of them."""
    used, turns, waits, waited, worst, starved, contested = zip(*accounts, strict=True)
    return Had(sum(used), sum(turns), sum(waits), sum(waited), max(worst), sum(starved), sum(contested))


@final
class Account:
    """The account of one vGPU."""

    def __init__(self) -> None:
        self._used_ns = self._turns = self._waits = self._waited_ns = self._worst_ns = self._starved = self._contested_ns = 0
        self._since_ns: int | None = None

    def use(self, duration_ns: int, *, contested: bool = False) -> None:
        """The GPU has worked for it, while everybody else had work too or not."""
        self._used_ns += duration_ns
        if contested:
            self._contested_ns += duration_ns

    def begin_turn(self, now_ns: int) -> None:
        """It is given the GPU."""
        self._turns += 1
        self.end_wait(now_ns)

    def begin_wait(self, now_ns: int) -> None:
        """It has work, and the GPU is not its."""
        if self._since_ns is None:
            self._since_ns = now_ns

    def end_wait(self, now_ns: int) -> None:
        """It has the GPU, or no work any more."""
        if self._since_ns is not None:
            waited, self._since_ns = now_ns - self._since_ns, None
            self._waits += 1
            self._waited_ns += waited
            self._worst_ns = max(self._worst_ns, waited)
            self._starved += waited > STARVED_NS

    def had(self, now_ns: int) -> Had:
        """How it stands now; a wait that has not ended counts up to now."""
        waits, waited, worst, starved = self._waits, self._waited_ns, self._worst_ns, self._starved
        if self._since_ns is not None:
            present = now_ns - self._since_ns
            waits, waited, worst, starved = waits + 1, waited + present, max(worst, present), starved + (present > STARVED_NS)
        return Had(self._used_ns, self._turns, waits, waited, worst, starved, self._contested_ns)
