"""What all vGPUs of one host share: the GPU as the mediator drives it, whose turn it is, and the memory for shadow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.golden_state import GoldenState

from ..clock import HostClock
from ..isolation import GuardedMemory
from ..memory import HostMemory
from .hardware.hardware import Hardware
from .scheduler.policy import Policy
from .scheduler.registry import DEFAULT_POLICY, policy_named
from .scheduler.turn import PATIENCE_NS, Turn
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
    the shadow tables of one vGPU may take. ``scheduler`` is the policy, or its name, and ``patience_ns`` how long work may keep
    others waiting after its time is up.

    Raises: UsageError, SetupError: as :func:`~.scheduler.registry.policy_named`.
    """

    def __init__(
        self, gpu: PhysicalGpu, memory: HostMemory, guard: GuardedMemory, clock: HostClock, golden: GoldenState | None, *,
        shadow_share: int = DEFAULT_SHARE, scheduler: str | Policy = DEFAULT_POLICY, patience_ns: int = PATIENCE_NS,
    ) -> None:  # fmt: skip
        self.gpu = gpu
        self.memory = memory
        self.guard = guard
        self.clock = clock
        self.golden = golden if golden is not None else take_snapshot(gpu)
        self.hardware = Hardware(gpu, memory, guard)
        policy = policy_named(scheduler) if isinstance(scheduler, str) else scheduler
        self.turn: Turn[Client] = Turn(clock, self.hardware, policy, patience_ns)
        self.shadow_pool = ShadowPool(memory, self.hardware.invalidate_translations, share=shadow_share)
