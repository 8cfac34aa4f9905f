"""What all vGPUs of one host share: the GPU as the mediator drives it, whose turn it is, and the memory for shadow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.golden_state import GoldenState

from ..clock import HostClock
from ..isolation import GuardedMemory
from ..memory import HostMemory
from .hardware.hardware import Hardware
from .shadow.pool import DEFAULT_SHARE, ShadowPool
from .snapshot import take_snapshot
from .turn import Turn

if TYPE_CHECKING:
    from ..gpu.device import PhysicalGpu

__all__ = ("Mediator",)

@final
class Mediator:
    """The mediator of one GPU, whose own driver it is.

    ``golden`` is what vGPUs show at first, by default what the GPU's registers hold now. ``shadow_share`` is how many pages
    the shadow tables of one vGPU may take.
    """

    def __init__(
        self, gpu: PhysicalGpu, memory: HostMemory, guard: GuardedMemory, clock: HostClock, golden: GoldenState | None, *, shadow_share: int = DEFAULT_SHARE
    ) -> None:
        self.gpu = gpu
        self.memory = memory
        self.guard = guard
        self.clock = clock
        self.golden = golden if golden is not None else take_snapshot(gpu)
        self.hardware = Hardware(gpu, memory, guard)
        self.turn = Turn(clock, self.hardware)
        self.shadow_pool = ShadowPool(memory, self.hardware.invalidate_translations, share=shadow_share)
