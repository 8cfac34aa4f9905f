"""The physical GPU: a PCI device that knows nothing of guests."""

from __future__ import annotations

from typing import final

from pvinfo.platform import Platform
from pvinfo.registers.fence import FENCE_BASE, FENCE_COUNT
from pvinfo.units import GIB, PAGE_SIZE

from ..memory import HostMemory
from .config_image import config_image
from .registers import RegisterFile
from .reset_values import reset_values

__all__ = ("PhysicalGpu",)


@final
class PhysicalGpu:
    """Registers, the global translation table and fences of one GPU, as its host's driver has left them.

    Raises: UsageError for a GGTT size that no GPU has (1, 2 or 4 GiB).
    """

    def __init__(self, platform: Platform, aperture_size: int, ggtt_size: int = 4 * GIB, memory: HostMemory | None = None) -> None:
        self.platform = platform
        self.aperture_size = aperture_size
        self.ggtt_size = ggtt_size
        self.memory = memory if memory is not None else HostMemory()
        """What the GPU reaches by bus address."""
        self._config = config_image(platform, ggtt_size)
        self.registers = RegisterFile()
        for row in reset_values(platform.name):
            self.registers.write32(row.offset, row.value)
        self.ggtt = memoryview(bytearray(ggtt_size // PAGE_SIZE * 8)).cast("Q")
        """Hardware entries, one per page of graphics memory: bus address and flags."""
        self.fences = memoryview(self.registers.bytes)[FENCE_BASE : FENCE_BASE + 8 * FENCE_COUNT].cast("Q")
        """Hardware fences, low dword first; the registers themselves."""

    def config_image(self) -> bytes:
        """The whole configuration space, 4096 bytes."""
        return self._config

    def write_fence(self, number: int, value: int) -> None:
        """Set fence ``number``; 0 takes it out of use. The fence never covers a range that is half old, half new."""
        offset = FENCE_BASE + 8 * number
        self.registers.write32(offset, 0)
        self.registers.write32(offset + 4, value >> 32)
        self.registers.write32(offset, value & 0xFFFFFFFF)
