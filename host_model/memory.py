"""Host memory: what the GPU reaches by DMA.

The RAM of the host's own machine begins at 0, where the host's driver has it; what the host keeps for the mediator follows.

Each virtual machine's RAM stands in a window of its own, far from every other, so that a bus address says by itself
whose page it is and a wrong shadow table changes the wrong memory instead of happening to be right.
"""

from __future__ import annotations

import mmap
from collections import Counter
from typing import Final, Protocol, final

from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.system_limits import naming_what_ran_out
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress

from .free_ranges import FreeRanges

__all__ = ("WINDOW_SHIFT", "Backing", "BusMemory", "DirectMemory", "HostBlock", "HostMemory", "holder_name")

WINDOW_SHIFT: Final = 38
"""A window holds 256 GiB; 256 of them fill the 46 address bits of a GPU table entry."""
_WINDOWS: Final = 1 << (46 - WINDOW_SHIFT)
_OFFSET_MASK: Final = (1 << WINDOW_SHIFT) - 1
_OWN_FIRST: Final = 1 << 32
"""First address of the host's own pages: above all that firmware puts below 4 GiB, such as the GPU's stolen memory."""
_MAPPED_PAGES: Final = 64
"""Blocks of so many pages are mapped, and cost nothing where they stay untouched."""


class Backing(Protocol):
    """Memory behind one window, by offset from its start."""

    def page(self, offset: int, /) -> memoryview | None:
        """The whole 4 KiB page at ``offset``, writable unless it is read-only memory; None where there is none."""

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at ``offset`` where they are one piece of memory; None where they are not, or not all there."""


class BusMemory(Protocol):
    """Memory as a device on the bus sees it."""

    @property
    def revision(self) -> int:
        """Changes whenever a page that was handed out may have gone: whoever kept one looks it up anew."""

    def page(self, address: BusAddress, /) -> memoryview | None:
        """The page that holds ``address``, or None where there is no memory."""

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        """``size`` bytes at ``address`` where they are one piece of memory, else None."""


def holder_name(owner: int) -> str:
    """What the owner of something of the host's is called: 0 is the host itself."""
    return f"vGPU {owner}" if owner else "the host"


@final
class HostBlock:
    """Pages of the host's own, in one piece. ``owner`` is the vGPU that they serve; 0: the host itself, or all alike."""

    __slots__ = ("address", "bytes", "owner", "pages")

    def __init__(self, address: BusAddress, pages: int, owner: int) -> None:
        self.address = address
        self.pages = pages
        self.owner = owner
        size = pages * PAGE_SIZE
        self.bytes = memoryview(mmap.mmap(-1, size) if pages >= _MAPPED_PAGES else bytearray(size))


class _OwnMemory:
    """Window 0: scratch pages, shadow tables, contexts, rings and batches; below them the RAM that the host's driver uses."""

    def __init__(self) -> None:
        self.ram: Backing | None = None
        self._free = FreeRanges((range(_OWN_FIRST >> PAGE_SHIFT, 1 << WINDOW_SHIFT - PAGE_SHIFT),))
        self._at: dict[int, HostBlock] = {}
        """The block that holds each page, by page number."""

    def allocate(self, pages: int, owner: int) -> HostBlock:
        first = self._free.take(pages)
        if first is None:
            raise ResourceExhausted("host memory", pages, self._free.longest, "pages", f"in one piece; {self._free.left} in all", self._held())
        try:
            with naming_what_ran_out(pages * PAGE_SIZE):
                block = HostBlock(BusAddress(first << PAGE_SHIFT), pages, owner)
        except ResourceExhausted:
            self._free.give_back(first, pages)
            raise
        for number in range(first, first + pages):
            self._at[number] = block
        return block

    def _held(self) -> dict[str, int]:
        """Pages, by whom they serve."""
        owners = Counter(block.owner for block in self._at.values())
        return {holder_name(owner): pages for owner, pages in owners.items()}

    def release(self, block: HostBlock) -> None:
        first = block.address >> PAGE_SHIFT
        if self._at.get(first) is not block:
            raise StateError(f"releasing the host's {block.pages} pages at {block.address:#x}", "released", "allocated")
        for number in range(first, first + block.pages):
            del self._at[number]
        self._free.give_back(first, block.pages)

    @property
    def pages(self) -> int:
        return len(self._at)

    def block_at(self, offset: int) -> HostBlock | None:
        return self._at.get(offset >> PAGE_SHIFT)

    def page(self, offset: int, /) -> memoryview | None:
        block = self._at.get(offset >> PAGE_SHIFT)
        if block is None:
            return self.ram.page(offset) if self.ram is not None and offset < _OWN_FIRST else None
        start = offset - block.address & ~PAGE_MASK
        return block.bytes[start : start + PAGE_SIZE]

    def span(self, offset: int, size: int, /) -> memoryview | None:
        block = self._at.get(offset >> PAGE_SHIFT)
        if block is None:
            return self.ram.span(offset, size) if self.ram is not None and offset < _OWN_FIRST else None
        start = offset - block.address
        return block.bytes[start : start + size] if start + size <= len(block.bytes) else None


@final
class HostMemory:
    """All memory behind the GPU's bus. Window 0 is the host's own."""

    def __init__(self) -> None:
        self._own = _OwnMemory()
        self._windows: dict[int, Backing] = {0: self._own}
        self._kinds: dict[int, str] = {}
        self._revision = 0

    # ---- the host's own ----

    def allocate(self, pages: int, owner: int = 0) -> HostBlock:
        """Zeroed pages of the host's own, in one piece. Bus address 0 is never handed out.

        Raises: ResourceExhausted when the window has no such piece left.
        """
        return self._own.allocate(pages, owner)

    def release(self, block: HostBlock) -> None:
        """Take a block back; its addresses lead nowhere until they are handed out again.

        Raises: StateError when it was released before.
        """
        self._own.release(block)
        self.revoke()

    def allocate_page(self, owner: int = 0) -> BusAddress:
        """One page, as :meth:`allocate` gives it."""
        return self._own.allocate(1, owner).address

    def release_page(self, address: BusAddress) -> None:
        """Take back the block that begins at ``address``. Raises: StateError where none does."""
        block = self._own.block_at(address)
        if block is None or block.address != address:
            raise StateError(f"releasing the host's page at {address:#x}", "not allocated", "allocated")
        self.release(block)

    @property
    def own_pages(self) -> int:
        """Pages of the host's own that are handed out."""
        return self._own.pages

    def owner_of(self, address: BusAddress) -> int | None:
        """The owner of the host's own page at ``address``; None where the host has no page."""
        block = self._own.block_at(address)
        return block.owner if block is not None else None

    # ---- the RAM of the host's own machine ----

    def attach_ram(self, ram: Backing) -> None:
        """Have ``ram`` of at most 4 GiB at addresses from 0 on. Raises: StateError when there is some already."""
        if self._own.ram is not None:
            raise StateError("attaching the host's RAM", "attached", "detached")
        self._own.ram = ram

    def detach_ram(self) -> None:
        """Take it away; the GPU finds nothing there any more."""
        self._own.ram = None
        self.revoke()

    # ---- windows ----

    def attach(self, backing: Backing, what: str = "memory of machines") -> BusAddress:
        """Give ``backing`` a free window; ``what`` it is, for those who find none left. Raises: ResourceExhausted when all are taken."""
        for number in range(1, _WINDOWS):
            if number not in self._windows:
                self._windows[number] = backing
                self._kinds[number] = what
                return BusAddress(number << WINDOW_SHIFT)
        raise ResourceExhausted("windows of host memory", 1, 0, "windows", f"of {_WINDOWS - 1}", Counter(self._kinds.values()))

    def detach(self, base: BusAddress) -> None:
        """Take the window at ``base`` away; the GPU finds nothing there any more."""
        del self._windows[base >> WINDOW_SHIFT], self._kinds[base >> WINDOW_SHIFT]
        self.revoke()

    def revoke(self) -> None:
        """Pages that were handed out may have gone. Every backing whose memory can shrink says so here."""
        self._revision += 1

    @property
    def revision(self) -> int:
        return self._revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        backing = self._windows.get(address >> WINDOW_SHIFT)
        if backing is None:
            return None
        return backing.page(address & _OFFSET_MASK & ~(PAGE_SIZE - 1))

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        backing = self._windows.get(address >> WINDOW_SHIFT)
        offset = address & _OFFSET_MASK
        if backing is None or offset + size > _OFFSET_MASK + 1:
            return None
        return backing.span(offset, size)


@final
class DirectMemory:
    """The memory of one machine whose GPU is its own: bus addresses are the machine's physical addresses."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._revision = 0

    def revoke(self) -> None:
        """Pages that were handed out may have gone."""
        self._revision += 1

    @property
    def revision(self) -> int:
        return self._revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        return self._backing.page(address & ~(PAGE_SIZE - 1))

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        return self._backing.span(address, size)
