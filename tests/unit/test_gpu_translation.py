"""Translation: the GGTT, page tables of every shape, what is remembered of them, and what garbage in them leads to."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import pytest
from support.gpu_rig import IPS, PRESENT_WRITABLE, PS, READ_ONLY, GpuRig, Tables

from host_model.gpu import translation
from host_model.gpu.address_space import FaultReason, TranslationFault
from host_model.gpu.translation import ProcessSpace
from host_model.hypervisor.local import Ram
from host_model.memory import HostMemory
from pvinfo.gtt_entry import canonical
from pvinfo.units import PAGE_SIZE

MIB_2 = 1 << 21
GIB_1 = 1 << 30


def space_of(rig: GpuRig, tables: Tables) -> ProcessSpace:
    space = ProcessSpace(rig.memory)
    space.load(tables.root)
    return space


def faulting(access: Callable[[], object]) -> TranslationFault:
    with pytest.raises(TranslationFault) as caught:
        access()
    return caught.value


# ---- page sizes ----


@pytest.mark.parametrize("address", [0, 0x1234_5678_9000, canonical(0xFFFF_FFFF_F000), 0x7FFF_FFFF_F000])
def test_a_page_of_4_kib_is_reached_through_four_levels(address: int) -> None:
    rig = GpuRig()
    tables = Tables(rig)
    bus = rig.page()
    tables.map(address & (1 << 48) - 1, bus)
    space = space_of(rig, tables)
    space.write32(address + 0x10, 0xCAFE)
    space.write64(address + 0x18, 0x1122_3344_5566_7788)
    assert rig.peek(bus + 0x10) == [0xCAFE]
    assert rig.peek(bus + 0x18, 2) == [0x5566_7788, 0x1122_3344]
    assert space.read32(address + 0x10) == 0xCAFE
    assert space.read64(address + 0x18) == 0x1122_3344_5566_7788


def test_a_directory_entry_for_64_kib_pages_makes_the_table_count_in_sixteens() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    address = 0x40_0000
    aligned = rig.page(32) + 0xFFFF & ~0xFFFF
    table = tables.table(address, 0)
    tables.set(address, 1, table | PRESENT_WRITABLE | IPS)
    tables.entries(table)[0] = aligned | PRESENT_WRITABLE
    tables.entries(table)[3] = 0xDEAD_BEEF_000  # not looked at
    space = space_of(rig, tables)
    space.write32(address + 0x3004, 1)
    space.write32(address + 0xFFFC, 2)
    assert rig.peek(aligned + 0x3004) == [1]
    assert rig.peek(aligned + 0xFFFC) == [2]
    assert faulting(lambda: space.read32(address + 0x10000)).reason is FaultReason.NOT_PRESENT


@pytest.mark.parametrize(("level", "size"), [(1, MIB_2), (2, GIB_1)])
def test_an_entry_of_an_upper_level_may_point_at_a_page_itself(level: int, size: int) -> None:
    memory = HostMemory()
    rig = GpuRig(memory=memory)
    tables = Tables(rig)
    ram = Ram(2 * MIB_2)
    base = memory.attach(ram)
    address = 5 * GIB_1
    tables.set(address, level, base | PRESENT_WRITABLE | PS)
    space = space_of(rig, tables)
    space.write32(address + 0x12_3458, 7)
    assert memoryview(ram.read(0x12_3458, 4)).cast("I")[0] == 7  # type: ignore[arg-type]
    (span,) = space.spans(address + 0x10_0000, 0x8_0000, write=False)
    assert len(span) == 0x8_0000
    assert memoryview(span[0x2_3458:0x2_345C]).cast("I")[0] == 7
    assert level == 1 or space.read32(address + MIB_2) == 0


def test_three_levels_begin_at_the_four_directories_and_know_32_address_bits() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    directories = [tables.table(index * GIB_1, 1) for index in range(4)]
    bus = rig.page()
    tables.map(3 * GIB_1 + 0x5000, bus)
    space = ProcessSpace(rig.memory)
    space.load(*directories)
    space.write32(3 * GIB_1 + 0x5008, 9)
    assert rig.peek(bus + 8) == [9]
    assert space.read32((7 << 32) + 3 * GIB_1 + 0x5008) == 9
    fault = faulting(lambda: space.read32(2 * GIB_1))
    assert (fault.level, fault.reason, fault.address) == (1, FaultReason.NOT_PRESENT, 2 * GIB_1)


# ---- faults ----


@pytest.mark.parametrize("level", [3, 2, 1, 0])
def test_a_fault_names_the_address_and_the_level_that_has_no_entry(level: int) -> None:
    rig = GpuRig()
    tables = Tables(rig)
    address = 0xFFFF_8012_3456_7000
    tables.map(address & (1 << 48) - 1, rig.page())
    tables.set(address & (1 << 48) - 1, level, 0)
    fault = faulting(lambda: space_of(rig, tables).read32(address + 0x24))
    assert (fault.level, fault.reason, fault.global_table) == (level, FaultReason.NOT_PRESENT, False)
    assert fault.address & ~0xFFF == address & (1 << 48) - 1


def test_an_entry_that_points_where_no_memory_is_faults() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    tables.map(0x1000, 60 << 40)
    fault = faulting(lambda: space_of(rig, tables).read32(0x1000))
    assert (fault.level, fault.reason) == (0, FaultReason.NO_MEMORY)
    assert faulting(lambda: space_of(rig, tables).spans(0x1000, 64, write=False)).reason is FaultReason.NO_MEMORY


def test_a_span_that_runs_into_a_hole_faults_at_the_hole() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    tables.map(0x10000, rig.page(2), pages=2)
    fault = faulting(lambda: space_of(rig, tables).spans(0x10800, 0x2000, write=True))
    assert fault.address == 0x12000


# ---- rights ----


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_page_is_writable_only_if_every_level_says_so_and_other_writes_are_lost(level: int) -> None:
    rig = GpuRig()
    tables = Tables(rig)
    bus = rig.page()
    tables.map(0x5000, bus)
    entry = tables.entries(tables.table(0x5000, level))
    entry[0x5 if level == 0 else 0] &= ~2
    space = space_of(rig, tables)
    denied: list[int] = []
    space.on_denied = denied.append
    rig.poke(bus, 11, 22)
    space.write32(0x5000, 99)
    space.write64(0x5000, 99)
    for view in space.spans(0x5000, 8, write=True):
        assert bytes(view[:4]) == (11).to_bytes(4, "little")  # what is there can be read
        view[:] = bytes(len(view))
    assert rig.peek(bus, 2) == [11, 22]
    assert space.read32(0x5000) == 11
    assert denied[0] == 0x5000


def test_memory_that_may_only_be_read_loses_what_the_gpu_writes() -> None:
    class Rom:
        def __init__(self) -> None:
            self.view = memoryview(bytes(range(256)) * 32)

        def page(self, offset: int, /) -> memoryview | None:
            return self.view[offset : offset + PAGE_SIZE] if offset < len(self.view) else None

        def span(self, offset: int, size: int, /) -> memoryview | None:
            return self.view[offset : offset + size] if offset + size <= len(self.view) else None

    rig = GpuRig()
    tables = Tables(rig)
    base = rig.memory.attach(Rom())
    tables.map(0x8000, base)
    rig.entries[9] = base | 1
    space = space_of(rig, tables)
    space.write32(0x8000, 0)
    rig.ggtt.write32(0x9000, 0)
    assert space.read32(0x8000) == rig.ggtt.read32(0x9000) == 0x03020100
    (view,) = rig.ggtt.spans(0x9000, 4, write=True)
    view[0] = 9
    assert rig.ggtt.read(0x9000, 2) == b"\x00\x01"


# ---- bulk ----


def test_spans_join_pages_that_follow_each_other_on_the_bus() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    bus = rig.page(1200)
    tables.map(MIB_2 - 8 * PAGE_SIZE, bus, pages=600)
    (span,) = space_of(rig, tables).spans(MIB_2 - 8 * PAGE_SIZE + 4, 600 * PAGE_SIZE - 8, write=True)
    span[-4:] = b"last"
    assert rig.ram.read(bus + 600 * PAGE_SIZE - 8 - rig.base, 4) == b"last"  # type: ignore[arg-type]


def test_spans_of_scattered_pages_are_in_order_and_hold_every_byte_once() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    order = list(range(40))
    random.Random(3).shuffle(order)
    first = rig.page(40)
    for index, place in enumerate(order):
        tables.map(0x40000 + index * PAGE_SIZE, first + place * PAGE_SIZE)
        rig.poke(first + place * PAGE_SIZE, index)
    space = space_of(rig, tables)
    views = space.spans(0x40000, 40 * PAGE_SIZE, write=False)
    data = b"".join(views)
    assert len(data) == 40 * PAGE_SIZE
    assert [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), PAGE_SIZE)] == list(range(40))
    assert space.read(0x40FFE, 4) == data[0xFFE:0x1002]
    space.write(0x40FFE, b"\x01\x02\x03\x04")
    assert space.read(0x40FFC, 8) == data[0xFFC:0xFFE] + b"\x01\x02\x03\x04" + data[0x1002:0x1004]


def test_a_quadword_across_pages_goes_to_both() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    low, _, high = rig.page(), rig.page(), rig.page()
    tables.map(0x7000, low)
    tables.map(0x8000, high)
    space = space_of(rig, tables)
    space.write64(0x7FFC, 0xAAAA_BBBB_CCCC_DDDD)
    assert (rig.peek(low + 0xFFC), rig.peek(high)) == ([0xCCCC_DDDD], [0xAAAA_BBBB])
    assert space.read64(0x7FFC) == 0xAAAA_BBBB_CCCC_DDDD


# ---- what is remembered ----


def test_a_rewritten_entry_takes_effect_with_the_next_invalidation_and_not_before() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    old, new = rig.page(), rig.page()
    rig.poke(old, 1)
    rig.poke(new, 2)
    tables.map(0x3000, old)
    space = space_of(rig, tables)
    assert space.read32(0x3000) == 1
    space.write32(0x3004, 5)
    tables.map(0x3000, new)
    assert space.read32(0x3000) == 1
    space.invalidate()
    assert space.read32(0x3000) == 2
    space.write32(0x3004, 6)
    assert (rig.peek(old + 4), rig.peek(new + 4)) == ([5], [6])


def test_another_root_forgets_and_the_same_root_remembers() -> None:
    rig = GpuRig()
    first, second = Tables(rig), Tables(rig)
    pages = [rig.page() for _ in range(3)]
    for number, page in enumerate(pages):
        rig.poke(page, number)
    first.map(0, pages[0])
    second.map(0, pages[1])
    space = space_of(rig, first)
    assert space.read32(0) == 0
    first.map(0, pages[2])
    space.load(first.root)
    assert space.read32(0) == 0
    space.load(second.root)
    assert space.read32(0) == 1
    space.load(first.root)
    assert space.read32(0) == 2


def test_memory_that_has_gone_is_not_reached_through_what_was_remembered() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    other = rig.memory.attach(Ram(PAGE_SIZE))
    tables.map(0x6000, other)
    rig.entries[6] = other | 1
    space = space_of(rig, tables)
    space.write32(0x6000, 1)
    rig.ggtt.write32(0x6000, 1)
    rig.memory.detach(other)
    for remembered in (space, rig.ggtt):
        remembered.refresh()
        assert faulting(lambda space=remembered: space.read32(0x6000)).reason is FaultReason.NO_MEMORY  # type: ignore[misc]
        assert faulting(lambda space=remembered: space.write32(0x6000, 1)).reason is FaultReason.NO_MEMORY  # type: ignore[misc]


# ---- the global table ----


def test_what_is_remembered_of_tables_that_map_everything_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "_KEPT", 128)
    rig = GpuRig()
    tables = Tables(rig)
    tables.entries(tables.root)[:] = memoryview(b"".join((tables.root | PRESENT_WRITABLE).to_bytes(8, "little") for _ in range(512))).cast("Q")
    space = space_of(rig, tables)
    tracemalloc.start()
    try:
        for page in range(3_000):
            space.read32(page * 0x1234_5000)
            space.write32(page * 0x1234_5000 + 8, (tables.root | PRESENT_WRITABLE) & 0xFFFFFFFF)
        remembered, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remembered < 256 << 10, "two views of every page that was touched would be more than a MiB"


def test_an_entry_of_the_ggtt_takes_effect_at_once() -> None:
    rig = GpuRig()
    old, new = rig.page(), rig.page()
    rig.entries[100] = old | 1
    rig.ggtt.write32(100 * PAGE_SIZE, 1)
    rig.entries[100] = new | 1
    assert rig.ggtt.read32(100 * PAGE_SIZE) == 0
    rig.ggtt.write32(100 * PAGE_SIZE, 2)
    assert (rig.peek(old), rig.peek(new)) == ([1], [2])
    rig.entries[100] = new
    fault = faulting(lambda: rig.ggtt.read32(100 * PAGE_SIZE + 8))
    assert (fault.reason, fault.global_table, fault.level) == (FaultReason.NOT_PRESENT, True, 0)


def test_graphics_memory_ends_with_its_table() -> None:
    rig = GpuRig(ggtt_pages=64)
    assert rig.ggtt.size == 64 * PAGE_SIZE
    for address in (64 * PAGE_SIZE, 1 << 47, -4096):
        assert faulting(lambda address=address: rig.ggtt.read32(address)).reason is FaultReason.OUTSIDE  # type: ignore[misc]


# ---- garbage ----


def test_graphics_memory_that_is_confined_ends_with_its_part_however_it_is_reached() -> None:
    rig = GpuRig()
    first = rig.allocate(4)
    part = range(first + PAGE_SIZE, first + 3 * PAGE_SIZE)
    whole, space = rig.ggtt.apart(), rig.ggtt
    assert space.read32(first) == 0, "it is remembered"
    space.confine((part,))
    space.write(part.start, bytes(range(256)) * 32)
    for access in (
        lambda: space.read32(first), lambda: space.write32(part.stop, 1), lambda: space.write64(part.stop - 4, 1), lambda: space.dwords(first),
        lambda: space.spans(part.start, len(part) + 4, write=True), lambda: space.spans(first, PAGE_SIZE + 4, write=False),
    ):  # fmt: skip
        assert faulting(access).reason is FaultReason.OUTSIDE
    assert whole.read(first, 4 * PAGE_SIZE) == bytes(PAGE_SIZE) + bytes(range(256)) * 32 + bytes(PAGE_SIZE)
    space.confine(None)
    assert space.read32(first) == 0


def test_tables_that_lead_back_to_themselves_are_walked_to_an_end() -> None:
    rig = GpuRig()
    tables = Tables(rig)
    page = tables.entries(tables.root)
    for index in range(512):
        page[index] = tables.root | PRESENT_WRITABLE
    space = space_of(rig, tables)
    assert space.read32(0x1234_5678_9000) == tables.root & 0xFFFFFFFF | PRESENT_WRITABLE
    space.write32(0, 0)
    assert page[0] & 0xFFFFFFFF == 0


@pytest.mark.parametrize("seed", range(4))
def test_random_tables_lead_somewhere_or_fault_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    rig = GpuRig(ram_pages=64)
    for page in range(64):
        table = rig.memory.page(rig.base + page * PAGE_SIZE)  # type: ignore[arg-type]
        assert table is not None
        entries = table.cast("Q")
        for index in range(512):
            frame = rig.base + rng.randrange(80) * PAGE_SIZE if rng.random() < 0.9 else rng.getrandbits(46)
            entries[index] = frame | rng.choice((0, 1, 3, 3, 3, 3 | IPS, 3 | PS, READ_ONLY | PS))
    spaces = [ProcessSpace(rig.memory), ProcessSpace(rig.memory)]
    spaces[0].load(rig.base)
    spaces[1].load(*(rig.base + index * PAGE_SIZE for index in range(4)))
    reached = faults = 0
    for _ in range(4000):
        space = rng.choice(spaces)
        address = rng.getrandbits(64) & ~3
        access = rng.choice((
            lambda: space.read32(address), lambda: space.write32(address, rng.getrandbits(32)), lambda: space.read64(address),
            lambda: space.spans(address, rng.randrange(1, 3 * PAGE_SIZE), write=rng.random() < 0.5), space.invalidate,
        ))  # fmt: skip
        try:
            access()
            reached += 1
        except TranslationFault:
            faults += 1
    assert reached > 500 and faults > 500
