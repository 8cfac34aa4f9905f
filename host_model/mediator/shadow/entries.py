"""How entries of a guest's page tables become entries of their shadows.

Of every table stands beside it what was last seen in the guest's page, and each shadow entry is the translation of the entry seen: so
whatever is refused half-way, tables and pins agree. A guest's page is copied before it is looked at: it may change meanwhile, and hold anything.

All translations are of 4 KiB: pages of 64 KiB and 2 MiB are split, as the guest's memory need not be in one piece for the GPU.

Where this differs from the kernel's mediator, on purpose: an entry that cannot be translated shows scratch, and is refused whenever it is about to
be used (the kernel leaves the old page mapped); a replaced 64 KiB entry lets go of all its 16 pages (the kernel lets go of one); an entry that is
written by halves is looked at when it is used, whatever it held between.

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Final, NoReturn, final

from pvinfo.gtt_entry import (
    ENTRIES_PER_TABLE,
    ENTRY_SIZE,
    FRAME_MASK_2M,
    FRAME_MASK_4K,
    FRAME_MASK_64K,
    PAGE_64K_ENTRIES,
    PageDirectoryEntry,
    PageDirectoryPointerEntry,
    PageTableEntry,
)
from pvinfo.units import PAGE_SIZE, GuestAddress

from ...hypervisor.base import NO_PAGE, HypervisorPort
from ..refusal import Refused
from .changes import changed_entries, changed_places
from .store import TableStore
from .table import DIRECTORY, LARGE_PAGE_TABLE, PAGE_TABLE, SPLIT_PAGE, ShadowTable

__all__ = ("EntryShadows",)

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
"""What an entry says besides where it leads; nearly all of it holds for its shadow."""
_RAM: Final = "an address of guest RAM"


@cache
def _in_each(lane: int, count: int) -> int:
    """``count`` entries of value ``lane``, as one number."""
    return int.from_bytes(lane.to_bytes(ENTRY_SIZE, "little") * count, "little")


@cache
def _layout(count: int) -> struct.Struct:
    """``count`` entries, as bytes."""
    return struct.Struct(f"<{count}Q")


def _place(table: ShadowTable, place: int) -> str:
    """An entry's name and guest address."""
    return f"{_ENTRY_NAMES[table.kind]} {place} at {table.source + ENTRY_SIZE * place:#x}"


@final
class EntryShadows:
    """Brings the tables of a store up to what the guest's tables say."""

    def __init__(self, store: TableStore, port: HypervisorPort) -> None:
        self._store = store
        self._port = port

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
        self._store.written.discard(table)
        try:
            if table.kind == PAGE_TABLE:
                self._take_over_pages(table, now)
            elif table.kind == LARGE_PAGE_TABLE:
                self._take_over_large_pages(table, now)
            else:
                self._take_over_tables(table, now)
        except Refused:
            if self._store.watches:
                self._store.written.add(table)
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
            "ppgtt-not-memory", _place(table, place),
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
            self._store.leave(table, layout.unpack((old & frames).to_bytes(size, "little")))
        elif old & present:
            self._store.let_go(table, layout.unpack(old.to_bytes(size, "little")))
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
        self._store.let_go(table, old)
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
            self._store.unmap(pages)
            self._empty(table, places)
            return False
        part = slice(places.start, places.stop)
        old = table.entries[part].tolist()
        table.entries[part] = array("Q", [entry & _KEPT | _SPLIT_64K | page for page in pages])
        self._store.let_go(table, old)
        return True

    def _empty(self, table: ShadowTable, places: Sequence[int]) -> None:
        """Show scratch where something was, and nothing where nothing has ever been."""
        shadow, scratch = table.entries, self._store.scratch(table.level)
        kept = _KEPT & ~_SPLIT_64K if table.kind == LARGE_PAGE_TABLE else _KEPT
        old: list[int] = []
        for place in places:
            entry = shadow[place]
            if entry & _PRESENT:
                old.append(entry)
                shadow[place] = entry & kept | scratch
                table.emptied = True
        if table.level:
            self._store.let_go_tables(table, old)
        else:
            self._store.let_go(table, old)

    # ---- entries that lead to tables ----

    def _take_over_tables(self, table: ShadowTable, now: bytes) -> None:
        entries = memoryview(now).cast("Q")
        by_entry: dict[int, list[int]] = {}
        for place in changed_places(now, table.seen):
            by_entry.setdefault(entries[place], []).append(place)
        if table.level == DIRECTORY and table.large_pages != self._store.large_pages:
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
                self._store.lead(table, places, child, leading)
            else:
                self._empty(table, places)
            self._see(table, places, entry)
        table.large_pages = self._store.large_pages

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
            if self._store.large_pages and entry & _PAGES_OF_64K:
                kind = LARGE_PAGE_TABLE
        elif table.level == DIRECTORY + 1 and entry & _GIGABYTE_PAGE:
            raise Refused(
                "ppgtt-1g-page", _place(table, places[0]),
                "pages of 1 GiB are not supported", value=entry, nearest=f"{entry & ~_GIGABYTE_PAGE:#x}, a table; its pages may have 2 MiB",
            )  # fmt: skip
        held = self._store.hold(kind, entry & FRAME_MASK_4K, len(places))
        if held is None:
            self._refuse_entry(table, places[0], entry)
        return held, entry & kept | held.address

    def _hold_split(self, table: ShadowTable, entry: int, places: list[int]) -> ShadowTable:
        """The page table that stands for a 2 MiB entry. Raises: Refused."""
        split = self._store.known(SPLIT_PAGE, entry)
        if split is None:
            page = self._store.take_page()
            first = entry & FRAME_MASK_2M
            pages = self._port.map_guest_pages(range(first, first + ENTRIES_PER_TABLE * PAGE_SIZE, PAGE_SIZE))
            if NO_PAGE in pages:
                self._store.unmap(pages)
                self._store.give_up(page)
                raise Refused(
                    "ppgtt-not-memory", _place(table, places[0]),
                    f"of its 2 MiB the guest has no memory at {first + PAGE_SIZE * pages.index(NO_PAGE):#x}", value=entry, nearest=_RAM,
                )  # fmt: skip
            split = self._store.add(ShadowTable(SPLIT_PAGE, entry, page))
            kept = entry & _KEPT & ~_ATTRIBUTE | entry >> _LARGE_ATTRIBUTE_SHIFT & _ATTRIBUTE
            page.entries[:] = array("Q", [kept | leaf for leaf in pages])
        split.references += len(places)
        return split
