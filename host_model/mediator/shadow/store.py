"""The shadow tables of one vGPU: found, counted, and given up in an order in which the GPU never reaches what is not its own.

Where this differs from the kernel's mediator, on purpose: tables are known by guest page *and* level (the kernel knows them by page alone,
so that where a page is used at two levels both lead to the one shadow it has, made for one of them); a table used for 4 KiB and for
64 KiB pages has a shadow for either (the kernel rewrites the one it has, and loses pins).

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from pvinfo.gtt_entry import ENTRIES_PER_TABLE, FRAME_MASK_4K, PAGE_CACHED, TABLE_CACHED, PageTableEntry
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress, format_size

from ..refusal import Refused
from .pool import ShadowPage, ShadowPool
from .table import GUEST_LEVELS, PAGE_TABLE, ShadowedVgpu, ShadowTable

__all__ = ("TableStore",)

_PRESENT: Final = PageTableEntry.present.mask


@final
class TableStore:
    """The shadow tables of one vGPU.

    What is no longer used is handed back by :meth:`settle` only, after the GPU has been told to forget it; whoever changes tables calls it last.
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
            table = self.add(ShadowTable(kind, frame, self.take_page()))
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

    def known(self, kind: int, source: int) -> ShadowTable | None:
        """The table that stands for a page of the guest's, or for an entry."""
        return self._known.get((kind, source))

    def at(self, entry: int) -> ShadowTable | None:
        """The table that a shadow entry leads to."""
        return self._at.get(entry & FRAME_MASK_4K)

    def scratch(self, level: int) -> BusAddress:
        """What an entry of ``level`` shows when it is emptied: the page of scratch, or tables that lead there."""
        return self._scratch[level].address

    @property
    def nothing(self) -> BusAddress:
        """A table without any entry present."""
        return self._scratch[GUEST_LEVELS].address

    def prepare(self) -> None:
        """Make what every vGPU with tables has: scratch for each level, and an empty table. Raises: Refused."""
        if self._scratch:
            return
        pages: list[ShadowPage] = []
        try:
            while len(pages) <= GUEST_LEVELS:
                pages.append(self.take_page())
        except Refused:
            self._leaving_tables += pages
            raise
        for level in range(1, GUEST_LEVELS):
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

    def add(self, table: ShadowTable) -> ShadowTable:
        """Know a new table, to which nothing leads yet."""
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
            self.let_go(table, table.entries.tolist())
        self._leaving_tables.append(table.page)

    def take_page(self) -> ShadowPage:
        """A zeroed page for a table. Raises: Refused when shadow memory is used up."""
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

    # ---- what entries lead to ----

    def lead(self, table: ShadowTable, places: Sequence[int], child: ShadowTable, entry: int) -> None:
        """Have entries at ``places`` be ``entry``, which leads to ``child``, held for each of them."""
        shadow = table.entries
        old = [shadow[place] for place in places]
        for place in places:
            shadow[place] = entry
        if child not in table.children:
            table.children[child] = 0
            self.structure += 1
        table.children[child] += len(places)
        self.let_go_tables(table, old)

    def let_go_tables(self, table: ShadowTable, old: Iterable[int]) -> None:
        """Nothing leads any more where these shadow entries of a table of tables led."""
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

    def let_go(self, table: ShadowTable, old: Iterable[int]) -> None:
        """Nothing leads any more where these shadow entries of a page table led."""
        pages = [entry & FRAME_MASK_4K for entry in old if entry & _PRESENT]
        if pages:
            self.leave(table, pages)

    def leave(self, table: ShadowTable, pages: Sequence[int]) -> None:
        """Nothing leads any more to these pages, from that many entries of a page table; scratch may be among them."""
        self._replaced = True
        if table.emptied:
            scratch = self._scratch[PAGE_TABLE].address
            pages = [page for page in pages if page != scratch]
        self._leaving += pages

    def unmap(self, pages: Iterable[int]) -> None:
        """These pages were mapped in vain; :data:`~host_model.hypervisor.base.NO_PAGE` may be among them."""
        self._leaving += filter(None, pages)

    def give_up(self, page: ShadowPage) -> None:
        """A page was taken in vain."""
        self._leaving_tables.append(page)
