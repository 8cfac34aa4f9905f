"""The vfio-user port: a virtual machine in another process, whose RAM came as file descriptors (:mod:`.guest_ram`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import final

from pvinfo.errors import StateError
from pvinfo.units import PAGE_MASK, PAGE_SIZE, BusAddress, GuestAddress
from pvinfo.vfio_user import DmaMap

from ..memory import WINDOW_SHIFT, DirectMemory, HostMemory
from .base import NO_PAGE
from .called_msi import CalledMsi
from .guest_ram import GuestRam
from .pins import add_pins, remove_pins

__all__ = ("MonitoredRam", "SharedMachine", "VfioUserPort")


class MonitoredRam:
    """What a monitor shares of its machine's RAM; a :class:`~host_model.vfio.user.device_server.MemoryWindow`."""

    def __init__(self) -> None:
        self.ram = GuestRam()
        self.on_leaving: Callable[[], None] | None = None
        """Called when the monitor has gone, while its memory is still there: who reaches it lets go of it."""

    def map(self, request: DmaMap, fd: int | None) -> None:
        """See :meth:`GuestRam.map`."""
        self.ram.map(request, fd)

    def unmap(self, address: int, size: int) -> None:
        """See :meth:`GuestRam.unmap`."""
        self.ram.unmap(address, size)

    def unmap_all(self) -> None:
        """See :meth:`GuestRam.unmap_all`."""
        self.ram.unmap_all()

    def disconnect(self) -> None:
        """The monitor has gone, and its memory with it."""
        if self.on_leaving is not None:
            self.on_leaving()
        self.ram.disconnect()

    def doubtful_page(self) -> GuestAddress | None:
        """See :meth:`GuestRam.doubtful_page`."""
        return self.ram.doubtful_page()


@final
class VfioUserPort(MonitoredRam, CalledMsi):
    """The mediator's way to a virtual machine behind a vfio-user socket.

    The GPU reaches a page only while the mediator has pinned it, as behind an IOMMU; a range that the monitor takes
    away and brings back meanwhile is reached again. Memory beyond the machine's window on the bus is out of its reach.
    """

    can_track_writes = False

    def __init__(self, host_memory: HostMemory) -> None:
        super().__init__()
        self.ram.on_revoke = host_memory.revoke
        self._host_memory = host_memory
        self._base = host_memory.attach(self)
        self._pins: dict[int, int] = {}

    def disconnect(self) -> None:
        """The monitor has gone, and its memory with it: what the mediator pinned stays out of reach for good."""
        super().disconnect()
        self._pins.clear()

    # ---- HypervisorPort ----

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        return self.ram.read(address, size)

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        return self.ram.write(address, data)

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        (page,) = self.map_guest_pages((address & ~PAGE_MASK,))
        return BusAddress(page) if page else None

    def unmap_guest_page(self, address: BusAddress) -> None:
        self.unmap_guest_pages((address,))

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        reachable = self.ram.pages_to_pin(addresses, 1 << WINDOW_SHIFT)
        base = self._base
        if all(reachable):
            add_pins(self._pins, addresses)
            return [base + address for address in addresses]
        add_pins(self._pins, compress(addresses, reachable))
        return [base + address if there else NO_PAGE for address, there in zip(addresses, reachable, strict=True)]

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        base = self._base
        if remove_pins(self._pins, [address - base for address in addresses]):
            self._host_memory.revoke()

    @property
    def mapped_pages(self) -> int:
        return len(self._pins)

    def pins(self, address: BusAddress) -> int:
        return self._pins.get((address & ~PAGE_MASK) - self._base, 0)

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        return self.ram.page(address)

    @property
    def memory_revision(self) -> int:
        return self.ram.revision

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "a machine in another process", "one whose writes can be tracked")

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "a machine in another process", "one whose writes can be tracked")

    # ---- the GPU's side ----

    def page(self, offset: int, /) -> memoryview | None:
        """The page at guest-physical ``offset``, while it is pinned."""
        return self.ram.page(offset) if offset & ~PAGE_MASK in self._pins else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at guest-physical ``offset``, while each page of them is pinned."""
        pins = self._pins
        if any(page not in pins for page in range(offset & ~PAGE_MASK, offset + size, PAGE_SIZE)):
            return None
        return self.ram.span(offset, size)

    def close(self) -> None:
        """The machine is gone: its memory leaves the GPU's bus."""
        self.disconnect()
        self._host_memory.detach(self._base)


@final
class SharedMachine(MonitoredRam):
    """The memory of a machine behind a vfio-user socket that is handed the physical GPU itself: nothing is pinned or moved.

    ``memory`` is what the GPU sees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = DirectMemory(self.ram)
        self.ram.on_revoke = self.memory.revoke
