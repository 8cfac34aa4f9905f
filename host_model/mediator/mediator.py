"""What all vGPUs of one host share: the GPU as the mediator drives it, whose turn it is, and the memory for shadow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.golden_state import GoldenState

from ..clock import HostClock
from ..isolation import GuardedMemory
from ..memory import HostMemory
from .hardware.hardware import Hardware
from .scheduler.policy import Policy
from .scheduler.registry import DEFAULT_POLICY
from .scheduler.turn import PATIENCE_NS
from .scheduler.turns import DEFAULT_SWITCHING, Turns
from .shadow.pool import DEFAULT_SHARE, ShadowPool
from .snapshot import take_snapshot

if TYPE_CHECKING:
    from ..gpu.device import PhysicalGpu
    from .client import Client

__all__ = ("Mediator",)

@final
class Mediator:
    """The mediator of one GPU, whose own driver it is.

    ``golden`` is what vGPUs show at first, by default what the GPU's registers hold now. ``shadow_share`` is how many pages
    the shadow tables of one vGPU may take. ``switching`` says what is given from one vGPU to another, ``scheduler`` is the policy,
    or its name, and ``patience_ns`` how long work may keep others waiting after its time is up.

    Raises: UsageError, SetupError: as :class:`~.scheduler.turns.Turns`.
    """

    def __init__(
        self, gpu: PhysicalGpu, memory: HostMemory, guard: GuardedMemory, clock: HostClock, golden: GoldenState | None, *,
        shadow_share: int = DEFAULT_SHARE, switching: str = DEFAULT_SWITCHING,
        scheduler: str | Policy = DEFAULT_POLICY, patience_ns: int = PATIENCE_NS,
    ) -> None:  # fmt: skip
        self.gpu = gpu
        self.memory = memory
        self.guard = guard
        self.clock = clock
        self.golden = golden if golden is not None else take_snapshot(gpu)
        self.hardware = Hardware(gpu, memory, guard)
        self.turn: Turns[Client] = Turns(
            gpu.platform.engines, clock, self.hardware, switching=switching, scheduler=scheduler, patience_ns=patience_ns
        )
        self.shadow_pool = ShadowPool(memory, self.hardware.invalidate_translations, share=shadow_share)
