"""Graphics memory as the display of the physical GPU reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .translation import GlobalSpace

if TYPE_CHECKING:
    from .device import PhysicalGpu

__all__ = ("HardwareDisplayMemory",)


@final
class HardwareDisplayMemory:
    """All of it; a :class:`~host_model.scanout.memory.DisplayMemory`."""

    def __init__(self, gpu: PhysicalGpu) -> None:
        self._space = GlobalSpace(gpu.ggtt.entries, gpu.memory)

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        return self._space.spans(address, size, write=write)
