"""Per-process address spaces: page tables of four levels in guest memory, announced to the host where there is one.

With three levels, which hardware has as well, an address has 32 bits and the engine is told of four page directories; they
are there from the beginning and stay.

No entry of a table is ever absent: what is not mapped leads to scratch tables and at last to a scratch page
that reads as zero and drops writes. All address spaces share those of the kernel's own, while there is one.

The host hears of a table when its root is complete, and again before its pages are freed: the root is written
to ``pdp``, then the notification. Everything between is plain writes to memory.
Source: linux:drivers/gpu/drm/i915/gt/gen8_ppgtt.c, linux:drivers/gpu/drm/i915/gt/intel_gtt.c
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, final

from pvinfo.errors import DriverError, UsageError
from pvinfo.execlist import AddressingMode
from pvinfo.gtt_entry import (
    ENTRIES_PER_TABLE,
    ENTRY_SIZE,
    PAGE_CACHED,
    PAGE_SCRATCH,
    PPGTT_LEVELS,
    TABLE_CACHED,
    TABLE_SCRATCH,
    PageDirectoryEntry,
    PageTableEntry,
    table_index,
)
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.units import KIB, MIB, PAGE_SHIFT, PAGE_SIZE, BusAddress, format_size

from .address_space import AddressSpace, Node, Placement
from .memory import Buffer, GuestPages
from .uncore import Uncore

__all__ = ("Mapping", "Ppgtt", "ScratchTables")

_LARGE_SCRATCH: Final = 64 * KIB
_HUGE_PAGE: Final = 2 * MIB
_THREE_LEVELS: Final = 3
_DIRECTORIES: Final = 4
"""Page directories of three levels."""
_ADDRESS_BITS: Final = {_THREE_LEVELS: 32, PPGTT_LEVELS: 48}
_MODES: Final = {_THREE_LEVELS: AddressingMode.LEGACY_32_BIT, PPGTT_LEVELS: AddressingMode.LEGACY_64_BIT}
_FIRST_ADDRESS: Final = 64 * KIB
"""Nothing is put below it unless it is asked for there: address 0 is worth an error."""
_PDP: Final = ((PvInfo.pdp0_lo, PvInfo.pdp0_hi), (PvInfo.pdp1_lo, PvInfo.pdp1_hi), (PvInfo.pdp2_lo, PvInfo.pdp2_hi), (PvInfo.pdp3_lo, PvInfo.pdp3_hi))
_CREATE: Final = {_THREE_LEVELS: Notification.PPGTT_L3_PAGE_TABLE_CREATE, PPGTT_LEVELS: Notification.PPGTT_L4_PAGE_TABLE_CREATE}
_DESTROY: Final = {_THREE_LEVELS: Notification.PPGTT_L3_PAGE_TABLE_DESTROY, PPGTT_LEVELS: Notification.PPGTT_L4_PAGE_TABLE_DESTROY}


@final
class ScratchTables:
    """The page and the tables that stand for everything unmapped, one for each level but the root's."""

    def __init__(self, pages: GuestPages, large_pages: bool) -> None:
        """``large_pages``: tables may hold 64 KiB pages, and then the scratch page has that size, too."""
        self._pages = pages
        size = _LARGE_SCRATCH if large_pages else PAGE_SIZE
        self.page = pages.allocate(size // PAGE_SIZE, "scratch page of the address spaces", alignment=size)
        self.tables: list[Buffer] = []
        """Page table, page directory, directory pointers: each entry of one leads to the one before."""
        self.entries: list[int] = []
        """What an unused entry of a table holds, by the table's level."""
        entry = int(PageTableEntry.pointing_to(BusAddress(self.page.address))) | PAGE_SCRATCH
        for level in range(1, PPGTT_LEVELS):
            table = pages.allocate(1, f"scratch table of level {level}")
            table.fill_entries(entry)
            self.tables.append(table)
            self.entries.append(entry)
            entry = int(PageDirectoryEntry.pointing_to(BusAddress(table.address))) | TABLE_SCRATCH
        self.root_entry = entry
        """What a root is filled with."""
        self.users = 0
        """Address spaces that lead here."""

    def get(self) -> ScratchTables:
        """One more address space leads here."""
        self.users += 1
        return self

    def put(self) -> None:
        """One fewer; the last one frees the tables."""
        self.users -= 1
        if not self.users:
            for table in reversed(self.tables):
                self._pages.release(table)
            self._pages.release(self.page)


class Mapping(NamedTuple):
    """A buffer at its place in an address space."""

    vm: Ppgtt
    node: Node
    buffer: Buffer
    page_size: int
    """How much of it one entry translates."""

    @property
    def address(self) -> int:
        """Virtual address of the buffer's first byte."""
        return self.node.start


@final
class Ppgtt:
    """One address space. It is announced as soon as it exists."""

    def __init__(
        self, uncore: Uncore, pages: GuestPages, scratch: ScratchTables, owner: str,
        *, announce: bool, page_sizes: tuple[int, ...] = (PAGE_SIZE,), levels: int = PPGTT_LEVELS,
    ) -> None:  # fmt: skip
        """``announce``: there is a host to tell. ``page_sizes``: how much one entry may translate (``gen8_ppgtt_create``).

        Raises: UsageError for ``levels`` that hardware does not have; DriverError when memory is used up.
        """
        if levels not in _ADDRESS_BITS:
            raise UsageError(f"page tables of {levels} levels: there are {_THREE_LEVELS} or {PPGTT_LEVELS}")
        self._uncore = uncore
        self._pages = pages
        self._announce = announce
        self.owner = owner
        """Whose address space it is, in words."""
        self.page_sizes = page_sizes
        self.levels = levels
        self.space = AddressSpace(f"address space of {owner}", 1 << _ADDRESS_BITS[levels])
        self._top = levels - 1
        self.root = pages.allocate(1, f"page table root of {owner}")
        """The top table; of three levels the engine never sees it."""
        self.scratch = scratch.get()
        self.root.fill_entries(self._scratch_entry(self._top))
        self._tables: dict[tuple[int, int], Buffer] = {}
        """Tables below the root, by level and by what they begin to translate, in units of what they do."""
        self._used: dict[tuple[int, int], int] = {}
        """Entries of each that lead somewhere."""
        self.entries_written = 0
        """Entries of tables that were made to lead to pages, since the address space was made."""
        self.alive = True
        if levels == _THREE_LEVELS:
            self._make_directories()
        self._notify(_CREATE[levels])

    def _make_directories(self) -> None:
        """Those of three levels, all or none (``gen8_preallocate_top_level_pdp``)."""
        try:
            for number in range(_DIRECTORIES):
                self._table((1, number))
                self._used[1, number] = 1  # it stays, even when it leads nowhere
        except DriverError:
            self._free()
            raise

    @property
    def addressing_mode(self) -> AddressingMode:
        """How an engine is told to translate with it."""
        return _MODES[self.levels]

    @property
    def page_directory_pointers(self) -> tuple[int, ...]:
        """What an engine is told of it: where the top table is, or where the four directories are."""
        if self.levels == PPGTT_LEVELS:
            return (self.root.address,)
        return tuple(self._tables[1, number].address for number in range(_DIRECTORIES))

    def _notify(self, notification: Notification) -> None:
        if not self._announce:
            return
        for (low, high), table in zip(_PDP, self.page_directory_pointers, strict=False):
            self._uncore.write(low, table & 0xFFFF_FFFF)
            self._uncore.write(high, table >> 32)
        self._uncore.write(PvInfo.g2v_notify, notification)

    # ---- mapping ----

    def map(self, buffer: Buffer, *, address: int | None = None, page_size: int = PAGE_SIZE, read_only: bool = False) -> Mapping:
        """Give ``buffer`` a place, or the one at ``address``, and write the entries that lead to it.

        ``page_size`` is what one entry translates: more than a page needs a buffer whose memory is aligned so.

        Raises: UsageError for a page size that this address space does not have, or that buffer and address cannot have;
        DriverError when the place is taken, or memory for tables is used up.
        """
        if page_size not in self.page_sizes:
            sizes = ", ".join(format_size(size) for size in self.page_sizes)
            raise UsageError(f"pages of {format_size(page_size)} in the {self.space.name}: it has {sizes}")
        size = (buffer.size + page_size - 1) & -page_size
        if page_size > PAGE_SIZE and (buffer.address % page_size or buffer.size % page_size or not buffer.contiguous):
            raise UsageError(f"{buffer.owner}: memory of {format_size(buffer.size)} at {buffer.address:#x} is not made of pages of {format_size(page_size)}")
        # A table holds pages of one size, so that pages that are not small have tables to themselves.
        unit = PAGE_SIZE if page_size == PAGE_SIZE else _HUGE_PAGE
        reserved = (size + unit - 1) & -unit
        if address is None:
            node = self.space.insert(reserved, buffer.owner, Placement.LOW, alignment=unit, start=_FIRST_ADDRESS)
        elif address % unit:
            raise UsageError(f"{buffer.owner} at {address:#x}: pages of {format_size(page_size)} begin at multiples of {format_size(unit)}")
        else:
            node = self.space.reserve(address, reserved, buffer.owner)
        mapping = Mapping(self, node, buffer, page_size)
        flags = int(PAGE_CACHED) & ~(PageTableEntry.writable.mask if read_only else 0)
        level = 1 if page_size == _HUGE_PAGE else 0
        self._make_tables(mapping, level)
        self._write(mapping, level, flags | (PageDirectoryEntry.page_size.mask if level else 0))
        return mapping

    def _make_tables(self, mapping: Mapping, level: int) -> None:
        """All tables before the first entry: what cannot be made as a whole leaves nothing behind."""
        try:
            for key, _, _, _ in self._spans(mapping, level):
                self._table(key)
        except DriverError:
            for key in [key for key, used in self._used.items() if not used]:
                self._drop(key, 0)
            self.space.remove(mapping.node)
            raise

    def unmap(self, mapping: Mapping) -> None:
        """Have its entries lead to scratch again, and free tables that lead nowhere. Engines may keep what they translated
        before. Raises: DriverError when it is not mapped here."""
        self.space.remove(mapping.node)
        level = 1 if mapping.page_size == _HUGE_PAGE else 0
        scratch = self._scratch_entry(level)
        for key, first, count, _ in self._spans(mapping, level):
            self._tables[key].write(first * ENTRY_SIZE, scratch.to_bytes(ENTRY_SIZE, "little") * count)
            self._drop(key, count)

    def _spans(self, mapping: Mapping, level: int) -> Iterator[tuple[tuple[int, int], int, int, int]]:
        """The tables of ``level`` that lead to a mapping: which, from which entry on, how many, from which byte of the buffer on."""
        step = PAGE_SIZE << 9 * level
        table = step * ENTRIES_PER_TABLE
        address, end = mapping.address, mapping.address + mapping.buffer.size
        while address < end:
            stop = min((address // table + 1) * table, end)
            yield (level, address // table), address // step % ENTRIES_PER_TABLE, (stop - address) // step, address - mapping.address
            address = stop

    def _write(self, mapping: Mapping, level: int, flags: int) -> None:
        step = PAGE_SIZE << 9 * level
        pages = mapping.buffer.pages
        for key, first, count, offset in self._spans(mapping, level):
            table = self._table(key)
            if level:
                entries = [mapping.buffer.address + offset + step * number | flags for number in range(count)]
            else:
                entries = [int(page) | flags for page in pages[offset >> PAGE_SHIFT : (offset >> PAGE_SHIFT) + count]]
            table.write(first * ENTRY_SIZE, struct.pack(f"<{count}Q", *entries))
            self._used[key] += count
            self.entries_written += count
            if mapping.page_size == _LARGE_SCRATCH:
                self._mark_large(key)

    def _mark_large(self, key: tuple[int, int]) -> None:
        """Have the directory say that a table holds 64 KiB pages."""
        level, number = key
        parent = self._tables[level + 1, number >> 9]
        entry = self._table_entry(self._tables[key]) | PageDirectoryEntry.intermediate_page_size.mask
        parent.write(number % ENTRIES_PER_TABLE * ENTRY_SIZE, entry.to_bytes(ENTRY_SIZE, "little"))

    # ---- tables ----

    @staticmethod
    def _table_entry(table: Buffer) -> int:
        return int(PageDirectoryEntry.pointing_to(BusAddress(table.address))) | TABLE_CACHED

    def _scratch_entry(self, level: int) -> int:
        """What an unused entry of a table of ``level`` holds."""
        return self.scratch.root_entry if level == PPGTT_LEVELS - 1 else self.scratch.entries[level]

    def _parent(self, key: tuple[int, int]) -> Buffer:
        level, number = key
        return self.root if level + 1 == self._top else self._tables[level + 1, number >> 9]

    def _table(self, key: tuple[int, int]) -> Buffer:
        """The table called ``key``, made with those above it if need be."""
        table = self._tables.get(key)
        if table is not None:
            return table
        level, number = key
        above = (level + 1, number >> 9)
        if level + 1 < self._top:
            self._table(above)
        table = self._pages.allocate(1, f"page table of {self.owner}")
        table.fill_entries(self._scratch_entry(level))
        self._tables[key] = table
        self._used[key] = 0
        self._parent(key).write(number % ENTRIES_PER_TABLE * ENTRY_SIZE, self._table_entry(table).to_bytes(ENTRY_SIZE, "little"))
        if level + 1 < self._top:
            self._used[above] += 1
        return table

    def _drop(self, key: tuple[int, int], count: int) -> None:
        """``count`` entries of a table lead nowhere any more."""
        self._used[key] -= count
        if self._used[key]:
            return
        level, number = key
        scratch = self._scratch_entry(level + 1)
        self._parent(key).write(number % ENTRIES_PER_TABLE * ENTRY_SIZE, scratch.to_bytes(ENTRY_SIZE, "little"))
        del self._used[key]
        self._pages.release(self._tables.pop(key))
        if level + 1 < self._top:
            self._drop((level + 1, number >> 9), 1)

    def entry_at(self, address: int, level: int) -> int | None:
        """The entry of a table of ``level`` (0 is the page table) that translates ``address``; None where there is no table."""
        if level == self._top:
            table: Buffer | None = self.root
        else:
            table = self._tables.get((level, address >> (PAGE_SHIFT + 9 * (level + 1))))
        if table is None:
            return None
        return int.from_bytes(table.read(table_index(address, level) * ENTRY_SIZE, ENTRY_SIZE), "little")

    # ---- the end ----

    def release(self) -> None:
        """Tell the host, then free the tables (``gen8_ppgtt_cleanup``). Raises: DriverError the second time."""
        if not self.alive:
            raise DriverError(f"the address space of {self.owner} is released already")
        self.alive = False
        self._notify(_DESTROY[self.levels])
        self._free()

    def _free(self) -> None:
        for table in self._tables.values():
            self._pages.release(table)
        self._tables = {}
        self._used = {}
        self._pages.release(self.root)
        self.scratch.put()
