"""Translation: the GGTT, and page tables in memory as the GPU walks them.

What was translated once is kept, as in hardware's buffers, until it is invalidated: a table that is rewritten takes
effect with the next invalidation and not before. Entries of the GGTT are held in the GPU itself and take effect at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, final

from pvinfo.gtt_entry import (
    ENTRIES_PER_TABLE,
    FRAME_MASK_1G,
    FRAME_MASK_2M,
    FRAME_MASK_4K,
    FRAME_MASK_64K,
    PAGE_64K_ENTRIES,
    GgttEntry,
    PageDirectoryEntry,
    PageDirectoryPointerEntry,
    PageTableEntry,
)
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress

from ..memory import BusMemory
from .address_space import FaultReason, TranslationFault

__all__ = ("GlobalSpace", "ProcessSpace")

_PRESENT: Final = PageTableEntry.present.mask
_WRITABLE: Final = PageTableEntry.writable.mask
_GIGABYTE_PAGE: Final = PageDirectoryPointerEntry.page_size.mask
_TWO_MEGABYTE_PAGE: Final = PageDirectoryEntry.page_size.mask
_PAGES_OF_64K: Final = PageDirectoryEntry.intermediate_page_size.mask
_GGTT_PRESENT: Final = GgttEntry.present.mask
_INDEX: Final = 511
_ADDRESS_BITS: Final = {3: 32, 4: 48}
_KEPT: Final = 1 << 14
"""Translations that a space remembers. Tables that lead back into themselves map every address there is, and whoever touches
them all must not fill the host's memory: what is remembered is forgotten, as hardware's buffers would have long since."""


_Run = tuple[int, int, int]
"""A piece of an address space that is in one piece on the bus too: bus address, bytes, whether it may be written."""


def _runs_of_pages(entries: list[int], offset: int, size: int, writable: int) -> list[_Run]:
    """The runs that ``entries`` of 4 KiB pages make, from byte ``offset`` of the first on; up to the first that is not present."""
    runs: list[_Run] = []
    first, bus, length, expected = 0, 0, 0, -1
    for entry in entries:
        if entry == expected:
            length += PAGE_SIZE
        else:
            if length:
                runs.append((bus, length, writable & first))
            if not entry & _PRESENT:
                length = 0
                break
            first, bus, length = entry, entry & FRAME_MASK_4K, PAGE_SIZE
        expected = entry + PAGE_SIZE
    if length:
        runs.append((bus, length, writable & first))
    if runs and offset:
        bus, length, right = runs[0]
        runs[0] = (bus + offset, length - offset, right)
    excess = sum(length for _, length, _ in runs) - size
    if excess > 0:
        bus, length, right = runs[-1]
        runs[-1] = (bus, length - excess, right)
    return runs


def _part(address: int, size: int, frame: int, page_size: int, writable: int) -> _Run:
    """What of ``size`` bytes at ``address`` lies in its large page, which is at bus address ``frame``."""
    offset = address & (page_size - 1)
    return frame + offset, min(size, page_size - offset), writable


class _Space(ABC):
    """What both kinds of space share: access to more than a dword, by the memory behind a range."""

    def __init__(self, memory: BusMemory) -> None:
        self._memory = memory
        self._revision = memory.revision
        self.on_denied: Callable[[int], None] | None = None
        """Called with the address of a write to a page that may only be read, once until the next invalidation."""

    @abstractmethod
    def invalidate(self) -> None:
        """Forget every translation."""

    @abstractmethod
    def _runs(self, address: int, size: int) -> list[_Run]:
        """The first runs of ``size`` bytes at ``address``, at least one. Raises: TranslationFault."""

    @abstractmethod
    def _fault(self, address: int, level: int, reason: FaultReason) -> TranslationFault:
        """The fault to raise."""

    def refresh(self) -> None:
        """Forget every translation if memory behind one may have gone meanwhile."""
        revision = self._memory.revision
        if revision != self._revision:
            self._revision = revision
            self.invalidate()

    def _page(self, address: int, bus: int, *, write: bool, writable: int) -> memoryview:
        """The page at bus address ``bus``, in dwords; one to lose writes in where writes are not allowed."""
        page = self._memory.page(BusAddress(bus))
        if page is None:
            raise self._fault(address, 0, FaultReason.NO_MEMORY)
        if write and (not writable or page.readonly):
            page = self._denied(address, page)
        return page.cast("I")

    def _denied(self, address: int, memory: memoryview) -> memoryview:
        if self.on_denied is not None:
            self.on_denied(address)
        return memoryview(bytearray(memory))

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        views: list[memoryview] = []
        start, whole_bus, whole_size, whole_writable = address, 0, 0, 0
        while size > 0:
            for bus, length, writable in self._runs(address, size):
                if whole_size and bus == whole_bus + whole_size and writable == whole_writable:
                    whole_size += length
                else:
                    if whole_size:
                        self._add_views(views, start, whole_bus, whole_size, write=write, writable=whole_writable)
                    start, whole_bus, whole_size, whole_writable = address, bus, length, writable
                address += length
                size -= length
        if whole_size:
            self._add_views(views, start, whole_bus, whole_size, write=write, writable=whole_writable)
        return views

    def _add_views(self, views: list[memoryview], address: int, bus: int, size: int, *, write: bool, writable: int) -> None:
        """Append the memory of a run, which is at ``address``: in one piece if possible, else page by page."""
        whole = self._memory.span(BusAddress(bus), size)
        if whole is not None:
            views.append(self._denied(address, whole) if write and (not writable or whole.readonly) else whole)
            return
        while size > 0:
            page = self._memory.page(BusAddress(bus))
            if page is None:
                raise self._fault(address, 0, FaultReason.NO_MEMORY)
            first = bus & PAGE_MASK
            piece = page[first : min(first + size, PAGE_SIZE)]
            views.append(self._denied(address, piece) if write and (not writable or piece.readonly) else piece)
            address += len(piece)
            bus += len(piece)
            size -= len(piece)

    def read(self, address: int, size: int) -> bytes:
        return b"".join(self.spans(address, size, write=False))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        done = 0
        for view in self.spans(address, len(data), write=True):
            view[:] = data[done : done + len(view)]
            done += len(view)


class _GlobalPage(NamedTuple):
    """A page of graphics memory as it was looked up."""

    entry: int
    readable: memoryview
    writable: memoryview | None
    """None: not looked up for writing yet."""


@final
class GlobalSpace(_Space):
    """The GGTT's space. ``entries`` are the table itself: whoever writes them need not tell."""

    def __init__(self, entries: memoryview, memory: BusMemory) -> None:
        super().__init__(memory)
        self._entries = entries
        self._pages: dict[int, _GlobalPage] = {}
        self._parts: tuple[range, ...] = (range(len(entries)),)

    def apart(self) -> GlobalSpace:
        """The same table and memory, all of it, and nothing remembered in common."""
        return GlobalSpace(self._entries, self._memory)

    def confine(self, parts: Sequence[range] | None) -> None:
        """Let only these graphics addresses lead anywhere; None: all."""
        whole = (range(len(self._entries)),)
        self._parts = whole if parts is None else tuple(range(part.start >> PAGE_SHIFT, part.stop >> PAGE_SHIFT) for part in parts)
        self.invalidate()

    @property
    def size(self) -> int:
        """Bytes of graphics memory."""
        return len(self._entries) << PAGE_SHIFT

    def invalidate(self) -> None:
        self._pages.clear()

    def _fault(self, address: int, level: int, reason: FaultReason) -> TranslationFault:
        return TranslationFault(address, level, reason, global_table=True)

    def _part(self, page: int, address: int) -> range:
        for part in self._parts:
            if page in part:
                return part
        raise self._fault(address, 0, FaultReason.OUTSIDE)

    def _entry(self, address: int) -> int:
        page = address >> PAGE_SHIFT
        self._part(page, address)
        entry = self._entries[page]
        if not entry & _GGTT_PRESENT:
            raise self._fault(address, 0, FaultReason.NOT_PRESENT)
        return entry

    def _runs(self, address: int, size: int) -> list[_Run]:
        self._entry(address)
        page, offset = address >> PAGE_SHIFT, address & PAGE_MASK
        pages = min(offset + size + PAGE_MASK >> PAGE_SHIFT, ENTRIES_PER_TABLE, self._part(page, address).stop - page)
        return _runs_of_pages(self._entries[page : page + pages].tolist(), offset, size, 1)

    def _look_up(self, address: int, *, write: bool) -> _GlobalPage:
        entry = self._entry(address)
        bus = entry & FRAME_MASK_4K
        readable = self._page(address, bus, write=False, writable=1)
        writable = self._page(address, bus, write=True, writable=1) if write else None
        if len(self._pages) >= _KEPT:
            self._pages.clear()
        found = self._pages[address >> PAGE_SHIFT] = _GlobalPage(entry, readable, writable)
        return found

    def dwords(self, address: int, /) -> memoryview:
        page = address >> PAGE_SHIFT
        known = self._pages.get(page)
        if known is None or known[0] != self._entries[page]:
            known = self._look_up(address, write=False)
        return known[1]

    def writable_dwords(self, address: int, /) -> memoryview:
        """As :meth:`dwords`, for writing too."""
        page = address >> PAGE_SHIFT
        known = self._pages.get(page)
        view = known[2] if known is not None and known[0] == self._entries[page] else None
        if view is None:
            view = self._look_up(address, write=True)[2]
            assert view is not None
        return view

    def write_entry(self, page: int, entry: int) -> None:
        """Write the table itself, as a command does; beyond its end nothing happens."""
        if page < len(self._entries):
            self._entries[page] = entry

    def read32(self, address: int, /) -> int:
        return self.dwords(address)[address >> 2 & 1023]

    def write32(self, address: int, value: int, /) -> None:
        self.writable_dwords(address)[address >> 2 & 1023] = value

    def read64(self, address: int, /) -> int:
        return self.read32(address) | self.read32(address + 4) << 32

    def write64(self, address: int, value: int, /) -> None:
        self.writable_dwords(address + 4)[address + 4 >> 2 & 1023] = value >> 32
        self.writable_dwords(address)[address >> 2 & 1023] = value & 0xFFFFFFFF


@final
class ProcessSpace(_Space):
    """A process's space, of four levels of tables or, with 32-bit addresses, of three.

    Every entry on the way must allow writing for the page to be written. A table need not be where its entry says, and
    may well point back at itself: whatever stands there is taken for entries.
    """

    def __init__(self, memory: BusMemory) -> None:
        super().__init__(memory)
        self._levels = 4
        self._roots: tuple[int, ...] = (0,)
        self._page_mask = (1 << 36) - 1
        self._readable: dict[int, memoryview] = {}
        self._for_writing: dict[int, memoryview] = {}
        self._tables: dict[int, memoryview] = {}

    @property
    def roots(self) -> tuple[int, ...]:
        """Bus addresses of the top tables: one of four levels, or the four page directories of three."""
        return self._roots

    def load(self, *roots: int) -> None:
        """Use the tables at ``roots``, one or four; translations are forgotten if they are others than before."""
        known = tuple(root & FRAME_MASK_4K for root in roots)
        if known != self._roots:
            self._levels = 4 if len(known) == 1 else 3
            self._roots = known
            self._page_mask = (1 << _ADDRESS_BITS[self._levels] - PAGE_SHIFT) - 1
            self.invalidate()

    def invalidate(self) -> None:
        self._readable.clear()
        self._for_writing.clear()
        self._tables.clear()

    def _fault(self, address: int, level: int, reason: FaultReason) -> TranslationFault:
        return TranslationFault(address & (self._page_mask << PAGE_SHIFT | PAGE_MASK), level, reason, global_table=False)

    def _table(self, address: int, level: int, bus: int) -> memoryview:
        table = self._tables.get(bus)
        if table is None:
            page = self._memory.page(BusAddress(bus))
            if page is None:
                raise self._fault(address, level, FaultReason.NO_MEMORY)
            if len(self._tables) >= _KEPT:
                self._tables.clear()
            table = self._tables[bus] = page.cast("Q")
        return table

    def _runs(self, address: int, size: int) -> list[_Run]:
        writable = _WRITABLE
        if self._levels == 4:
            table = self._table(address, 3, self._roots[0])
            entry = table[address >> 39 & _INDEX]
            if not entry & _PRESENT:
                raise self._fault(address, 3, FaultReason.NOT_PRESENT)
            writable &= entry
            table = self._table(address, 2, entry & FRAME_MASK_4K)
            entry = table[address >> 30 & _INDEX]
            if not entry & _PRESENT:
                raise self._fault(address, 2, FaultReason.NOT_PRESENT)
            writable &= entry
            if entry & _GIGABYTE_PAGE:
                return [_part(address, size, entry & FRAME_MASK_1G, 1 << 30, writable)]
            directory = entry & FRAME_MASK_4K
        else:
            directory = self._roots[address >> 30 & 3]
        entry = self._table(address, 1, directory)[address >> 21 & _INDEX]
        if not entry & _PRESENT:
            raise self._fault(address, 1, FaultReason.NOT_PRESENT)
        writable &= entry
        if entry & _TWO_MEGABYTE_PAGE:
            return [_part(address, size, entry & FRAME_MASK_2M, 1 << 21, writable)]
        table = self._table(address, 0, entry & FRAME_MASK_4K)
        index = address >> PAGE_SHIFT & _INDEX
        if entry & _PAGES_OF_64K:
            entry = table[index & ~(PAGE_64K_ENTRIES - 1)]
            if not entry & _PRESENT:
                raise self._fault(address, 0, FaultReason.NOT_PRESENT)
            return [_part(address, size, entry & FRAME_MASK_64K, PAGE_64K_ENTRIES * PAGE_SIZE, writable & entry)]
        offset = address & PAGE_MASK
        pages = offset + size + PAGE_MASK >> PAGE_SHIFT
        if pages == 1:
            entry = table[index]
            if entry & _PRESENT:
                return [((entry & FRAME_MASK_4K) + offset, size, writable & entry)]
        runs = _runs_of_pages(table[index : index + pages].tolist(), offset, size, writable)
        if not runs:
            raise self._fault(address, 0, FaultReason.NOT_PRESENT)
        return runs

    # Translations are kept under the page number as it was asked for, be it sign-extended or not: masking it each time
    # would cost more than keeping a page twice.

    def dwords(self, address: int, /) -> memoryview:
        try:
            return self._readable[address >> 12]
        except KeyError:
            return self._look_up(address)

    def _look_up(self, address: int) -> memoryview:
        ((bus, _, _),) = self._runs(address & ~PAGE_MASK, PAGE_SIZE)
        if len(self._readable) >= _KEPT:
            self._readable.clear()
        view = self._readable[address >> PAGE_SHIFT] = self._page(address, bus, write=False, writable=1)
        return view

    def writable_dwords(self, address: int, /) -> memoryview:
        """As :meth:`dwords`, for writing too."""
        try:
            return self._for_writing[address >> 12]
        except KeyError:
            return self._look_up_writable(address)

    def _look_up_writable(self, address: int) -> memoryview:
        ((bus, _, writable),) = self._runs(address & ~PAGE_MASK, PAGE_SIZE)
        if len(self._for_writing) >= _KEPT:
            self._for_writing.clear()
        view = self._for_writing[address >> PAGE_SHIFT] = self._page(address, bus, write=True, writable=writable)
        return view

    def read32(self, address: int, /) -> int:
        try:
            return self._readable[address >> 12][address >> 2 & 1023]
        except KeyError:
            return self._look_up(address)[address >> 2 & 1023]

    def write32(self, address: int, value: int, /) -> None:
        try:
            self._for_writing[address >> 12][address >> 2 & 1023] = value
        except KeyError:
            self._look_up_writable(address)[address >> 2 & 1023] = value

    def read64(self, address: int, /) -> int:
        return self.read32(address) | self.read32(address + 4) << 32

    def write64(self, address: int, value: int, /) -> None:
        index = address >> 2 & 1023
        upper = self.writable_dwords(address + 4) if index == 1023 else None
        try:
            lower = self._for_writing[address >> 12]
        except KeyError:
            lower = self._look_up_writable(address)
        lower[index] = value & 0xFFFFFFFF
        if upper is None:
            lower[index + 1] = value >> 32
        else:
            upper[0] = value >> 32
