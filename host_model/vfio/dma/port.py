"""The hypervisor port of a vGPU whose user gives it memory through VFIO.

Guest-physical addresses are the user's IO virtual addresses. A page is pinned when the mediator first maps it, and kept for as long as
the mediator does; the user may take its memory back at any time, whereupon the page is unpinned at once and the GPU finds nothing at
its bus address. That address stays taken until the mediator has let it go as often as it had mapped it: what the mediator still has in
a table never comes to lead to another page.

Source: linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_gvt_dma_map_guest_page, intel_vgpu_dma_unmap)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.units import PAGE_MASK, BusAddress, GuestAddress

from ...hypervisor.base import NO_PAGE
from ...hypervisor.called_msi import CalledMsi
from ...memory import HostMemory
from .access import Access
from .iommu import GpuBus

__all__ = ("DmaPort",)


class _Page:
    """A bus address that is given out."""

    __slots__ = ("guests", "references")

    def __init__(self) -> None:
        self.references = 0
        """How often the mediator has it mapped."""
        self.guests: set[int] = set()
        """The guest's pages that are pinned for it; none: they have been taken back."""


@final
class DmaPort(CalledMsi):
    """The mediator's way to the memory behind an :class:`~.access.Access`, which is given by :meth:`connect` once the device is bound.

    Until then, and after, there is no memory. Writes of the guest cannot be tracked: that is the processor's virtualization, not VFIO's.
    """

    can_track_writes = False

    def __init__(self, host_memory: HostMemory, bus: GpuBus) -> None:
        self._host_memory = host_memory
        self._bus = bus
        self._access: Access | None = None
        self._pages: dict[int, _Page] = {}
        """By bus address."""
        self._known: dict[int, int] = {}
        """Bus address of each guest page that is pinned."""
        self._revision = 0
        self.on_leaving: Callable[[], None] | None = None
        """Called when the user closes the device, while its memory is still there: the mediator lets go of it."""
        self.on_exhausted: Callable[[ResourceExhausted], None] | None = None
        """Called when a page cannot be mapped because something ran out, which to the mediator is a page that is not there."""
        self.taken_back = 0
        """Pages that the user took back while the mediator had them mapped."""

    # ---- what the device does ----

    def connect(self, access: Access) -> None:
        """Use ``access``, whose callback is :meth:`unmapped`. Raises: StateError when there is one."""
        if self._access is not None:
            raise StateError("connecting the port", f"connected through {self._access.name}", "disconnected")
        self._access = access

    def disconnect(self) -> None:
        """Every pin is let go, whatever the mediator still maps; there is no memory any more."""
        if self.on_leaving is not None:
            self.on_leaving()
        for guest in list(self._known):
            self._take_back(guest)
        self._access = None
        self._revision += 1

    def unmapped(self, iova: int, size: int) -> None:
        """The user takes a range back: its pages are unpinned now."""
        end = iova + size
        for guest in [guest for guest in self._known if iova <= guest < end]:
            self._take_back(guest)
        self._revision += 1

    def _take_back(self, guest: int) -> None:
        bus = self._known.pop(guest)
        page = self._pages[bus]
        page.guests.discard(guest)
        if not page.guests:
            self._bus.cut(BusAddress(bus))
            self.taken_back += 1
        self._unpin(guest)

    def _unpin(self, guest: int) -> None:
        assert self._access is not None, "what is pinned was pinned through an access"
        self._access.unpin(guest)

    # ---- HypervisorPort ----

    def _reach(self) -> Access | None:
        access = self._access
        return access if access is not None and access.space is not None else None

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        access = self._reach()
        return access.read(address, size) if access is not None else None

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        access = self._reach()
        return access is not None and access.write(address, data)

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        guest = address & ~PAGE_MASK
        bus = self._known.get(guest)
        if bus is None:
            bus = self._pin(guest)
            if bus is None:
                return None
        self._pages[bus].references += 1
        return BusAddress(bus)

    def _pin(self, guest: int) -> int | None:
        access = self._reach()
        if access is None:
            return None
        hosts = None
        try:
            hosts = access.pin(guest)
            if hosts is None:
                return None
            bus = self._bus.reserve(hosts[0])
        except ResourceExhausted as error:
            if hosts is not None:
                access.unpin(guest)
            if self.on_exhausted is not None:
                self.on_exhausted(error)
            return None
        # Without an IOMMU two addresses of the guest may be one page of the host.
        self._pages.setdefault(bus, _Page()).guests.add(guest)
        self._known[guest] = bus
        return bus

    def unmap_guest_page(self, address: BusAddress) -> None:
        bus = address & ~PAGE_MASK
        page = self._pages.get(bus)
        if page is None:
            return
        page.references -= 1
        if page.references:
            return
        for guest in page.guests:
            del self._known[guest]
            self._unpin(guest)
        del self._pages[bus]
        self._bus.release(BusAddress(bus))

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        return [self.map_guest_page(GuestAddress(address)) or NO_PAGE for address in addresses]

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        for address in addresses:
            self.unmap_guest_page(BusAddress(address))

    @property
    def mapped_pages(self) -> int:
        """Guest pages that are pinned now. What was taken back is not."""
        return len(self._known)

    @property
    def lost_pages(self) -> int:
        """Bus addresses that the mediator still has, though their pages have been taken back."""
        return sum(1 for page in self._pages.values() if not page.guests)

    def pins(self, address: BusAddress) -> int:
        page = self._pages.get(address & ~PAGE_MASK)
        if page is None:
            return 0
        if not page.guests and self._host_memory.page(BusAddress(address & ~PAGE_MASK)) is not None:
            # Taken back, but pinned for somebody else at the same address.
            return 0
        return page.references

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        access = self._reach()
        return access.page(address) if access is not None else None

    @property
    def memory_revision(self) -> int:
        return self._revision

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "memory that came through VFIO", "memory whose writes can be tracked")

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "memory that came through VFIO", "memory whose writes can be tracked")
