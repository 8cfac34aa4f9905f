"""Stolen memory: what firmware takes from the machine's RAM for the GPU, and no processor sees but through the aperture.

It stands where the configuration space says (BSM), in front of whatever the machine has there.

Source: linux:drivers/gpu/drm/i915/gem/i915_gem_stolen.c, linux:arch/x86/kernel/early-quirks.c
"""

from __future__ import annotations

import mmap
from typing import final

from pvinfo.units import PAGE_SIZE, BusAddress

from ..memory import BusMemory

__all__ = ("MemoryWithStolen", "stolen_bytes")


def stolen_bytes(size: int) -> memoryview:
    """So many bytes for :class:`MemoryWithStolen`. Untouched pages cost nothing."""
    return memoryview(mmap.mmap(-1, size))


@final
class MemoryWithStolen:
    """The memory behind the bus with the GPU's own ``stolen`` bytes at ``base``."""

    def __init__(self, memory: BusMemory, base: int, stolen: memoryview) -> None:
        self._memory = memory
        self._base = base
        self._end = base + len(stolen)
        self._stolen = stolen

    @property
    def revision(self) -> int:
        return self._memory.revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        if self._base <= address < self._end:
            start = (address - self._base) & ~(PAGE_SIZE - 1)
            return self._stolen[start : start + PAGE_SIZE]
        return self._memory.page(address)

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        if address + size <= self._base or address >= self._end:
            return self._memory.span(address, size)
        start = address - self._base
        return self._stolen[start : start + size] if start >= 0 and address + size <= self._end else None
