"""Graphics memory as the display of a vGPU reads it: its own slices, through the hardware's GGTT."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.units import PAGE_SIZE, BusAddress, GraphicsAddress

from ..gpu.address_space import FaultReason, TranslationFault
from ..gpu.translation import GlobalSpace
from ..hypervisor.base import NO_PAGE
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

    def _check(self, address: int, size: int) -> None:
        if not self._vgpu.ggtt.owns(address, size):
            raise ForeignMemory(address, size, self._vgpu.resources.owned)

    def spans(self, address: int, size: int, *, write: bool = False) -> list[memoryview]:
        self._check(address, size)
        with self._vgpu.mediator.guard.on_behalf_of(self._vgpu.number):
            return self._space.spans(address, size, write=write)

    def hold(self, address: int, size: int) -> _HeldPages:
        """The pages are pinned until they are released."""
        self._check(address, size)
        vgpu = self._vgpu
        guest_pages = []
        for place in range(address, address + size, PAGE_SIZE):
            page = vgpu.ggtt.translate(GraphicsAddress(place))
            if page is None:
                raise TranslationFault(place, 0, FaultReason.NOT_PRESENT, global_table=True)
            guest_pages.append(page)
        found = vgpu.port.map_guest_pages(guest_pages)
        if NO_PAGE in found:
            vgpu.port.unmap_guest_pages([page for page in found if page != NO_PAGE])
            raise TranslationFault(address + PAGE_SIZE * found.index(NO_PAGE), 0, FaultReason.NO_MEMORY, global_table=True)
        return _HeldPages(vgpu, tuple(found))


@final
class _HeldPages:
    def __init__(self, vgpu: Vgpu, bus_addresses: tuple[int, ...]) -> None:
        self._vgpu = vgpu
        self.bus_addresses = bus_addresses
        self._released = False

    def views(self) -> list[memoryview] | None:
        vgpu = self._vgpu
        addresses = [BusAddress(bus) for bus in self.bus_addresses]
        if self._released or not all(map(vgpu.port.pins, addresses)):
            return None
        with vgpu.mediator.guard.on_behalf_of(vgpu.number):
            pages = [vgpu.gpu.memory.page(bus) for bus in addresses]
        found = [page.toreadonly() for page in pages if page is not None]
        return found if len(found) == len(pages) else None

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._vgpu.port.unmap_guest_pages(self.bus_addresses)
