"""Graphics memory as the display of a vGPU reads it: its own slices, through the hardware's GGTT."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..gpu.translation import GlobalSpace
from ..scanout.memory import ForeignMemory

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("VgpuDisplayMemory",)


@final
class VgpuDisplayMemory:
    """The slices of one vGPU; a :class:`~host_model.scanout.memory.DisplayMemory`.

    What it gives is checked twice: the addresses against the slices, and each page behind them against those pinned for the
    vGPU's guest. A range does not go from one slice into the other.
    """

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self._space = GlobalSpace(vgpu.gpu.ggtt.entries, vgpu.gpu.memory)

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        vgpu = self._vgpu
        if not vgpu.ggtt.owns(address, size):
            raise ForeignMemory(address, size, vgpu.resources.owned)
        with vgpu.mediator.guard.on_behalf_of(vgpu.number):
            return self._space.spans(address, size, write=write)
