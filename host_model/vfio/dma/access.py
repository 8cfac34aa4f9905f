"""A mediated device's way into an IO address space: it reads and writes, and pins what its hardware is to reach by itself.

Source: linux:drivers/iommu/iommufd/device.c (iommufd_access), linux:drivers/vfio/vfio_main.c (vfio_pin_pages, vfio_dma_rw)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.units import PAGE_MASK, PAGE_SIZE, BusAddress, GuestAddress

from .space import IoMapping, IoSpace

__all__ = ("Access",)


@final
class Access:
    """One device's access. ``unmapped`` is called with a range, address and size, before that goes: the device then lets go of every
    page that it has pinned there. It may be called at any time, and for ranges of which nothing is pinned.

    Rules for the device: each :meth:`pin` is undone by one :meth:`unpin` of the same page; nothing new is pinned out of a range while
    ``unmapped`` is called for it.
    """

    def __init__(self, name: str, unmapped: Callable[[int, int], None]) -> None:
        self.name = name
        self._unmapped = unmapped
        self._space: IoSpace | None = None
        self._pins: dict[int, list[IoMapping]] = {}
        """What each pin of a page was taken from, by IO virtual address."""
        self._going: tuple[int, int] | None = None

    # ---- which space ----

    @property
    def space(self) -> IoSpace | None:
        """The space it looks into; None: none."""
        return self._space

    def attach(self, space: IoSpace) -> None:
        """Look into ``space`` from now on. Raises: StateError when there is one already."""
        if self._space is not None:
            raise StateError(f"attaching {self.name} to {space.name}", f"attached to {self._space.name}", "detached (or replace the space)")
        self._space = space
        space.accesses.append(self)

    def detach(self) -> None:
        """Look into no space any more; all of the old one goes. Raises: StateError without one, or when the device keeps a page."""
        space = self._require(f"detaching {self.name}")
        for mapping in list(space):
            self.tell(mapping.iova, mapping.size)
        self._space = None
        space.accesses.remove(self)

    def replace(self, space: IoSpace) -> None:
        """Look into ``space`` instead of the present one: all of that one goes first, with no moment without a space for the user.

        Raises: StateError without a present one, or when the device keeps a page.
        """
        old = self._require(f"replacing the space of {self.name}")
        if space is not old:
            self.detach()
            self.attach(space)

    def _require(self, action: str) -> IoSpace:
        if self._space is None:
            raise StateError(action, "detached", "attached to an address space")
        return self._space

    # ---- pins ----

    @property
    def pinned_pages(self) -> int:
        """Pages that are pinned, each counted once."""
        return len(self._pins)

    def pins(self, iova: int) -> int:
        """How often the page at ``iova`` is pinned."""
        return len(self._pins.get(iova & ~PAGE_MASK, ()))

    def pin(self, iova: int, pages: int = 1, *, writable: bool = True) -> list[BusAddress] | None:
        """Pin ``pages`` pages from ``iova`` on: where the host has them. All or none: None where one is not mapped, or not ``writable``
        though that was asked for.

        Raises: StateError while it looks into no space, or the range is just being taken away; ResourceExhausted, with none pinned, when
        the user may have no more memory pinned.
        """
        space = self._require(f"pinning a page for {self.name}")
        start = iova & ~PAGE_MASK
        if self._going is not None and start < self._going[1] and self._going[0] < start + pages * PAGE_SIZE:
            raise StateError(f"pinning {pages} pages at {start:#x} for {self.name}", "the range is being unmapped", "a range that stays")
        found: list[tuple[int, IoMapping]] = []
        for address in range(start, start + pages * PAGE_SIZE, PAGE_SIZE):
            mapping = space.at(address)
            if mapping is None or writable > mapping.writable:
                return None
            found.append((address, mapping))
        hosts: list[BusAddress] = []
        for address, mapping in found:
            try:
                hosts += mapping.memory.pin((mapping.offset + address - mapping.iova,))
            except ResourceExhausted:
                self.unpin(start, len(hosts))
                raise
            self._pins.setdefault(address, []).append(mapping)
        return hosts

    def unpin(self, iova: int, pages: int = 1) -> None:
        """Undo one :meth:`pin` of each page. Raises: StateError, with nothing undone, where a page is not pinned."""
        start = iova & ~PAGE_MASK
        addresses = range(start, start + pages * PAGE_SIZE, PAGE_SIZE)
        for address in addresses:
            if address not in self._pins:
                raise StateError(f"unpinning {address:#x} for {self.name}", "not pinned", "pinned")
        for address in addresses:
            held = self._pins[address]
            mapping = held.pop()
            if not held:
                del self._pins[address]
            mapping.memory.unpin((mapping.offset + address - mapping.iova,))

    # ---- copies ----

    def read(self, iova: int, size: int) -> bytes | None:
        """A copy of ``size`` bytes; None where any of them is not mapped. Raises: StateError while it looks into no space."""
        pieces = self._require(f"reading memory for {self.name}").pieces(iova, size)
        if pieces is None:
            return None
        copy = bytearray()
        for mapping, offset, length in pieces:
            view = mapping.memory.ram.span(offset, length)
            assert view is not None, "a mapping lies in its memory"
            copy += view
        return bytes(copy)

    def write(self, iova: int, data: bytes) -> bool:
        """Store ``data``; False, with nothing stored, where any byte of it is not mapped to be written.

        Raises: StateError while it looks into no space.
        """
        pieces = self._require(f"writing memory for {self.name}").pieces(iova, len(data))
        if pieces is None or not all(mapping.writable for mapping, _, _ in pieces):
            return False
        done = 0
        for mapping, offset, length in pieces:
            mapping.memory.ram.write(GuestAddress(offset), data[done : done + length])
            done += length
        return True

    def page(self, iova: int) -> memoryview | None:
        """The page at ``iova``, to be looked at; None where it is not mapped to be written. Good until the space's ``revision`` changes."""
        mapping = self._space.at(iova) if self._space is not None else None
        if mapping is None or not mapping.writable:
            return None
        return mapping.memory.ram.page(mapping.offset + (iova & ~PAGE_MASK) - mapping.iova)

    # ---- what the space does ----

    def tell(self, iova: int, size: int) -> None:
        """A range goes: have the device let go. Raises: StateError when it keeps a page."""
        self._going = iova, iova + size
        try:
            self._unmapped(iova, size)
        finally:
            self._going = None
        kept = sum(1 for address in self._pins if iova <= address < iova + size)
        if kept:
            raise StateError(f"unmapping {size:#x} bytes at {iova:#x}", f"{self.name} keeps {kept} pages pinned though it was told", "nothing pinned there")
