"""Shadow tables: pages of the host's that the GPU walks in place of a guest's page tables.

A shadow table is made for a page of the guest's and the level at which that is used, however many tables or address spaces
lead to it. Of every table stands beside it what was last seen in the guest's page, and each shadow entry is the translation of the
entry seen: so whatever is refused half-way, tables and pins agree. A guest's page is copied before it is looked at, and what is not reached
within the four levels is not looked at: it may change, loop or point anywhere.

All translations are of 4 KiB: pages of 64 KiB and 2 MiB are split, as the guest's memory need not be in one piece for the GPU.

Where this differs from the kernel's mediator, on purpose: tables are known by guest page *and* level (the kernel knows them by page alone,
so that the tables of a guest whose page is used at two levels refer to one shadow made for the wrong one); a table used for 4 KiB and for 64 KiB pages
has a shadow for either (the kernel rewrites the one it has, and loses pins); an entry that cannot be translated shows scratch and is refused
whenever it is about to be used (the kernel leaves the old page mapped); a replaced 64 KiB entry lets go of all its 16 pages (the kernel lets go of one).

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Final, NoReturn, Protocol, final

from pvinfo.finding import FindingLog
from pvinfo.gtt_entry import (
    ENTRIES_PER_TABLE,
    ENTRY_SIZE,
    FRAME_MASK_2M,
    FRAME_MASK_4K,
    FRAME_MASK_64K,
    PAGE_64K_ENTRIES,
    PAGE_CACHED,
    TABLE_CACHED,
    PageDirectoryEntry,
    PageDirectoryPointerEntry,
    PageTableEntry,
)
from pvinfo.platform import Platform
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress, format_size

from ...device.mmio.registers import RegisterPage
from ...hypervisor.base import NO_PAGE, HypervisorPort
from ..refusal import Refused
from .changes import changed_entries, changed_places
from .pool import ShadowPage, ShadowPool

__all__ = ("DIRECTORY", "LARGE_PAGE_TABLE", "PAGE_TABLE", "ShadowTable", "ShadowedVgpu", "TableStore")


class ShadowedVgpu(Protocol):
    """What shadow tables need of the vGPU they are for."""

    @property
    def number(self) -> int:
        """Which one it is."""

    @property
    def platform(self) -> Platform:
        """Which GPU it is."""

    @property
    def registers(self) -> RegisterPage:
        """Its virtual registers."""

    @property
    def port(self) -> HypervisorPort:
        """The way to its guest's memory."""

    @property
    def findings(self) -> FindingLog:
        """Where remarks go."""


PAGE_TABLE: Final = 0
"""Kinds of tables: those of the guest's by level, and two of level 0 besides."""
DIRECTORY: Final = 1
_LEVELS: Final = 4
LARGE_PAGE_TABLE: Final = 4
"""Of level 0, with 64 KiB pages."""
_SPLIT: Final = 5
"""Of level 0, standing for one entry of 2 MiB."""

_ENTRY_NAMES: Final = ("PTE", "PDE", "PDP entry", "PML4 entry", "64 KiB PTE")
_TABLE_NAMES: Final = ("page table", "page directory", "page of directory pointers", "PML4", "page table of 64 KiB pages")

_PRESENT: Final = PageTableEntry.present.mask
_DIRTY: Final = PageTableEntry.dirty.mask
_ATTRIBUTE: Final = PageTableEntry.attribute.mask
_LARGE_ATTRIBUTE_SHIFT: Final = 5
"""From the attribute's highest bit in an entry of a large page (12) to that of a 4 KiB page (7)."""
_GIGABYTE_PAGE: Final = PageDirectoryPointerEntry.page_size.mask
_TWO_MEGABYTE_PAGE: Final = PageDirectoryEntry.page_size.mask
_PAGES_OF_64K: Final = PageDirectoryEntry.intermediate_page_size.mask
_SPLIT_64K: Final = 1 << 52
"""Marks the parts of a split 64 KiB entry; ignored by hardware."""
_KEPT: Final = ((1 << 64) - 1) & ~FRAME_MASK_4K
"""What an entry says besides where its page is; of a page's entry all of it holds for the shadow."""
_RAM: Final = "an address of guest RAM"


@cache
def _in_each(lane: int, count: int) -> int:
    """``count`` entries of value ``lane``, as one number."""
    return int.from_bytes(lane.to_bytes(ENTRY_SIZE, "little") * count, "little")


@cache
def _layout(count: int) -> struct.Struct:
    """``count`` entries, as bytes."""
    return struct.Struct(f"<{count}Q")


@final
class ShadowTable:
    """One page that the GPU walks."""

    __slots__ = ("address", "changed", "children", "emptied", "entries", "kind", "large_pages", "level", "page", "references", "seen", "seen_entries", "source")

    def __init__(self, kind: int, source: int, page: ShadowPage) -> None:
        self.kind = kind
        self.level = kind if kind < _LEVELS else 0
        self.source = source
        """Address of the guest's page; of a split entry the entry."""
        self.page = page
        self.address = page.address
        self.entries = page.entries
        self.seen = bytearray(PAGE_SIZE if kind != _SPLIT else 0)
        """The guest's page as it was when the entries were made, but 0 where one could not be."""
        self.seen_entries = memoryview(self.seen).cast("Q")
        self.references = 0
        """Entries of other tables that lead here, and address spaces that begin here."""
        self.children: dict[ShadowTable, int] = {}
        """Tables that entries lead to, with how many do."""
        self.emptied = False
        """There are entries that show scratch."""
        self.large_pages = False
        """64 KiB pages were allowed when the entries were made."""
        self.changed: Callable[[], None] | None = None
        """What the port calls when the guest writes its page."""


@final
class TableStore:
    """The shadow tables of one vGPU.

    What is no longer used leaves only with :meth:`settle`, which whoever changes tables calls last, after the GPU has been told to forget it.
    """

    def __init__(self, vgpu: ShadowedVgpu, pool: ShadowPool, reclaim: Callable[[], bool]) -> None:
        """``reclaim`` drops tables that are not needed now, and says whether there were such."""
        self._vgpu = vgpu
        self._port = vgpu.port
        self._pool = pool
        self._reclaim = reclaim
        self.watches = vgpu.port.can_track_writes
        """The port tells which tables were written; else all must be compared."""
        self.written: set[ShadowTable] = set()
        """Where the port tells: tables to look at."""
        self.structure = 0
        """Changes whenever some table leads to other tables than before."""
        self.large_pages = False
        """64 KiB pages are allowed."""
        self._known: dict[tuple[int, int], ShadowTable] = {}
        self._at: dict[int, ShadowTable] = {}
        self._scratch: tuple[ShadowPage, ...] = ()
        self._dropped: list[tuple[ShadowTable, int]] = []
        self._leaving: list[int] = []
        self._leaving_tables: list[ShadowPage] = []
        self._replaced = False

    def __len__(self) -> int:
        return len(self._known)

    # ---- tables, by references ----

    def hold(self, kind: int, frame: int, references: int) -> ShadowTable | None:
        """The shadow of the guest's page at ``frame``, with so many references more; None where the guest has no memory.

        Raises: Refused when shadow memory is used up.
        """
        table = self._known.get((kind, frame))
        if table is None:
            if self._port.guest_page(GuestAddress(frame)) is None:
                return None
            table = self._add(ShadowTable(kind, frame, self._take_page()))
            table.large_pages = self.large_pages
            if self.watches:
                table.changed = lambda: self.written.add(table)
                self._port.watch_page(GuestAddress(frame), table.changed)
                self.written.add(table)
        table.references += references
        return table

    def drop(self, table: ShadowTable, references: int) -> None:
        """Undo :meth:`hold`."""
        self._dropped.append((table, references))

    def at(self, entry: int) -> ShadowTable | None:
        """The table that a shadow entry leads to."""
        return self._at.get(entry & FRAME_MASK_4K)

    @property
    def nothing(self) -> BusAddress:
        """A table without any entry present."""
        return self._scratch[_LEVELS].address

    def prepare(self) -> None:
        """Make what every vGPU with tables has: scratch for each level, and an empty table. Raises: Refused."""
        if self._scratch:
            return
        pages: list[ShadowPage] = []
        try:
            while len(pages) <= _LEVELS:
                pages.append(self._take_page())
        except Refused:
            self._leaving_tables += pages
            raise
        for level in range(1, _LEVELS):
            entry = pages[level - 1].address | (PAGE_CACHED if level == PAGE_TABLE + 1 else TABLE_CACHED)
            pages[level].entries[:] = array("Q", [entry]) * ENTRIES_PER_TABLE
        self._scratch = tuple(pages)

    def clear(self) -> None:
        """All tables have been dropped: give up what :meth:`prepare` made, too."""
        self._remove_dropped()
        self._leaving_tables += self._scratch
        self._scratch = ()
        self.settle()

    def settle(self) -> None:
        """Hand back what nothing leads to any more: guest pages to the guest, tables to the pool."""
        self._remove_dropped()
        if not (self._replaced or self._leaving or self._leaving_tables):
            return
        self._pool.invalidate_translations()
        self._replaced = False
        leaving, self._leaving = self._leaving, []
        self._port.unmap_guest_pages(leaving)
        tables, self._leaving_tables = self._leaving_tables, []
        self._pool.give_back(self._vgpu.number, tables)

    def _remove_dropped(self) -> None:
        while self._dropped:
            table, references = self._dropped.pop()
            table.references -= references
            if not table.references:
                self._remove(table)

    def _add(self, table: ShadowTable) -> ShadowTable:
        self._known[table.kind, table.source] = table
        self._at[table.address] = table
        return table

    def _remove(self, table: ShadowTable) -> None:
        del self._known[table.kind, table.source]
        del self._at[table.address]
        if table.changed is not None:
            self._port.unwatch_page(GuestAddress(table.source), table.changed)
            table.changed = None
            self.written.discard(table)
        if table.level:
            self._dropped += table.children.items()
            table.children = {}
        else:
            self._let_go(table, table.entries.tolist())
        self._leaving_tables.append(table.page)

    def _take_page(self) -> ShadowPage:
        page = self._pool.take(self._vgpu.number)
        if page is None:
            self.settle()
            page = self._pool.take(self._vgpu.number)
        while page is None:
            if not self._reclaim():
                limit = self._pool.share
                raise Refused(
                    "ppgtt-shadow-memory", f"shadow tables of vGPU {self._vgpu.number}",
                    "the page tables in use at a time are more than the host keeps shadows of", value=limit,
                    nearest=f"{limit} tables ({format_size(limit * PAGE_SIZE)})",
                )  # fmt: skip
            page = self._pool.take(self._vgpu.number)
        return page

    # ---- entries ----

    def guest_page(self, table: ShadowTable) -> memoryview:
        """The guest's page of a table. Raises: Refused when the guest has lost it."""
        page = self._port.guest_page(GuestAddress(table.source))
        if page is None:
            raise Refused(
                "ppgtt-not-memory", f"{_TABLE_NAMES[table.kind]} at {table.source:#x}",
                "there is no guest memory any more where the table was", value=table.source, nearest=_RAM,
            )  # fmt: skip
        return page

    def synchronise(self, table: ShadowTable) -> None:
        """Bring a table up to what the guest's page holds now.

        Raises: Refused for the first entry that cannot be; the table is looked at again next time.
        """
        now = bytes(self.guest_page(table))
        self.written.discard(table)
        try:
            if table.kind == PAGE_TABLE:
                self._take_over_pages(table, now)
            elif table.kind == LARGE_PAGE_TABLE:
                self._take_over_large_pages(table, now)
            else:
                self._take_over_tables(table, now)
        except Refused:
            if self.watches:
                self.written.add(table)
            raise

    def _take_over_pages(self, table: ShadowTable, now: bytes) -> None:
        changes = changed_entries(now, table.seen)
        entries = memoryview(now).cast("Q")
        bad: list[int] = []
        for run in changes.runs:
            bad += self._replace_run(table, now, run)
        if changes.places:
            bad += self._replace_places(table, entries, changes.places)
        table.seen[:] = now
        self._refuse_pages(table, entries, bad)

    def _take_over_large_pages(self, table: ShadowTable, now: bytes) -> None:
        entries = memoryview(now).cast("Q")
        places = [place for place in changed_places(now, table.seen) if not place % PAGE_64K_ENTRIES]
        bad = [place for place in places if not self._replace_large_page(table, place, entries[place])]
        table.seen[:] = now
        self._refuse_pages(table, entries, bad)

    def _refuse_pages(self, table: ShadowTable, entries: memoryview, bad: list[int]) -> None:
        if bad:
            for place in bad:
                table.seen_entries[place] = 0
            self._refuse_entry(table, bad[0], entries[bad[0]])

    def _refuse_entry(self, table: ShadowTable, place: int, entry: int) -> NoReturn:
        more = "a table" if table.level else "a page"
        raise Refused(
            "ppgtt-not-memory", f"{_ENTRY_NAMES[table.kind]} {place} at {table.source + ENTRY_SIZE * place:#x}",
            f"it leads to {more} where the guest has no memory", value=entry, nearest=_RAM,
        )  # fmt: skip

    def _replace_run(self, table: ShadowTable, now: bytes, run: slice) -> Sequence[int]:
        """Translate entries that follow each other, all at once; returns the places of those that lead nowhere."""
        count = run.stop - run.start
        layout, size = _layout(count), ENTRY_SIZE * count
        part = slice(ENTRY_SIZE * run.start, ENTRY_SIZE * run.stop)
        places = range(run.start, run.stop)
        new = int.from_bytes(now[part], "little")
        present = _in_each(_PRESENT, count)
        if new & present != present:
            return self._replace_places(table, memoryview(now).cast("Q"), places)
        # All entries at once, as one number of many digits: what would be a loop for each step is one operation.
        frames = _in_each(FRAME_MASK_4K, count)
        pages = self._port.map_guest_pages(layout.unpack((new & frames).to_bytes(size, "little")))
        if NO_PAGE in pages:
            return self._fill(table, memoryview(now).cast("Q"), places, pages)
        shadow = table.page.block.bytes
        old = int.from_bytes(shadow[part], "little")
        shadow[part] = (new & _in_each(_KEPT, count) | int.from_bytes(layout.pack(*pages), "little")).to_bytes(size, "little")
        if old & present == present:
            self._leave(table, layout.unpack((old & frames).to_bytes(size, "little")))
        elif old & present:
            self._let_go(table, layout.unpack(old.to_bytes(size, "little")))
        return ()

    def _replace_places(self, table: ShadowTable, entries: memoryview, places: Sequence[int]) -> list[int]:
        """Translate single entries, or empty them; returns the places of those that lead nowhere."""
        absent = [place for place in places if not entries[place] & _PRESENT]
        if absent:
            self._empty(table, absent)
            places = [place for place in places if entries[place] & _PRESENT]
        return self._fill(table, entries, places, self._port.map_guest_pages([entries[place] & FRAME_MASK_4K for place in places]))

    def _fill(self, table: ShadowTable, entries: memoryview, places: Sequence[int], pages: list[int]) -> list[int]:
        """Lead entries to pages that have been mapped; returns the places of those that could not be."""
        shadow = table.entries
        old: list[int] = []
        bad: list[int] = []
        for place, page in zip(places, pages, strict=True):
            if page:
                old.append(shadow[place])
                shadow[place] = entries[place] & _KEPT | page
            else:
                bad.append(place)
        self._let_go(table, old)
        if bad:
            self._empty(table, bad)
        return bad

    def _replace_large_page(self, table: ShadowTable, place: int, entry: int) -> bool:
        """Translate the 64 KiB entry at ``place``, or empty it; False when it leads nowhere."""
        places = range(place, place + PAGE_64K_ENTRIES)
        if not entry & _PRESENT:
            self._empty(table, places)
            return True
        first = entry & FRAME_MASK_64K
        pages = self._port.map_guest_pages(range(first, first + PAGE_64K_ENTRIES * PAGE_SIZE, PAGE_SIZE))
        if NO_PAGE in pages:
            self._leaving += filter(None, pages)
            self._empty(table, places)
            return False
        part = slice(places.start, places.stop)
        old = table.entries[part].tolist()
        table.entries[part] = array("Q", [entry & _KEPT | _SPLIT_64K | page for page in pages])
        self._let_go(table, old)
        return True

    def _empty(self, table: ShadowTable, places: Sequence[int]) -> None:
        """Show scratch where something was, and nothing where nothing has ever been."""
        shadow, scratch = table.entries, self._scratch[table.level].address
        kept = _KEPT & ~_SPLIT_64K if table.kind == LARGE_PAGE_TABLE else _KEPT
        old: list[int] = []
        for place in places:
            entry = shadow[place]
            if entry & _PRESENT:
                old.append(entry)
                shadow[place] = entry & kept | scratch
                table.emptied = True
        if table.level:
            self._let_go_tables(table, old)
        else:
            self._let_go(table, old)

    def _let_go(self, table: ShadowTable, old: Iterable[int]) -> None:
        """Nothing leads any more where these shadow entries of a page table led."""
        pages = [entry & FRAME_MASK_4K for entry in old if entry & _PRESENT]
        if pages:
            self._leave(table, pages)

    def _leave(self, table: ShadowTable, pages: Sequence[int]) -> None:
        self._replaced = True
        if table.emptied:
            scratch = self._scratch[PAGE_TABLE].address
            pages = [page for page in pages if page != scratch]
        self._leaving += pages

    # ---- entries that lead to tables ----

    def _take_over_tables(self, table: ShadowTable, now: bytes) -> None:
        entries = memoryview(now).cast("Q")
        by_entry: dict[int, list[int]] = {}
        for place in changed_places(now, table.seen):
            by_entry.setdefault(entries[place], []).append(place)
        if table.level == DIRECTORY and table.large_pages != self.large_pages:
            for place, entry in enumerate(entries):
                if entry & _PRESENT and entry & _PAGES_OF_64K and entry == table.seen_entries[place]:
                    by_entry.setdefault(entry, []).append(place)
        for entry, places in by_entry.items():
            if entry & _PRESENT:
                try:
                    child, leading = self._follow(table, entry, places)
                except Refused:
                    self._empty(table, places)
                    self._see(table, places, 0)
                    raise
                self._lead(table, places, child, leading)
            else:
                self._empty(table, places)
            self._see(table, places, entry)
        table.large_pages = self.large_pages

    @staticmethod
    def _see(table: ShadowTable, places: list[int], entry: int) -> None:
        for place in places:
            table.seen_entries[place] = entry

    def _follow(self, table: ShadowTable, entry: int, places: list[int]) -> tuple[ShadowTable, int]:
        """The table that entries at ``places`` lead to, held for each of them, and the shadow entry. Raises: Refused."""
        kind = table.level - 1
        kept = _KEPT
        if table.level == DIRECTORY:
            kept &= ~_PAGES_OF_64K
            if entry & _TWO_MEGABYTE_PAGE:
                child = self._hold_split(table, entry, places)
                return child, entry & kept & ~(_TWO_MEGABYTE_PAGE | _DIRTY) | child.address
            if self.large_pages and entry & _PAGES_OF_64K:
                kind = LARGE_PAGE_TABLE
        elif table.level == DIRECTORY + 1 and entry & _GIGABYTE_PAGE:
            raise Refused(
                "ppgtt-1g-page", f"{_ENTRY_NAMES[table.kind]} {places[0]} at {table.source + ENTRY_SIZE * places[0]:#x}",
                "pages of 1 GiB are not supported", value=entry, nearest=f"{entry & ~_GIGABYTE_PAGE:#x}, a table; its pages may have 2 MiB",
            )  # fmt: skip
        held = self.hold(kind, entry & FRAME_MASK_4K, len(places))
        if held is None:
            self._refuse_entry(table, places[0], entry)
        return held, entry & kept | held.address

    def _hold_split(self, table: ShadowTable, entry: int, places: list[int]) -> ShadowTable:
        """The page table that stands for a 2 MiB entry. Raises: Refused."""
        split = self._known.get((_SPLIT, entry))
        if split is None:
            page = self._take_page()
            first = entry & FRAME_MASK_2M
            pages = self._port.map_guest_pages(range(first, first + ENTRIES_PER_TABLE * PAGE_SIZE, PAGE_SIZE))
            if NO_PAGE in pages:
                self._leaving += filter(None, pages)
                self._leaving_tables.append(page)
                place = places[0]
                raise Refused(
                    "ppgtt-not-memory", f"{_ENTRY_NAMES[table.kind]} {place} at {table.source + ENTRY_SIZE * place:#x}",
                    f"of its 2 MiB the guest has no memory at {first + PAGE_SIZE * pages.index(NO_PAGE):#x}", value=entry, nearest=_RAM,
                )  # fmt: skip
            split = self._add(ShadowTable(_SPLIT, entry, page))
            kept = entry & _KEPT & ~_ATTRIBUTE | entry >> _LARGE_ATTRIBUTE_SHIFT & _ATTRIBUTE
            page.entries[:] = array("Q", [kept | leaf for leaf in pages])
        split.references += len(places)
        return split

    def _lead(self, table: ShadowTable, places: list[int], child: ShadowTable, entry: int) -> None:
        """Put the shadow entry in, for ``child`` that is held for it."""
        shadow = table.entries
        old = [shadow[place] for place in places]
        for place in places:
            shadow[place] = entry
        if child not in table.children:
            table.children[child] = 0
            self.structure += 1
        table.children[child] += len(places)
        self._let_go_tables(table, old)

    def _let_go_tables(self, table: ShadowTable, old: list[int]) -> None:
        """Nothing leads any more where these shadow entries led."""
        for entry in old:
            if not entry & _PRESENT:
                continue
            self._replaced = True
            child = self._at.get(entry & FRAME_MASK_4K)
            if child is None:
                continue
            self.drop(child, 1)
            left = table.children[child] - 1
            if left:
                table.children[child] = left
            else:
                del table.children[child]
                self.structure += 1
