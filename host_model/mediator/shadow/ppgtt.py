"""The address spaces of a guest's processes, and their shadows.

A guest announces an address space by its roots, and a context that is submitted names the same roots. Its shadow is made when it is first
asked for, kept while the guest or a workload refers to the space, and brought up to date whenever a workload is about to use it: where the
port tells of writes by looking at the tables that were written, else by comparing all of them. What the GPU itself writes to a table no port tells.

Where this differs from the kernel's mediator, on purpose: notifications and workloads have references of their own, so that a guest
that says "destroy" once too often takes nothing away from what is running; a root that is not there leads to an empty table of
the host's (the kernel loads 0, and the GPU would take page 0 for a table); there is a limit on the number of spaces.

Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, compress
from operator import ne
from typing import Final, NamedTuple, final

from pvinfo.gtt_entry import (
    FRAME_MASK_2M,
    FRAME_MASK_4K,
    FRAME_MASK_64K,
    PAGE_64K_ENTRIES,
    PageDirectoryEntry,
    PageTableEntry,
    table_index,
)
from pvinfo.registers.gtt import AddressWidthControl, GttRegisters
from pvinfo.units import KIB, MIB, PAGE_MASK, GuestAddress

from ..refusal import Refused
from .entries import EntryShadows
from .pool import ShadowPool
from .store import TableStore
from .table import DIRECTORY, LARGE_PAGE_TABLE, ShadowedVgpu, ShadowTable

__all__ = ("MAX_SPACES", "ROOTS", "KnownSpace", "ProcessTables", "ShadowTables", "ShadowedVgpu")

MAX_SPACES: Final = 4096
"""Address spaces that a guest may have at a time."""
ROOTS: Final = {4: 1, 3: 4}
"""Top tables by levels."""
_TOP: Final = {4: 3, 3: 1}
_GEN_WITH_LARGE_PAGES: Final = 9
_PAGE_SIZE_CONTROL: Final = GttRegisters.gamw_eco_dev_rw_ia.offset >> 2
_UNKNOWN: Final = -1
_ALL_ENGINES: Final = AddressWidthControl.enable_64k_ips.mask
_PRESENT: Final = PageTableEntry.present.mask
_TWO_MEGABYTE_PAGE: Final = PageDirectoryEntry.page_size.mask


class KnownSpace(NamedTuple):
    """An address space as another host has known it."""

    levels: int
    roots: tuple[int, ...]
    announced: int
    """References by the guest's notifications."""
    rank: int
    """Of the shadows, least recently used first, from 1 on; 0: there was none."""


class _Row:
    """The tables of one level of a space; where all must be compared, what was seen of them and the guest's pages, too."""

    def __init__(self, tables: tuple[ShadowTable, ...], pages: list[memoryview]) -> None:
        self.tables = tables
        self.seen = [table.seen for table in tables] if pages else []
        self.pages = pages


@final
class ProcessTables:
    """One address space of a guest's. Made by :class:`ShadowTables`."""

    def __init__(self, levels: int, roots: tuple[int, ...]) -> None:
        self.levels = levels
        """4; or 3, for 32-bit addresses."""
        self.roots = roots
        """What the guest says are its top tables: one, or the four page directories of three levels."""
        self.shadow_roots: tuple[int, ...] = ()
        """Bus addresses for the page directory pointers of the shadow context. Good while the space is pinned."""
        self.announced = 0
        """References by the guest's notifications."""
        self.references = 0
        """References by workloads."""
        self.pins = 0
        self.root_tables: tuple[ShadowTable | None, ...] = ()
        self.rows: list[_Row] = []
        """The tables from the roots on, as of ``structure``, ``memory_revision`` and ``large_pages``."""
        self.members: frozenset[ShadowTable] = frozenset()
        """All of them."""
        self.seen: list[bytearray] = []
        self.pages: list[memoryview] = []
        self.structure = _UNKNOWN
        self.memory_revision = _UNKNOWN
        self.large_pages = False
        self.doomed = False
        """The shadow is dropped as soon as it is not pinned."""

    @property
    def shadowed(self) -> bool:
        """There is a shadow."""
        return bool(self.shadow_roots)


@final
class ShadowTables:
    """All address spaces of one vGPU."""

    def __init__(self, vgpu: ShadowedVgpu, pool: ShadowPool) -> None:
        self._vgpu = vgpu
        self._port = vgpu.port
        self._registers = vgpu.registers.dwords
        self._has_large_pages = vgpu.platform.graphics_version == _GEN_WITH_LARGE_PAGES
        self._store = TableStore(vgpu, pool, self._reclaim)
        self._entries = EntryShadows(self._store, vgpu.port)
        self._spaces: dict[tuple[int, tuple[int, ...]], ProcessTables] = {}
        self._shadowed: dict[ProcessTables, None] = {}
        """Spaces with a shadow, least recently used first."""

    def __len__(self) -> int:
        """Address spaces known."""
        return len(self._spaces)

    @property
    def tables(self) -> int:
        """Shadow tables there are now."""
        return len(self._store)

    # ---- references ----

    @staticmethod
    def _key(levels: int, roots: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        return levels, tuple(roots[: ROOTS[levels]])

    def find(self, levels: int, roots: Sequence[int]) -> ProcessTables | None:
        """The space with these roots, of which the first alone counts with four levels."""
        return self._spaces.get(self._key(levels, roots))

    def create(self, levels: int, roots: Sequence[int]) -> ProcessTables:
        """The guest has announced a space: find or make it. Raises: Refused."""
        tables = self._find_or_make(levels, roots)
        tables.announced += 1
        return tables

    def destroy(self, levels: int, roots: Sequence[int]) -> bool:
        """The guest has announced the end of a space; False when it had not announced its beginning."""
        tables = self.find(levels, roots)
        if tables is None or not tables.announced:
            return False
        tables.announced -= 1
        self._forget_unused(tables)
        return True

    def acquire(self, levels: int, roots: Sequence[int]) -> ProcessTables:
        """A workload's reference to a space, announced or not. Raises: Refused."""
        tables = self._find_or_make(levels, roots)
        tables.references += 1
        return tables

    def release(self, tables: ProcessTables) -> None:
        """Undo one :meth:`acquire`."""
        tables.references = max(tables.references - 1, 0)
        self._forget_unused(tables)

    def _find_or_make(self, levels: int, roots: Sequence[int]) -> ProcessTables:
        key = self._key(levels, roots)
        tables = self._spaces.get(key)
        if tables is not None:
            return tables
        if len(self._spaces) >= MAX_SPACES:
            raise Refused(
                "ppgtt-too-many", f"address space with root {key[1][0]:#x}", "the guest has too many address spaces at a time",
                value=len(self._spaces) + 1, nearest=f"{MAX_SPACES}, after some have been destroyed",
            )  # fmt: skip
        tables = ProcessTables(levels, key[1])
        try:
            self.pin(tables)
        except Refused:
            self._drop_shadow(tables)
            self._store.settle()
            raise
        tables.pins -= 1
        self._spaces[key] = tables
        return tables

    def _forget_unused(self, tables: ProcessTables) -> None:
        if tables.announced or tables.references or tables.pins:
            return
        key = tables.levels, tables.roots
        if self._spaces.get(key) is tables:
            del self._spaces[key]
        self._drop_shadow(tables)
        self._store.settle()

    # ---- use ----

    def pin(self, tables: ProcessTables) -> None:
        """Bring the shadow up to date, and keep it until :meth:`unpin`: the GPU is about to use it.

        Raises: Refused when a table holds what cannot be shadowed; nothing is pinned then.
        """
        tables.pins += 1
        if self._is_current(tables):
            del self._shadowed[tables]
            self._shadowed[tables] = None
            return
        try:
            if not tables.shadowed:
                self._shadow(tables)
            self._shadowed.pop(tables, None)
            self._shadowed[tables] = None
            self._synchronise(tables)
        except Refused:
            tables.pins -= 1
            raise
        finally:
            self._store.settle()

    def unpin(self, tables: ProcessTables) -> None:
        """Undo one :meth:`pin`: the GPU does not use the space any more."""
        if not tables.pins:
            return
        tables.pins -= 1
        if tables.pins:
            return
        if tables.doomed:
            self._drop_shadow(tables)
            self._store.settle()
        if not (tables.announced or tables.references):
            self._forget_unused(tables)

    def _shadow(self, tables: ProcessTables) -> None:
        """Have a table for each root. Raises: Refused, and then there are none."""
        store = self._store
        store.prepare()
        kind = _TOP[tables.levels]
        held: list[ShadowTable | None] = []
        try:
            for number, root in enumerate(tables.roots):
                table = store.hold(kind, root & FRAME_MASK_4K, 1) if root else None
                if root and table is None:
                    raise Refused(
                        "ppgtt-not-memory", f"root {number} of an address space of {tables.levels} levels",
                        "it leads where the guest has no memory", value=root, nearest="an address of guest RAM",
                    )  # fmt: skip
                held.append(table)
        except Refused:
            for table in filter(None, held):
                store.drop(table, 1)
            raise
        tables.root_tables = tuple(held)
        tables.shadow_roots = tuple(store.nothing if table is None else table.address for table in held)
        tables.structure = _UNKNOWN

    def _drop_shadow(self, tables: ProcessTables) -> None:
        for table in filter(None, tables.root_tables):
            self._store.drop(table, 1)
        tables.root_tables = tables.shadow_roots = ()
        tables.structure = _UNKNOWN
        tables.rows, tables.members, tables.seen, tables.pages = [], frozenset(), [], []
        tables.doomed = False
        self._shadowed.pop(tables, None)

    def _reclaim(self) -> bool:
        """Drop the shadow that was used least recently and is not in use; False when there is none."""
        for tables in self._shadowed:
            if not tables.pins:
                self._vgpu.findings.note(
                    "shadow-tables-reclaimed", f"shadow tables of vGPU {self._vgpu.number}",
                    "an address space's shadow was given up for another's; it is made anew when it is used", value=tables.roots[0],
                )  # fmt: skip
                self._drop_shadow(tables)
                self._store.settle()
                return True
        return False

    # ---- synchronisation ----

    def _large_pages(self) -> bool:
        """The guest may use 64 KiB pages: its engines have been told to expect them."""
        return self._has_large_pages and self._registers[_PAGE_SIZE_CONTROL] & _ALL_ENGINES == _ALL_ENGINES

    def _is_current(self, tables: ProcessTables) -> bool:
        """Nothing has changed since the space was last brought up to date. What is asked most often, and mostly true."""
        store = self._store
        if (
            tables.structure != store.structure
            or tables.memory_revision != self._port.memory_revision
            or tables.large_pages != (self._has_large_pages and self._registers[_PAGE_SIZE_CONTROL] & _ALL_ENGINES == _ALL_ENGINES)
        ):
            return False
        return tables.members.isdisjoint(store.written) if store.watches else not any(map(ne, tables.seen, tables.pages))

    def _synchronise(self, tables: ProcessTables) -> None:
        """Bring all tables of a space up to date. Raises: Refused."""
        store = self._store
        store.large_pages = self._large_pages()
        memory_revision = self._port.memory_revision
        structure = store.structure
        known = tables.structure == structure and tables.memory_revision == memory_revision
        rows = self._synchronise_rows(tables, known)
        tables.large_pages = store.large_pages
        if known and store.structure == structure:
            return
        tables.rows, tables.structure, tables.memory_revision = rows, store.structure, memory_revision
        tables.members = frozenset(chain.from_iterable(row.tables for row in rows))
        tables.seen = list(chain.from_iterable(row.seen for row in rows))
        tables.pages = list(chain.from_iterable(row.pages for row in rows))

    def _synchronise_rows(self, tables: ProcessTables, known: bool) -> list[_Row]:
        """Level by level, from the roots: a table that nothing leads to any more is not looked at."""
        store = self._store
        structure = store.structure
        rows: list[_Row] = []
        for depth in range(_TOP[tables.levels] + 1):
            if known and store.structure == structure:
                row = tables.rows[depth]
            else:
                row = self._row(_below(rows[-1].tables) if rows else tuple(dict.fromkeys(filter(None, tables.root_tables))))
            rows.append(row)
            for table in dict.fromkeys(self._changed(row)):
                self._entries.synchronise(table)
        return rows

    def _row(self, tables: tuple[ShadowTable, ...]) -> _Row:
        return _Row(tables, [] if self._store.watches else [self._entries.guest_page(table) for table in tables])

    def _changed(self, row: _Row) -> list[ShadowTable]:
        """Which tables of a row must be looked at."""
        store = self._store
        if store.watches:
            changed = [table for table in row.tables if table in store.written]
        else:
            changed = list(compress(row.tables, map(ne, row.seen, row.pages)))
        if row.tables and row.tables[0].level == DIRECTORY:
            changed += [table for table in row.tables if table.large_pages != store.large_pages]
        return changed

    # ---- what tables say ----

    def translate(self, tables: ProcessTables, address: int) -> GuestAddress | None:
        """Where the guest's tables, as last seen, have ``address`` of the space; None where they have nothing."""
        if not tables.shadowed:
            return None
        level = _TOP[tables.levels]
        table = tables.root_tables[address >> 30 & 3 if tables.levels == 3 else 0]
        while table is not None:
            index = table_index(address, level)
            if table.kind == LARGE_PAGE_TABLE:
                index &= ~(PAGE_64K_ENTRIES - 1)
            entry = table.seen_entries[index]
            if not entry & _PRESENT:
                return None
            if table.kind == LARGE_PAGE_TABLE:
                return GuestAddress(entry & FRAME_MASK_64K | address & 64 * KIB - 1)
            if not level:
                return GuestAddress(entry & FRAME_MASK_4K | address & PAGE_MASK)
            if level == DIRECTORY and entry & _TWO_MEGABYTE_PAGE:
                return GuestAddress(entry & FRAME_MASK_2M | address & 2 * MIB - 1)
            table = self._store.at(table.entries[index])
            level -= 1
        return None

    # ---- resets, and the end ----

    def invalidate(self) -> None:
        """Reset of the whole GT: every shadow is dropped, those in use as soon as they are not; the spaces stay known."""
        for tables in list(self._shadowed):
            if tables.pins:
                tables.doomed = True
            else:
                self._drop_shadow(tables)
        self._store.settle()

    def clear(self) -> None:
        """Device reset, or the end: nothing of this vGPU runs any more. All is forgotten, every guest page is let go."""
        for tables in {**self._shadowed, **dict.fromkeys(self._spaces.values())}:
            tables.announced = tables.references = tables.pins = 0
            self._drop_shadow(tables)
        self._spaces.clear()
        self._store.clear()

    # ---- saved and restored ----

    def known(self) -> list[KnownSpace]:
        """The spaces that the guest has announced, while the GPU uses none."""
        ranks = {tables: rank for rank, tables in enumerate(self._shadowed, 1)}
        return [KnownSpace(tables.levels, tables.roots, tables.announced, ranks.get(tables, 0)) for tables in self._spaces.values() if tables.announced]

    def take_over(self, spaces: Sequence[KnownSpace]) -> None:
        """Know the same spaces, and make the shadows again that there were. What cannot be shadowed any more is told when it is used."""
        for space in spaces:
            tables = self._spaces[self._key(space.levels, space.roots)] = ProcessTables(space.levels, space.roots)
            tables.announced = space.announced
        for space in sorted(spaces, key=lambda space: space.rank):
            if space.rank:
                tables = self._spaces[self._key(space.levels, space.roots)]
                with suppress(Refused):
                    self.pin(tables)
                    tables.pins -= 1


def _below(tables: tuple[ShadowTable, ...]) -> tuple[ShadowTable, ...]:
    """The guest's tables that entries of these lead to, each once."""
    return tuple(child for child in dict.fromkeys(child for table in tables for child in table.children) if child.seen)
