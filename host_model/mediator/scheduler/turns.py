"""Of which engines there are turns: of all together, as the kernel's mediator has it, or of each by itself.

Where the GPU is switched as a whole, whoever has the turn has every engine, be it that it uses one of them. Where each engine
is switched by itself, one vGPU may draw while another one copies; then each engine has a policy of its own, which knows nothing
of the others, and a vGPU has its share of each engine that it wants. What waits on one engine for the outcome of its vGPU's
work on another may have to wait until that has had its turn, too: nobody sees to it that a vGPU has two engines at once, and
two vGPUs that keep each other from the second one are parted when patience is over.

Pages, look-ups, registers that go with the turn, and what a command may load are then kept apart by engine. As on hardware, a
batch without privilege may still read registers of another engine, which may work for somebody else at that time.

Source: linux:drivers/gpu/drm/i915/gvt/sched_policy.c (one owner of all engines at a time)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar, final

from pvinfo.errors import UsageError
from pvinfo.platform import Engine

from ...clock import HostClock
from .account import Had, together
from .policy import Policy
from .registry import DEFAULT_POLICY, policies_of
from .timeline import Timeline
from .turn import PATIENCE_NS, Owned, Sharer, Turn

__all__ = ("DEFAULT_SWITCHING", "SWITCHINGS", "Turns", "check_switching")

_GPU: Final = "gpu"
_ENGINE: Final = "engine"
SWITCHINGS: Final = (_GPU, _ENGINE)
"""What is given from one vGPU to another: the GPU, or each engine by itself."""
DEFAULT_SWITCHING: Final = _GPU

S = TypeVar("S", bound=Sharer)


def check_switching(name: str) -> str:
    """``name``, which is one of :data:`SWITCHINGS`. Raises: UsageError that lists them."""
    if name not in SWITCHINGS:
        raise UsageError(f"no switching {name!r}: there are {', '.join(SWITCHINGS)}")
    return name


@final
class Turns(Generic[S]):
    """All turns of the vGPUs of one GPU, which has ``engines``.

    Raises: UsageError for a way of switching that there is not; UsageError, SetupError: as :func:`~.registry.policies_of`.
    """

    def __init__(
        self, engines: Sequence[Engine], clock: HostClock, hardware: Owned[S], *,
        switching: str = DEFAULT_SWITCHING, scheduler: str | Policy = DEFAULT_POLICY, patience_ns: int = PATIENCE_NS,
    ) -> None:  # fmt: skip
        self.switching = check_switching(switching)
        self.patience_ns = patience_ns
        self.timeline = Timeline()
        self._hardware = hardware
        by_itself = switching == _ENGINE
        parts: list[Sequence[Engine]] = [(engine,) for engine in engines] if by_itself else [tuple(engines)]
        self.all: tuple[Turn[S], ...] = tuple(
            Turn(part, clock, hardware, policy, self.timeline, patience_ns, by_itself=by_itself)
            for part, policy in zip(parts, policies_of(scheduler, len(parts)), strict=True)
        )
        """Of the GPU as a whole, or of each engine."""
        self._by_engine = {engine: turn for turn in self.all for engine in turn.engines}

    def of(self, engine: Engine) -> Turn[S]:
        """The turns that ``engine`` has, alone or with all others."""
        return self._by_engine[engine]

    # ---- figures ----

    @property
    def policy_name(self) -> str:
        """What the policy, or that of each engine, is chosen by."""
        return self.all[0].policy.name

    @property
    def changes(self) -> int:
        """Times the GPU, or an engine, has changed hands."""
        return sum(turn.changes for turn in self.all)

    @property
    def used_ns(self) -> int:
        """Time in which there was work, whoever's; where engines are switched by themselves, of all of them together."""
        return sum(turn.used_ns for turn in self.all)

    @property
    def contested_ns(self) -> int:
        """What of that was time in which all of several had work."""
        return sum(turn.contested_ns for turn in self.all)

    def had(self, vgpu: S) -> Had:
        """What ``vgpu`` has had so far. What it has had of one engine says :meth:`of`."""
        return together(turn.had(vgpu) for turn in self.all)

    def worst_wait_ns(self, vgpu: S) -> int | None:
        """How long ``vgpu`` can be kept waiting for an engine, whatever the others do. None: no bound."""
        bounds = [turn.worst_wait_ns(vgpu) for turn in self.all]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if len(known) == len(bounds) else None

    # ---- what vGPUs say ----

    def start(self, vgpu: S) -> None:
        """The guest of ``vgpu`` has its engines take work."""
        for turn in self.all:
            turn.start(vgpu)

    def stop(self, vgpu: S) -> None:
        """The guest of ``vgpu`` has reset engines: nothing of it is carried out on any before it starts anew."""
        for turn in self.all:
            turn.stop(vgpu)

    def work_came(self, vgpu: S, engine: Engine) -> None:
        """``vgpu`` has something for ``engine``."""
        self._by_engine[engine].work_came(vgpu)

    def work_done(self, vgpu: S, engine: Engine) -> None:
        """Something of ``vgpu`` on ``engine`` is done, or has been taken back."""
        self._by_engine[engine].work_done(vgpu)

    def look_at(self, vgpu: S) -> None:
        """There may be more of ``vgpu`` to be done than was told, or less: it has gone to sleep, or woken up, or goes on."""
        for turn in self.all:
            turn.work_came(vgpu)

    def set_down(self, vgpu: S) -> None:
        """``vgpu`` stands still, and nothing of it runs: there is no work of it before it starts anew, and the GPU holds nothing of it."""
        for turn in self.all:
            turn.set_down(vgpu)
        self._hardware.set_down(vgpu)

    def leave(self, vgpu: S) -> None:
        """``vgpu`` is no more; nothing of it runs."""
        for turn in self.all:
            turn.leave(vgpu)
        self._hardware.forget(vgpu)
