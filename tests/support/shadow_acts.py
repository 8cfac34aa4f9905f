"""A guest that writes page tables at random, and what the GPU must find in their shadows at any moment."""

from __future__ import annotations

import random

from host_model.mediator.refusal import Refused
from host_model.mediator.shadow.pool import DEFAULT_SHARE
from host_model.mediator.shadow.ppgtt import ProcessTables
from host_model.mediator.shadow.table import ShadowTable
from pvinfo.units import MIB, PAGE_SIZE, BusAddress

from .shadow_rig import GpuView, ShadowRig

__all__ = ("RandomTables",)

PAGES = 1104
"""A little more than 4 MiB, in pages of 64 KiB: two pages of 2 MiB are whole, one is not."""
LEVELS = (range(0x8000, 0xB000, PAGE_SIZE), range(0x5000, 0x8000, PAGE_SIZE), range(0x3000, 0x5000, PAGE_SIZE), range(0x1000, 0x3000, PAGE_SIZE))
"""Where the tables of each level are, when the guest keeps to it."""
TABLES = range(LEVELS[3].start, LEVELS[0].stop, PAGE_SIZE)
FLAGS = (1, 3, 3, 3, 0x1B, 0x9B, 1 << 62 | 3)
INDICES = (0, 1, 2, 3, 15, 16, 17, 32, 256, 510, 511)


class RandomTables:
    """One machine, its spaces, and the acts of its guest.

    Of a thousand entries, ``bad`` lead nowhere, and ``wild`` have no business in a table of their level.
    """

    def __init__(self, seed: int, kind: str, *, bad: int = 0, wild: int = 0, share: int = DEFAULT_SHARE) -> None:
        self.rng = random.Random(seed)
        self.rig = ShadowRig(kind, pages=PAGES, share=share, platform=self.rng.choice(("skl", "skl", "bdw")))
        self.bad = bad
        self.wild = wild
        tops = TABLES if wild else LEVELS[3]
        directories = TABLES if wild else LEVELS[1]
        self.spaces: list[tuple[int, tuple[int, ...]]] = [
            *((4, (self.rng.choice(tops),)) for _ in range(3)), *((3, tuple(self.rng.choice((0, *directories)) for _ in range(4))) for _ in range(2)),
        ]  # fmt: skip
        self.announced: list[tuple[int, tuple[int, ...]]] = []
        self.acquired: list[ProcessTables] = []
        self.pinned: list[ProcessTables] = []
        self.views: dict[ProcessTables, GpuView] = {}
        self.refusals = 0
        self.looked_at = 0
        for page in range(0, PAGES * PAGE_SIZE, PAGE_SIZE):
            if page not in TABLES:
                # No quadword is odd: taken for a table, the page has no entries.
                self.rig.write(page + 8, (self.rng.getrandbits(512) & ~sum(1 << 64 * part for part in range(8))).to_bytes(64, "little"))
        for level in (3, 2, 1):
            for table in LEVELS[level]:
                self.rig.set(table, 0, self.rng.choice(LEVELS[level - 1]) | 3)

    # ---- what the guest writes ----

    def chance(self, of_a_thousand: int) -> bool:
        return self.rng.randrange(1000) < of_a_thousand

    def page(self) -> int:
        """Any page; or one that is none."""
        if self.chance(self.bad):
            return self.rng.choice((PAGES * PAGE_SIZE, self.rng.randrange(1 << 34) << 12))
        return self.rng.choice((self.rng.choice(TABLES), self.rng.randrange(PAGES) << 12))

    def entry(self, level: int) -> int:
        """An entry for a table of ``level``."""
        rng = self.rng
        if self.chance(self.wild):
            level = rng.randrange(4)
        flags = rng.choice(FLAGS)
        if rng.randrange(8) == 0:
            return rng.choice((0, 0, rng.getrandbits(64) & ~1, self.page() | 2))
        if level == 0:
            return self.page() | flags
        if self.chance(self.bad):
            return self.page() | flags & ~0x80
        if level == 1 and rng.randrange(3) == 0:
            whole = rng.choice((0, 2 * MIB)) | rng.choice((0, 1 << 12)) | rng.choice((0, 0x4000))
            return (4 * MIB if self.chance(self.bad) else whole) | flags | 0x80
        return rng.choice(LEVELS[level - 1]) | flags & ~0x80 | (1 << 11 if level == 1 and rng.randrange(3) == 0 else 0)

    def write(self) -> None:
        """A write to a table: an entry, a half, a run, or all of it."""
        rng, rig = self.rng, self.rig
        level = rng.choice((0, 0, 0, 1, 1, 2, 3))
        table, index = rng.choice(LEVELS[level]), rng.choice((*INDICES, rng.randrange(512)))
        kind = rng.randrange(18)
        if kind < 9:
            rig.set(table, index, self.entry(level))
        elif kind == 9:
            rig.write(table + 8 * index + rng.choice((0, 4)), bytes(4))
        elif kind == 10:
            rig.set(table, index, *[self.entry(level)] * rng.randrange(1, 513 - index))
        elif kind == 11:
            first = rng.randrange(PAGES - 512) << 12
            rig.set(rng.choice(LEVELS[0]), 0, *(first + (part << 12) | 3 for part in range(512)))
        elif kind == 12:
            rig.set(rng.choice(LEVELS[0]), index, *(self.page() | 3 for _ in range(rng.randrange(1, 513 - index))))
        elif kind == 13 and rng.randrange(3) == 0:
            rig.write(table, bytes(PAGE_SIZE))
        elif kind == 14:
            rig.write(table, rig.read(rng.choice(TABLES if self.chance(self.wild) else LEVELS[level]), PAGE_SIZE))
        elif kind == 15:
            rig.allow_64k(rng.choice((0, 15, 15)))
        elif kind == 16:
            for index in rng.sample(range(512), rng.randrange(1, 200)):
                rig.set(table, index, self.entry(level))

    # ---- what the guest asks for ----

    def act(self) -> None:
        """One act, and all that must hold after it."""
        rng, tables = self.rng, self.rig.tables
        kind = rng.randrange(20)
        if kind < 8:
            for _ in range(rng.randrange(1, 6)):
                self.write()
        elif kind < 10:
            self._try(rng.choice(self.spaces), announce=True)
        elif kind < 12:
            self._try(rng.choice(self.spaces), announce=False)
        elif kind == 12 and self.announced:
            assert tables.destroy(*self.announced.pop(rng.randrange(len(self.announced))))
        elif kind == 13 and self.acquired:
            tables.release(self.acquired.pop(rng.randrange(len(self.acquired))))
        elif kind == 14 and self.pinned:
            tables.unpin(self.pinned.pop(rng.randrange(len(self.pinned))))
        elif kind == 15 and rng.randrange(4) == 0:
            tables.invalidate()
        elif kind == 16 and rng.randrange(8) == 0:
            self.start_over()
        else:
            self._use_one()
        self._prune()
        self.rig.check()
        self._no_stale_translation()

    def start_over(self) -> None:
        """Device reset."""
        self.rig.tables.clear()
        self.announced.clear()
        self.acquired.clear()
        self.pinned.clear()
        assert self.rig.pinned == {} and self.rig.pool.used(1) == 0

    def _try(self, space: tuple[int, tuple[int, ...]], *, announce: bool) -> None:
        tables = self.rig.tables
        known = tables.find(*space) is not None
        bad = self._may_be_refused(space)
        try:
            made = (tables.create if announce else tables.acquire)(*space)
        except Refused as why:
            assert bad and not known, f"{why} where nothing is wrong"
            assert tables.find(*space) is None
            self.refusals += 1
            return
        assert known or not self.rig.naive.tables([space])[1], "what cannot be shadowed is refused"
        if announce:
            self.announced.append(space)
        else:
            self.acquired.append(made)

    def _use_one(self) -> None:
        space = self.rng.choice(self.spaces)
        tables = self.rig.tables.find(*space)
        if tables is None:
            return
        bad = self._may_be_refused(space)
        try:
            self.rig.tables.pin(tables)
        except Refused as why:
            assert bad, f"{why} where nothing is wrong"
            assert why.rule in ("ppgtt-not-memory", "ppgtt-1g-page", "ppgtt-shadow-memory") and why.value and why.nearest
            self.refusals += 1
            return
        assert not self.rig.naive.tables([space])[1], "what cannot be shadowed is refused"
        self.compare(tables)
        if len(self.pinned) < 4 and self.rng.randrange(3) == 0:
            self.pinned.append(tables)
        else:
            self.rig.tables.unpin(tables)

    # ---- what must hold ----

    def _may_be_refused(self, space: tuple[int, tuple[int, ...]]) -> bool:
        """The space cannot be shadowed, or may not fit beside what must stay: pinned spaces, and what it was itself."""
        naive, rig = self.rig.naive, self.rig
        wanted, bad = naive.tables([space])
        if bad:
            return True
        stays: set[ShadowTable] = set()
        waiting = [table for kept in {*self.pinned, rig.tables.find(*space)} if kept is not None for table in kept.root_tables if table is not None]
        while waiting:
            table = waiting.pop()
            if table not in stays:
                stays.add(table)
                waiting += table.children
        return len(wanted) + naive.huge_entries([space]) + len(stays) + 5 > rig.pool.share

    def compare(self, tables: ProcessTables) -> None:
        """The GPU finds what the guest's tables say."""
        rng, rig, naive = self.rng, self.rig, self.rig.naive
        view = self.views.get(tables)
        if view is None:
            view = self.views[tables] = rig.gpu(tables)
        view.load()
        top = 1 << (48 if tables.levels == 4 else 32)
        addresses = naive.some_addresses(tables.levels, tables.roots, rng, 10)
        for address in (*addresses, *(near % top for at in addresses[:3] for near in (at + PAGE_SIZE, at - PAGE_SIZE)), rng.randrange(top) & ~3):
            leaf = naive.translate(tables.levels, tables.roots, address)
            assert view.page_at(address) == (leaf.guest if leaf is not None else None), hex(address)
            if leaf is None:
                self._look_at_nothing(view, address)
                continue
            self.looked_at += 1
            place = leaf.guest | address & 0xFFC
            assert rig.tables.translate(tables, address) == leaf.guest | address & 0xFFF
            assert view.space.read32(address & ~3) == int.from_bytes(rig.read(place, 4), "little")
            if leaf.guest not in TABLES:
                value = rng.getrandbits(32) & ~1
                before = rig.read(place, 4)
                view.space.write32(address & ~3, value)
                assert rig.read(place, 4) == (value.to_bytes(4, "little") if leaf.writable else before)

    def _look_at_nothing(self, view: GpuView, address: int) -> None:
        """Use an address where nothing is mapped: a fault, or scratch, on which a mark tells it from other pages."""
        if view.bus_at(address) is not None:
            view.space.write32(address & ~3, self.rng.getrandbits(32))
            view.space.read32(address & ~3)

    def _prune(self) -> None:
        """Forget how the GPU saw spaces that have no shadow, or another one than before."""
        for tables, view in list(self.views.items()):
            if tables.shadow_roots != view.space.roots or self.rig.tables.find(tables.levels, tables.roots) is not tables:
                self.rig.on_invalidate.remove(view.space.invalidate)
                del self.views[tables]

    def _no_stale_translation(self) -> None:
        """What the GPU has kept of any space is what it would find now, were it only now to look."""
        for view in self.views.values():
            for page, kept in view.space._readable.items():
                bus = view.bus_at(page << 12)
                assert bus is not None, "an entry was taken away behind the GPU's back"
                found = self.rig.memory.page(BusAddress(bus))
                assert found is not None and bytes(kept) == bytes(found)

    def check_pins(self) -> bool:
        """With all spaces up to date, pins are those that the tables as a whole account for. False when some are refused."""
        known = [space for space in self.spaces if self.rig.tables.find(*space) is not None]
        if self.rig.naive.tables(known)[1] or self.rig.pool.share < DEFAULT_SHARE:
            return False
        for space in known:
            tables = self.rig.tables.find(*space)
            assert tables is not None
            self.rig.tables.pin(tables)
            self.rig.tables.unpin(tables)
        assert self.rig.pinned == self.rig.naive.pins(known)
        return True
