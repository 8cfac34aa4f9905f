"""What stands between the GPU's bus and host memory: nothing, or an IOMMU.

With an IOMMU an access of the GPU is translated twice: the GPU's own tables (GGTT, PPGTT) give a bus address, the IOMMU's give the
host's. In an *identity* domain every bus address stands for itself: the second walk is skipped, as it is without an IOMMU.

Source: linux:drivers/iommu/dma-iommu.c, linux:Documentation/userspace-api/iommufd.rst
"""

from __future__ import annotations

from typing import Final, Protocol, final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress

from ...memory import WINDOW_SHIFT, HostMemory

__all__ = ("DirectBus", "GpuBus", "Iommu")

_PAGES: Final = 1 << WINDOW_SHIFT - PAGE_SHIFT


class GpuBus(Protocol):
    """How a host page gets an address on the GPU's bus."""

    def reserve(self, host: BusAddress) -> BusAddress:
        """A bus address for the pinned host page at ``host``, at which the GPU finds it from now on. Raises: ResourceExhausted."""

    def cut(self, bus: BusAddress) -> None:
        """The GPU finds nothing there any more; nobody else gets the address before :meth:`release`."""

    def release(self, bus: BusAddress) -> None:
        """The address is free again."""


@final
class DirectBus:
    """No IOMMU, or an identity domain of one: bus addresses are host addresses."""

    def __init__(self, host_memory: HostMemory) -> None:
        self._host_memory = host_memory

    def reserve(self, host: BusAddress) -> BusAddress:
        return host

    def cut(self, bus: BusAddress) -> None:
        self._host_memory.revoke()

    def release(self, bus: BusAddress) -> None:
        self._host_memory.revoke()


@final
class Iommu:
    """An IOMMU with one domain for the GPU, its addresses in a window of their own; a :class:`~host_model.memory.Backing`."""

    def __init__(self, host_memory: HostMemory) -> None:
        self._host_memory = host_memory
        self._table: dict[int, int] = {}
        """Host address of each mapped page, by page number in the window."""
        self._reserved: set[int] = set()
        self._next = 1
        self.base = host_memory.attach(self, "IOMMUs")
        """Bus address of the window."""
        self.walks = 0
        """Translations that were looked up."""
        self.faults = 0
        """Of those, where nothing was mapped."""

    @property
    def mapped_pages(self) -> int:
        """Pages that the GPU reaches through it."""
        return len(self._table)

    @property
    def reserved_pages(self) -> int:
        """Addresses that are given out, mapped or not."""
        return len(self._reserved)

    # ---- GpuBus ----

    def reserve(self, host: BusAddress) -> BusAddress:
        if len(self._reserved) >= _PAGES - 1:
            held = {"what is mapped": len(self._table), "what its users took back and vGPUs still refer to": len(self._reserved) - len(self._table)}
            raise ResourceExhausted("addresses behind the IOMMU", 1, 0, "pages", f"of {_PAGES - 1}", held)
        number = self._next
        while number in self._reserved:
            number = number + 1 if number + 1 < _PAGES else 1
        # An address that was given back is the last to be given out again: whoever still uses it finds nothing, not another's page.
        self._next = number + 1 if number + 1 < _PAGES else 1
        self._reserved.add(number)
        self._table[number] = host & ~PAGE_MASK
        return BusAddress(self.base + (number << PAGE_SHIFT))

    def cut(self, bus: BusAddress) -> None:
        self._table.pop(self._number(bus), None)
        self._host_memory.revoke()

    def release(self, bus: BusAddress) -> None:
        number = self._number(bus)
        if number not in self._reserved:
            raise StateError(f"releasing bus address {bus:#x}", "free", "given out")
        self._reserved.discard(number)
        self.cut(bus)

    def _number(self, bus: int) -> int:
        return (bus - self.base) >> PAGE_SHIFT

    # ---- the GPU's side ----

    def translate(self, offset: int) -> BusAddress | None:
        """The host's page behind ``offset`` of the window; None, a fault, where nothing is mapped."""
        self.walks += 1
        host = self._table.get(offset >> PAGE_SHIFT)
        if host is None:
            self.faults += 1
            return None
        return BusAddress(host)

    def page(self, offset: int, /) -> memoryview | None:
        host = self.translate(offset)
        return self._host_memory.page(host) if host is not None else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        first = self.translate(offset)
        if first is None:
            return None
        start = offset & ~PAGE_MASK
        for at in range(start + PAGE_SIZE, offset + size, PAGE_SIZE):
            if self.translate(at) != first + at - start:
                return None
        return self._host_memory.span(BusAddress(first + (offset & PAGE_MASK)), size)

    def close(self) -> None:
        """The GPU leaves it. Raises: StateError while addresses are given out."""
        if self._reserved:
            raise StateError("taking the IOMMU away", f"{len(self._reserved)} addresses given out", "none given out")
        self._host_memory.detach(self.base)
