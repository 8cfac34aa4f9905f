"""Graphics memory as the display of the physical GPU reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.gtt_entry import FRAME_MASK_4K, GgttEntry
from pvinfo.units import PAGE_SHIFT, PAGE_SIZE, BusAddress

from .address_space import FaultReason, TranslationFault
from .translation import GlobalSpace

if TYPE_CHECKING:
    from .device import PhysicalGpu

__all__ = ("HardwareDisplayMemory",)

_PRESENT: Final = GgttEntry.present.mask


@final
class HardwareDisplayMemory:
    """All of it; a :class:`~host_model.scanout.memory.DisplayMemory`."""

    def __init__(self, gpu: PhysicalGpu) -> None:
        self._gpu = gpu
        self._space = GlobalSpace(gpu.ggtt.entries, gpu.memory)

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        return self._space.spans(address, size, write=write)

    def hold(self, address: int, size: int) -> _HeldPages:
        if address + size > self._space.size:
            raise TranslationFault(address, 0, FaultReason.OUTSIDE, global_table=True)
        entries = self._gpu.ggtt.entries[address >> PAGE_SHIFT : address + size + PAGE_SIZE - 1 >> PAGE_SHIFT].tolist()
        for number, entry in enumerate(entries):
            if not entry & _PRESENT:
                raise TranslationFault(address + number * PAGE_SIZE, 0, FaultReason.NOT_PRESENT, global_table=True)
        return _HeldPages(self._gpu, tuple(entry & FRAME_MASK_4K for entry in entries))


@final
class _HeldPages:
    """Nothing keeps a driver from using its memory for something else, as on hardware."""

    def __init__(self, gpu: PhysicalGpu, bus_addresses: tuple[int, ...]) -> None:
        self._gpu = gpu
        self.bus_addresses = bus_addresses
        self._released = False

    def views(self) -> list[memoryview] | None:
        pages = [self._gpu.memory.page(BusAddress(bus)) for bus in self.bus_addresses]
        found = [page.toreadonly() for page in pages if page is not None]
        return None if self._released or len(found) < len(pages) else found

    def release(self) -> None:
        self._released = True
