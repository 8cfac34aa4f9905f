"""What shadow page tables cost: looking at tables that have not changed, and translating entries that have."""

from __future__ import annotations

import random
import struct
import time
from itertools import cycle

import pytest
from support.figures import Figure, Figures, median_ns, side_by_side
from support.shadow_rig import ShadowRig

from host_model.hypervisor.local import Ram
from host_model.mediator.shadow.ppgtt import ProcessTables, ShadowTables
from pvinfo.gtt_entry import ENTRIES_PER_TABLE, FRAME_MASK_4K
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

pytestmark = pytest.mark.bench

ROUNDS = 40
UNCHANGED_BAR = 2
CHANGED_BAR = 4
PRESENT = 1
ROOT, POINTERS, DIRECTORY, FIRST_TABLE = 0x1000, 0x2000, 0x3000, 0x10_0000
PAGES = 16384
"""64 MiB of guest memory."""


class Plain:
    """The rig's vGPU, with nothing between it and its port."""

    def __init__(self, rig: ShadowRig) -> None:
        self.number, self.platform, self.registers, self.findings = 2, rig.platform, rig.registers, rig.findings
        self.port = rig.port.inner


def space_of(rig: ShadowRig, shadows: ShadowTables, tables: int) -> ProcessTables:
    """A space with so many tables in all, each page table full."""
    rig.chain(ROOT, POINTERS, DIRECTORY)
    rng = random.Random(tables)
    for number in range(tables - 3):
        rig.set(FIRST_TABLE + number * PAGE_SIZE, 0, *(rng.randrange(PAGES) << 12 | 3 for _ in range(ENTRIES_PER_TABLE)))
        rig.set(DIRECTORY, number, FIRST_TABLE + number * PAGE_SIZE | 3)
    return shadows.create(4, (ROOT,))


@pytest.mark.parametrize(
    ("kind", "tables", "bar"),
    [("comparing", 8, None), ("comparing", 16, UNCHANGED_BAR), ("comparing", 40, UNCHANGED_BAR), ("comparing", 400, UNCHANGED_BAR), ("another process", 40, UNCHANGED_BAR)],
)
def test_a_table_that_has_not_changed_costs_a_comparison(kind: str, tables: int, bar: float | None, figures: Figures) -> None:
    """Each figure is a table's part of a whole use of its space. Of the smallest space that is, for a good part, the use itself: it has no bar."""
    rig = ShadowRig(kind, pages=PAGES)
    shadows = ShadowTables(Plain(rig), rig.pool)
    space = space_of(rig, shadows, tables)
    assert shadows.tables == tables
    rng = random.Random(1)
    contents = [rng.randbytes(PAGE_SIZE) for _ in range(tables)]
    pairs = [(content, bytes(bytearray(content))) for content in contents]

    def check(operations: int) -> None:
        pin, unpin = shadows.pin, shadows.unpin
        for _ in range(operations // tables):
            pin(space)
            unpin(space)

    def compare(operations: int) -> None:
        for _ in range(operations // tables):
            for one, other in pairs:
                assert one == other

    ours, least = side_by_side(check, compare, tables * max(4000 // tables, 1), ROUNDS, time.thread_time_ns)
    figure = figures.add(Figure(f"an unchanged page table, one of {tables} ({kind})", ours, "comparison of 4 KiB of bytes", least, bar))
    assert bar is None or figure.ratio <= bar
    rig.close()


def full(rng: random.Random) -> bytes:
    """A table that leads to 512 pages all over memory."""
    return struct.pack("<512Q", *(page << 12 | 3 for page in rng.sample(range(PAGES // 2, PAGES), ENTRIES_PER_TABLE)))


def bare_loop(source: memoryview, target: memoryview) -> None:
    """The least that translating a table can be: each entry read, tested, masked, stored."""
    for index, entry in enumerate(source):
        if entry & PRESENT:
            target[index] = entry & FRAME_MASK_4K


CASES = [
    ("that led nowhere", bytes(PAGE_SIZE)),
    ("that led to the scratch page", struct.pack("<Q", 0x8_0001) * ENTRIES_PER_TABLE),
    ("that led to 512 other pages", full(random.Random(8))),
]


@pytest.mark.parametrize("kind", ["tracking", "comparing"])
@pytest.mark.parametrize(("what", "before"), CASES)
def test_a_table_of_512_changed_entries_costs_a_few_loops_over_it(what: str, before: bytes, kind: str, figures: Figures) -> None:
    """The bar is for shadowing what is new. Where entries led to pages before, these are let go as well: as much again."""
    rig = ShadowRig(kind, pages=PAGES)
    tables = ShadowTables(Plain(rig), rig.pool)
    rig.chain(ROOT, POINTERS, DIRECTORY, FIRST_TABLE)
    space = tables.create(4, (ROOT,))
    after = full(random.Random(9))
    source, target = memoryview(after).cast("Q"), memoryview(bytearray(PAGE_SIZE)).cast("Q")
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.thread_time_ns
    for _ in range(400):
        rig.write(FIRST_TABLE, before)
        tables.pin(space)
        tables.unpin(space)
        rig.write(FIRST_TABLE, after)
        started = clock()
        tables.pin(space)
        tables.unpin(space)
        halfway = clock()
        bare_loop(source, target)
        times[1].append(clock() - halfway)
        times[0].append(halfway - started)
    bar = CHANGED_BAR if what != CASES[2][0] else None
    figure = figures.add(Figure(f"512 changed entries {what} ({kind})", median_ns(times[0], 1), "bare loop over 512 entries", median_ns(times[1], 1), bar))
    assert rig.port.inner.mapped_pages == 512
    assert bar is None or figure.ratio <= bar
    rig.close()


@pytest.mark.parametrize("kind", ["tracking", "comparing"])
def test_one_changed_entry_costs_little_more_than_finding_it(kind: str, figures: Figures) -> None:
    rig = ShadowRig(kind, pages=PAGES)
    tables = ShadowTables(Plain(rig), rig.pool)
    rig.chain(ROOT, POINTERS, DIRECTORY, FIRST_TABLE)
    rig.write(FIRST_TABLE, full(random.Random(8)))
    space = tables.create(4, (ROOT,))
    page = cycle(range(0x100, 0x1000))
    contents = bytes(PAGE_SIZE), bytes(bytearray(PAGE_SIZE))

    def change(operations: int) -> None:
        for _ in range(operations):
            rig.set(FIRST_TABLE, 77, next(page) << 12 | 3)
            tables.pin(space)
            tables.unpin(space)

    def compare(operations: int) -> None:
        one, other = contents
        for _ in range(operations):
            assert one == other

    ours, least = side_by_side(change, compare, 400, ROUNDS, time.thread_time_ns)
    figures.add(Figure(f"one changed entry ({kind})", ours, "comparison of 4 KiB of bytes", least, None))
    rig.close()


def test_writes_to_ram_cost_what_they_cost_when_nothing_is_watched(figures: Figures) -> None:
    watched, plain = Ram(MIB), bytearray(MIB)
    view = memoryview(plain)
    data = bytes(64)

    def write(operations: int) -> None:
        for _ in range(operations):
            watched.write(GuestAddress(0x4000), data)

    def assign(operations: int) -> None:
        for _ in range(operations):
            view[0x4000:0x4040] = data

    ours, least = side_by_side(write, assign, 4000, ROUNDS, time.thread_time_ns)
    figures.add(Figure("a write of 64 bytes to a machine's RAM", ours, "slice assignment", least, None))
