"""The IOMMU domain of one partition: a window of the bus in which its user's addresses are themselves.

The second translation of what the GPU asks for: the GPU's own tables give an address of the domain, the domain gives the host's page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.units import PAGE_MASK, BusAddress

from ....memory import WINDOW_SHIFT, HostMemory
from ...dma.access import Access

__all__ = ("PartitionDomain",)


@final
class PartitionDomain:
    """A :class:`~host_model.memory.Backing` of the bus, and a :class:`~host_model.vfio.memory.DeviceMemory` of the device."""

    def __init__(self, memory: HostMemory, exhausted: Callable[[ResourceExhausted], None]) -> None:
        """``exhausted`` is called when a page cannot be pinned because something ran out: the GPU finds nothing there."""
        self._memory = memory
        self._exhausted = exhausted
        self._access: Access | None = None
        self._pages: dict[int, BusAddress] = {}
        """Host address of each page that is pinned."""
        self.on_leaving: Callable[[], None] | None = None
        """Called when the user closes the device, while its memory is still there: the GPU is taken out of its work."""
        self.base = memory.attach(self, "partitions")
        """Bus address of the user's address 0."""

    @property
    def pinned_pages(self) -> int:
        """Pages that the GPU has asked for."""
        return len(self._pages)

    # ---- what the device does ----

    def connect(self, access: Access) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        if self._access is not None:
            raise StateError("connecting the domain", f"connected through {self._access.name}", "disconnected")
        self._access = access

    def disconnect(self) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        if self.on_leaving is not None:
            self.on_leaving()
        self.let_go()
        self._access = None

    def unmapped(self, iova: int, size: int) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        self._unpin([page for page in self._pages if iova <= page < iova + size])

    def let_go(self) -> None:
        """Nothing is pinned until the GPU asks for it anew."""
        self._unpin(list(self._pages))

    def _unpin(self, pages: list[int]) -> None:
        for page in pages:
            del self._pages[page]
            assert self._access is not None, "what is pinned was pinned through an access"
            self._access.unpin(page)
        self._memory.revoke()

    def close(self) -> None:
        """The partition is no more."""
        self._memory.detach(self.base)

    # ---- the GPU's side ----

    def pins(self, address: BusAddress) -> int:
        """See :class:`~host_model.isolation.Pinned`: the domain's window is the partition's, whatever is mapped there."""
        return 1 if address >> WINDOW_SHIFT == self.base >> WINDOW_SHIFT else 0

    def page(self, offset: int, /) -> memoryview | None:
        """The user's page at ``offset``."""
        host = self._host_page(offset)
        return self._memory.page(host) if host is not None else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at ``offset`` where they are in one page."""
        start = offset & PAGE_MASK
        page = self.page(offset) if start + size <= PAGE_MASK + 1 else None
        return page[start : start + size] if page is not None else None

    def _host_page(self, offset: int) -> BusAddress | None:
        page = offset & ~PAGE_MASK
        known = self._pages.get(page)
        if known is None and self._access is not None and self._access.space is not None:
            try:
                hosts = self._access.pin(page)
            except ResourceExhausted as error:
                self._exhausted(error)
                return None
            if hosts is not None:
                known = self._pages[page] = hosts[0]
        return known
