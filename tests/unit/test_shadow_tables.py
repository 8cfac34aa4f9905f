"""Shadow page tables, rule by rule: what each kind of entry becomes, what is refused, and what is let go when."""

from __future__ import annotations

import os

import pytest
from support.shadow_rig import PORTS, ShadowRig

from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.mediator.refusal import Consequence, Refused
from host_model.mediator.shadow.ppgtt import MAX_SPACES, ProcessTables
from pvinfo.finding import FindingKind
from pvinfo.units import GIB, MIB, PAGE_SIZE, GuestAddress
from pvinfo.vfio_user import DmaMap, DmaMapFlags

ROOT, POINTERS, DIRECTORY, TABLE = 0x1000, 0x2000, 0x3000, 0x4000
SCRATCH_AND_NOTHING = 5
"""Pages that a vGPU with tables has besides them: scratch of four levels, and a table without entries."""
IPS, HUGE, DIRTY, LARGE_PAT = 1 << 11, 1 << 7, 1 << 6, 1 << 12
KEPT = ~((1 << 46) - (1 << 12)) & (1 << 64) - 1


@pytest.fixture(params=PORTS)
def rig(request: pytest.FixtureRequest) -> ShadowRig:
    return ShadowRig(request.param)


def four_levels(rig: ShadowRig) -> ProcessTables:
    """A space whose first 2 MiB have a page table without entries."""
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    return rig.tables.create(4, (ROOT,))


def refused(rig: ShadowRig, space: ProcessTables) -> Refused:
    """What the guest is told when the space is about to be used."""
    with pytest.raises(Refused) as caught:
        rig.tables.pin(space)
    assert not space.pins
    rig.check()
    return caught.value


def use(rig: ShadowRig, space: ProcessTables) -> None:
    """Pin the space for a moment; afterwards there is nothing to be looked at."""
    rig.tables.pin(space)
    rig.check()
    assert rig.tables._is_current(space)
    rig.tables.unpin(space)


def leaf(rig: ShadowRig, space: ProcessTables, index: int) -> int:
    """An entry of the shadow of the page table, found by following the shadow from its root."""
    table = space.shadow_roots[0]
    for _ in range(3):
        table = rig.shadow(table)[0]
    return rig.shadow(table)[index]


# ---- entries ----


def test_an_entry_keeps_all_its_bits_and_leads_to_the_pinned_page(rig: ShadowRig) -> None:
    rig.set(TABLE, 7, 0xFFF7_0000_0005_0FFF)
    space = four_levels(rig)
    assert leaf(rig, space, 7) == 0xFFF7_0000_0000_0FFF | rig.base + 0x50000
    assert rig.pinned == {0x50000: 1}
    assert leaf(rig, space, 8) == 0, "what was never written is not there, for the GPU as for the guest"


@pytest.mark.parametrize(("table", "bits"), [(ROOT, 0x0), (POINTERS, 0x1), (DIRECTORY, 0x2)])
def test_an_entry_that_leads_to_a_table_keeps_its_bits_but_the_mark_of_64_kib_pages(rig: ShadowRig, table: int, bits: int) -> None:
    entry = 0xABC0_0000_0000_0E19 | table + 0x1000
    space = four_levels(rig)
    rig.set(table, 0, entry)
    use(rig, space)
    shadow = space.shadow_roots[0]
    for _ in range(bits):
        shadow = rig.shadow(shadow)[0]
    assert rig.shadow(shadow)[0] & KEPT == entry & KEPT & ~(IPS if table == DIRECTORY else 0)
    assert rig.shadow(shadow)[0] & ~KEPT not in (entry & ~KEPT, 0)


def test_changes_are_seen_when_the_space_is_used_next(rig: ShadowRig) -> None:
    space = four_levels(rig)
    view = rig.gpu(space)
    rig.set(TABLE, 3, 0x50003)
    assert view.page_at(0x3000) is None
    use(rig, space)
    assert view.page_at(0x3000) == 0x50000
    rig.set(TABLE, 3, 0x60003)
    assert view.page_at(0x3000) == 0x50000 and rig.pinned == {0x50000: 1}
    use(rig, space)
    assert view.page_at(0x3000) == 0x60000 and rig.pinned == {0x60000: 1}


def test_an_emptied_entry_shows_scratch_with_the_bits_it_had(rig: ShadowRig) -> None:
    rig.set(TABLE, 3, 0x50019 | 1 << 60)
    space = four_levels(rig)
    rig.set(TABLE, 3, 0x70000)
    use(rig, space)
    scratch = leaf(rig, space, 3)
    assert scratch & KEPT == 0x19 | 1 << 60
    assert rig.pinned == {}
    assert bytes(rig.shadow(scratch)) == bytes(PAGE_SIZE)
    rig.set(TABLE, 3, 0)
    use(rig, space)
    assert leaf(rig, space, 3) == scratch
    rig.set(TABLE, 3, 0x51001)
    use(rig, space)
    assert leaf(rig, space, 3) == rig.base + 0x51001 and rig.pinned == {0x51000: 1}


@pytest.mark.parametrize(("table", "pages"), [(ROOT, 4), (POINTERS, 3), (DIRECTORY, 2)])
def test_an_emptied_entry_of_an_upper_level_leads_through_scratch_tables_to_a_page_of_zeros(rig: ShadowRig, table: int, pages: int) -> None:
    rig.set(TABLE, 3, 0x50003)
    space = four_levels(rig)
    view = rig.gpu(space)
    before = rig.tables.tables
    rig.set(table, 0, 0)
    use(rig, space)
    assert rig.tables.tables == before - pages + 1 and rig.pinned == {}
    assert view.space.read32(0x3000) == 0 and view.page_at(0x3000) is None
    view.space.write32(0x12_3454, 0x77)
    assert view.space.read32(0x454) == 0x77, "all of it is one page, which the GPU may well write"


def test_a_table_of_scratch_serves_all_levels_but_never_another_vgpu() -> None:
    one = ShadowRig()
    two = ShadowRig(number=2, beside=one)
    scratch = []
    for rig in (one, two):
        rig.set(TABLE, 3, 0x50003)
        space = four_levels(rig)
        rig.set(TABLE, 3, 0)
        use(rig, space)
        scratch.append(leaf(rig, space, 3) & ~KEPT)
        assert one.memory.owner_of(scratch[-1]) == rig.number  # type: ignore[arg-type]
    assert scratch[0] != scratch[1]


# ---- pages of 64 KiB ----


def large_table(rig: ShadowRig, entry: int = 0x9_0000 | 1 << 55 | 0x9B) -> ProcessTables:
    rig.allow_64k()
    rig.chain(ROOT, POINTERS, DIRECTORY)
    rig.set(DIRECTORY, 0, TABLE | IPS | 3)
    rig.set(TABLE, 16, entry, *[0xDEAD_0000_0003] * 15)
    return rig.tables.create(4, (ROOT,))


def test_a_64_kib_entry_is_split_into_sixteen_and_what_stands_between_is_ignored(rig: ShadowRig) -> None:
    space = large_table(rig)
    for part in range(16):
        assert leaf(rig, space, 16 + part) == 1 << 52 | 1 << 55 | 0x9B | rig.base + 0x9_0000 + part * PAGE_SIZE
    assert rig.pinned == {0x9_0000 + part * PAGE_SIZE: 1 for part in range(16)}
    rig.set(TABLE, 21, 0x5_0003)
    use(rig, space)
    assert leaf(rig, space, 21) & ~KEPT == rig.base + 0x9_5000


def test_the_address_of_a_64_kib_page_has_no_bits_below_16(rig: ShadowRig) -> None:
    space = large_table(rig, 0x9_7000 | 3)
    assert [leaf(rig, space, 16 + part) & ~KEPT for part in range(16)] == [rig.base + 0x9_0000 + part * PAGE_SIZE for part in range(16)]


def test_a_64_kib_entry_that_is_replaced_lets_all_its_pages_go(rig: ShadowRig) -> None:
    space = large_table(rig)
    rig.set(TABLE, 16, 0xA_0003)
    use(rig, space)
    assert rig.pinned == {0xA_0000 + part * PAGE_SIZE: 1 for part in range(16)}
    rig.set(TABLE, 16, 0)
    use(rig, space)
    assert rig.pinned == {}
    assert {leaf(rig, space, 16 + part) & KEPT for part in range(16)} == {3}, "and loses the mark of a split page"


@pytest.mark.parametrize(("platform", "field", "large"), [("skl", 15, True), ("kbl", 15, True), ("skl", 7, False), ("skl", 0, False), ("bdw", 15, False)])
def test_64_kib_pages_are_allowed_on_gen9_when_all_engines_expect_them(platform: str, field: int, large: bool) -> None:
    rig = ShadowRig(platform=platform)
    rig.allow_64k(field)
    rig.chain(ROOT, POINTERS, DIRECTORY)
    rig.set(DIRECTORY, 0, TABLE | IPS | 3)
    rig.set(TABLE, 0, 0x9_0003)
    space = rig.tables.create(4, (ROOT,))
    assert bool(leaf(rig, space, 1)) is large
    assert rig.shadow(rig.shadow(rig.shadow(space.shadow_roots[0])[0])[0])[0] & IPS == 0


def test_a_table_used_for_4_kib_and_for_64_kib_pages_has_a_shadow_for_either(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x9_0003, 0x5_0003)
    four = four_levels(rig)
    rig.allow_64k()
    rig.set(DIRECTORY, 1, TABLE | IPS | 3)
    use(rig, four)
    view = rig.gpu(four)
    assert [view.page_at(address) for address in (0, 0x1000, 2 * MIB, 2 * MIB + 0x1000)] == [0x9_0000, 0x5_0000, 0x9_0000, 0x9_1000]
    assert rig.pinned == {0x5_0000: 1, 0x9_0000: 2} | {0x9_0000 + part * PAGE_SIZE: 1 for part in range(1, 16)}


def test_when_64_kib_pages_are_allowed_or_forbidden_known_tables_follow(rig: ShadowRig) -> None:
    space = large_table(rig, 0x9_0003)
    view = rig.gpu(space)
    rig.allow_64k(0)
    rig.set(TABLE, 17, *[0] * 15)
    use(rig, space)
    assert rig.pinned == {0x9_0000: 1} and view.page_at(0x1_1000) is None
    rig.allow_64k()
    use(rig, space)
    assert rig.pinned == {0x9_0000 + part * PAGE_SIZE: 1 for part in range(16)} and view.page_at(0x1_1000) == 0x9_1000


# ---- pages of 2 MiB ----


def test_a_2_mib_entry_is_split_into_a_table_of_its_own() -> None:
    rig = ShadowRig(pages=2048)
    rig.chain(ROOT, POINTERS, DIRECTORY)
    rig.set(DIRECTORY, 0, 0x40_0000 | HUGE | DIRTY | IPS | LARGE_PAT | 0x1B | 1 << 58)
    space = rig.tables.create(4, (ROOT,))
    entry = rig.shadow(rig.shadow(rig.shadow(space.shadow_roots[0])[0])[0])[0]
    assert entry & KEPT == 0x1B | 1 << 58, "it is an entry of a table now: neither huge nor dirty"
    assert rig.shadow(entry).tolist() == [0x1B | 1 << 58 | DIRTY | IPS | HUGE | rig.base + 0x40_0000 + PAGE_SIZE * part for part in range(512)]
    assert rig.pinned == {0x40_0000 + PAGE_SIZE * part: 1 for part in range(512)}
    rig.set(DIRECTORY, 0, 0x40_1000 & ~LARGE_PAT | HUGE | 3)
    use(rig, space)
    entry = rig.shadow(rig.shadow(rig.shadow(space.shadow_roots[0])[0])[0])[0]
    assert rig.shadow(entry)[1] == 3 | rig.base + 0x40_1000, "bit 7 of a small page is bit 12 of a large one, which is not set"
    rig.set(DIRECTORY, 0, 0)
    use(rig, space)
    assert rig.pinned == {}
    rig.check()


def test_equal_2_mib_entries_share_what_they_are_split_into() -> None:
    rig = ShadowRig(pages=2048)
    rig.chain(ROOT, POINTERS, DIRECTORY)
    rig.set(DIRECTORY, 0, *[0x20_0000 | HUGE | 3] * 512)
    space = rig.tables.create(4, (ROOT,))
    assert rig.tables.tables == 4 and set(rig.pinned.values()) == {1}
    rig.set(DIRECTORY, 0, *[0] * 511)
    use(rig, space)
    assert rig.tables.tables == 4 and rig.gpu(space).page_at(511 * 2 * MIB + 0x5000) == 0x20_5000


def test_a_2_mib_entry_that_leaves_guest_memory_is_refused_as_a_whole(rig: ShadowRig) -> None:
    space = four_levels(rig)
    rig.set(DIRECTORY, 5, HUGE | 3)
    why = refused(rig, space)
    assert (why.rule, why.value, why.consequence) == ("ppgtt-not-memory", HUGE | 3, Consequence.FLUSH)
    assert why.where == "PDE 5 at 0x3028" and "0x100000" in why.text and why.nearest == "an address of guest RAM"
    assert rig.pinned == {}


def test_a_1_gib_entry_is_refused(rig: ShadowRig) -> None:
    space = four_levels(rig)
    rig.set(POINTERS, 2, 0x8000_0083)
    why = refused(rig, space)
    assert (why.rule, why.where, why.value) == ("ppgtt-1g-page", "PDP entry 2 at 0x2010", 0x8000_0083)
    assert why.nearest.startswith("0x80000003")
    rig.set(POINTERS, 2, 0x8000_0082)
    use(rig, space)


def test_the_page_size_bit_means_nothing_in_the_top_table_and_in_roots(rig: ShadowRig) -> None:
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    rig.set(ROOT, 0, POINTERS | HUGE | 3)
    rig.set(TABLE, 0, 0x50003)
    assert rig.gpu(rig.tables.create(4, (ROOT | HUGE | 0x123,))).page_at(0) == 0x50000
    assert rig.gpu(rig.tables.create(3, (DIRECTORY | HUGE, 0, 0, 0))).page_at(0) == 0x50000


# ---- what leads nowhere ----


@pytest.mark.parametrize(
    ("table", "entry", "where"),
    [
        (TABLE, 0x10_0003, "PTE 9 at 0x4048"), (TABLE, 0x3FFF_FFFF_F001, "PTE 9 at 0x4048"), (DIRECTORY, 0x10_0003, "PDE 9 at 0x3048"),
        (POINTERS, 0x7700_0003, "PDP entry 9 at 0x2048"), (ROOT, 0x7700_0003, "PML4 entry 9 at 0x1048"),
    ],
)  # fmt: skip
def test_an_entry_that_leads_where_there_is_no_memory_has_the_space_refused(rig: ShadowRig, table: int, entry: int, where: str) -> None:
    space = four_levels(rig)
    rig.set(TABLE, 1, 0x50003)
    rig.set(table, 9, entry)
    why = refused(rig, space)
    assert (why.rule, why.where, why.value, why.consequence) == ("ppgtt-not-memory", where, entry, Consequence.FLUSH)
    assert refused(rig, space).where == where, "it is refused as long as it stands there"
    rig.set(table, 9, 0)
    use(rig, space)
    assert rig.pinned == {0x50000: 1}


def test_a_bad_64_kib_entry_is_refused_and_pins_nothing_of_its_memory(rig: ShadowRig) -> None:
    rig.allow_64k()
    space = four_levels(rig)
    rig.set(DIRECTORY, 0, TABLE | IPS | 3)
    rig.set(TABLE, 32, 0xF_0003)
    use(rig, space)
    assert len(rig.pinned) == 16
    rig.set(TABLE, 32, 0x10_0003)
    why = refused(rig, space)
    assert (why.rule, why.where, why.value) == ("ppgtt-not-memory", "64 KiB PTE 32 at 0x4100", 0x10_0003)
    assert rig.pinned == {}


@pytest.mark.parametrize(("table", "index"), [(ROOT, 0), (POINTERS, 0), (DIRECTORY, 0), (TABLE, 9)])
def test_what_a_bad_entry_led_to_before_is_let_go_and_back_when_it_is_right_again(rig: ShadowRig, table: int, index: int) -> None:
    rig.set(TABLE, 9, 0x50003)
    space = four_levels(rig)
    right = rig.entry(table, index)
    rig.set(table, index, 0xFF_0003)
    refused(rig, space)
    assert rig.pinned == {}
    rig.set(table, index, right)
    use(rig, space)
    assert rig.pinned == {0x50000: 1} and rig.gpu(space).page_at(0x9000) == 0x50000


@pytest.mark.parametrize("roots", [(0x10_0000,), (1 << 45,)])
def test_a_root_that_is_no_memory_is_refused_at_once(rig: ShadowRig, roots: tuple[int, ...]) -> None:
    with pytest.raises(Refused, match="ppgtt-not-memory at root 0 of an address space of 4 levels") as caught:
        rig.tables.create(4, roots)
    assert caught.value.value == roots[0]
    assert rig.tables.find(4, roots) is None and len(rig.tables) == rig.tables.tables == 0
    with pytest.raises(Refused, match="root 2"):
        rig.tables.acquire(3, (ROOT, 0, roots[0], 0))
    assert rig.tables.tables == 0 and rig.pool.used(1) == SCRATCH_AND_NOTHING


def test_a_space_with_a_bad_entry_is_refused_when_it_is_announced_and_nothing_of_it_is_kept(rig: ShadowRig) -> None:
    rig.set(TABLE, 1, 0x50003, 0xFF_0003)
    with pytest.raises(Refused, match="PTE 2 at 0x4010"):
        four_levels(rig)
    assert rig.tables.find(4, (ROOT,)) is None and rig.pinned == {} and rig.tables.tables == 0
    rig.check()


def test_a_table_that_nothing_leads_to_any_more_is_not_looked_at(rig: ShadowRig) -> None:
    space = four_levels(rig)
    rig.set(TABLE, 0, 0xFF_0003)
    rig.set(DIRECTORY, 0, 0)
    use(rig, space)
    rig.set(DIRECTORY, 3, TABLE | 3)
    assert refused(rig, space).where == "PTE 0 at 0x4000"


def test_tables_whose_memory_goes_are_refused_until_it_is_back() -> None:
    rig = ShadowRig("another process")
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    view = rig.gpu(space)
    port = rig.port.inner
    assert isinstance(port, VfioUserPort)
    fd = os.memfd_create("test-ram", os.MFD_CLOEXEC)
    os.write(fd, rig.read(0, rig.pages * PAGE_SIZE))
    port.unmap(0, rig.pages * PAGE_SIZE)
    with pytest.raises(Refused, match="ppgtt-not-memory at PML4 at 0x1000") as caught:
        rig.tables.pin(space)
    assert "any more" in caught.value.text and not space.pins
    port.map(DmaMap(32, DmaMapFlags(3), 0, 0, rig.pages * PAGE_SIZE), fd)
    os.close(fd)
    use(rig, space)
    assert view.page_at(0) == 0x50000
    assert port.write_guest(GuestAddress(TABLE), (0x60003).to_bytes(8, "little"))
    use(rig, space)
    assert view.page_at(0) == 0x60000, "it is the new memory that is compared"
    rig.tables.clear()
    assert rig.port.mapped_pages == 0
    rig.close()


# ---- shapes ----


def test_a_table_that_leads_to_itself_is_four_tables_to_the_gpu_and_shows_the_guests_page(rig: ShadowRig) -> None:
    rig.set(ROOT, 0, ROOT | 3)
    space = rig.tables.create(4, (ROOT,))
    rig.check()
    assert rig.tables.tables == 4 and rig.pinned == {ROOT: 1}
    assert rig.gpu(space).page_at(0) == ROOT
    assert rig.gpu(space).space.read64(0) == ROOT | 3, "not the host's shadow of it"


def test_tables_that_lead_to_each_other_in_every_entry_are_few(rig: ShadowRig) -> None:
    for table in (ROOT, POINTERS):
        rig.set(table, 0, *[ROOT | 3, POINTERS | 3] * 256)
    rig.tables.create(4, (ROOT,))
    assert rig.tables.tables == 1 + 2 + 2 + 2 and rig.pinned == {ROOT: 512, POINTERS: 512}
    rig.tables.destroy(4, (ROOT,))
    rig.check()
    assert rig.pinned == {} and rig.tables.tables == 0


def test_tables_shared_by_spaces_have_one_shadow_and_stay_for_the_last(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    four_levels(rig)
    rig.set(0x8000, 4, DIRECTORY | 3)
    rig.set(0x9000, 0, 0x8003)
    other = rig.tables.create(4, (0x9000,))
    three = rig.tables.create(3, (0, 0, 0, DIRECTORY | 1))
    assert rig.tables.tables == 6 and rig.pinned == {0x50000: 1}
    assert rig.gpu(other).page_at(4 * GIB) == rig.gpu(three).page_at(3 * GIB) == 0x50000
    rig.set(TABLE, 0, 0x60003)
    use(rig, other)
    assert rig.gpu(three).page_at(3 * GIB) == 0x60000, "what one space has seen holds for all"
    assert rig.tables.destroy(4, (ROOT,)) and rig.tables.destroy(4, (0x9000,))
    assert rig.tables.tables == 2 and rig.pinned == {0x60000: 1}
    assert rig.tables.destroy(3, (0, 0, 0, DIRECTORY | 1))
    assert rig.tables.tables == 0 and rig.pinned == {}


def test_a_table_that_moves_to_another_place_keeps_its_shadow(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    shadow = rig.shadow(rig.shadow(rig.shadow(space.shadow_roots[0])[0])[0])[0]
    mapped = rig.port.tried
    rig.set(DIRECTORY, 0, 0)
    rig.set(DIRECTORY, 1, TABLE | 3)
    use(rig, space)
    assert rig.shadow(rig.shadow(rig.shadow(space.shadow_roots[0])[0])[0])[1] == shadow and rig.port.tried == mapped


def test_roots_that_are_absent_lead_to_a_table_without_entries(rig: ShadowRig) -> None:
    space = rig.tables.create(3, (0, 0, 0, 0))
    (nothing,) = set(space.shadow_roots)
    assert nothing and not any(rig.shadow(nothing)) and rig.tables.tables == 0
    rig.tables.pin(space)
    assert rig.gpu(space).page_at(0xFFFF_F000) is None
    assert rig.tables.create(4, (0,)).shadow_roots == (nothing,)


# ---- references ----


def test_four_levels_are_known_by_their_first_root_and_three_by_all(rig: ShadowRig) -> None:
    space = rig.tables.create(4, (ROOT, 5, 6, 7))
    assert (space.levels, space.roots) == (4, (ROOT,))
    assert rig.tables.find(4, (ROOT, 1, 2, 3)) is space is rig.tables.create(4, (ROOT,))
    assert rig.tables.find(4, (ROOT | 1,)) is None and rig.tables.find(3, (ROOT, 0, 0, 0)) is None
    three = rig.tables.create(3, (ROOT, 0, 0, TABLE))
    assert rig.tables.find(3, (ROOT, 0, 0, TABLE)) is three and rig.tables.find(3, (ROOT, 0, 0, 0)) is None
    assert len(rig.tables) == 2


def test_a_space_lives_as_long_as_the_guest_or_a_workload_refers_to_it(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    assert rig.tables.acquire(4, (ROOT,)) is space
    rig.tables.pin(space)
    assert rig.tables.destroy(4, (ROOT,))
    assert not rig.tables.destroy(4, (ROOT,)), "saying it twice takes nothing from the workload"
    assert rig.pinned == {0x50000: 1} and rig.tables.find(4, (ROOT,)) is space
    rig.tables.unpin(space)
    assert rig.pinned == {0x50000: 1}
    rig.tables.release(space)
    assert rig.pinned == {} and rig.tables.find(4, (ROOT,)) is None
    assert not rig.tables.destroy(4, (ROOT,))


def test_a_space_released_while_it_is_pinned_goes_with_the_last_pin(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    space = rig.tables.acquire(4, (ROOT,))
    rig.tables.pin(space)
    rig.tables.pin(space)
    rig.tables.release(space)
    rig.tables.unpin(space)
    assert rig.pinned == {0x50000: 1}
    rig.tables.unpin(space)
    assert rig.pinned == {} and len(rig.tables) == 0
    rig.tables.unpin(space)
    rig.tables.release(space)
    assert space.pins == space.references == 0


def test_spaces_are_limited(rig: ShadowRig) -> None:
    for number in range(MAX_SPACES):
        rig.tables.create(3, (0, 0, 0, ROOT | number << 46))
    assert rig.tables.tables == 1
    with pytest.raises(Refused, match="ppgtt-too-many") as caught:
        rig.tables.create(4, (ROOT,))
    assert caught.value.value == MAX_SPACES + 1
    assert rig.tables.create(3, (0, 0, 0, ROOT)).announced == 2
    assert rig.tables.destroy(3, (0, 0, 0, ROOT)) and rig.tables.destroy(3, (0, 0, 0, ROOT))
    assert rig.tables.create(4, (ROOT,)).announced == 1


# ---- a limit on shadow memory ----


def chains(rig: ShadowRig, count: int) -> list[ProcessTables]:
    """Spaces of four tables each, that share none; each leads to a page of its own."""
    spaces = []
    for number in range(count):
        first = (number + 1) * 0x1_0000
        rig.chain(*range(first, first + 0x4000, 0x1000))
        rig.set(first + 0x3000, 0, first + 0x4000 | 3)
        spaces.append(rig.tables.create(4, (first,)))
    return spaces


@pytest.mark.parametrize("kind", PORTS)
def test_the_shadow_used_least_recently_is_given_up_for_another(kind: str) -> None:
    rig = ShadowRig(kind, share=SCRATCH_AND_NOTHING + 8)
    one, two = chains(rig, 2)
    use(rig, one)
    use(rig, two)
    (three,) = chains(rig, 3)[2:]
    assert (one.shadowed, two.shadowed, three.shadowed) == (False, True, True)
    assert rig.tables.find(4, one.roots) is one, "it stays known"
    assert rig.pinned == {0x2_4000: 1, 0x3_4000: 1}
    use(rig, one)
    assert (one.shadowed, two.shadowed, three.shadowed) == (True, False, True)
    (note,) = rig.findings
    assert (note.kind, note.rule, note.value, note.occurrences) == (FindingKind.NOTE, "shadow-tables-reclaimed", one.roots[0], 2)
    assert rig.gpu(one).page_at(0) == 0x1_4000
    rig.check()


@pytest.mark.parametrize("kind", PORTS)
def test_what_is_pinned_is_not_given_up_and_what_does_not_fit_besides_is_refused(kind: str) -> None:
    rig = ShadowRig(kind, share=SCRATCH_AND_NOTHING + 8)
    one, two = chains(rig, 2)
    rig.tables.pin(one)
    rig.tables.pin(two)
    with pytest.raises(Refused, match="ppgtt-shadow-memory") as caught:
        chains(rig, 3)
    assert caught.value.value == SCRATCH_AND_NOTHING + 8 and caught.value.consequence is Consequence.FLUSH
    assert rig.pinned == {0x1_4000: 1, 0x2_4000: 1} and len(rig.tables) == 2
    rig.check()
    rig.tables.unpin(one)
    assert chains(rig, 3)[2].shadowed and not one.shadowed


@pytest.mark.parametrize("share", range(SCRATCH_AND_NOTHING + 5))
def test_too_little_shadow_memory_at_any_point_leaves_everything_exact(share: int) -> None:
    rig = ShadowRig(share=share, pages=2048)
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    rig.set(TABLE, 0, 0x50003)
    rig.set(DIRECTORY, 1, 0x40_0000 | HUGE | 3)
    with pytest.raises(Refused, match="ppgtt-shadow-memory") as caught:
        rig.tables.create(4, (ROOT,))
    assert caught.value.nearest.startswith(f"{share} tables")
    rig.check()
    assert rig.pinned == {} and rig.tables.tables == 0 and rig.pool.used(1) in (0, SCRATCH_AND_NOTHING)


def test_a_vgpu_that_uses_up_its_share_leaves_others_theirs() -> None:
    one = ShadowRig(share=SCRATCH_AND_NOTHING + 4)
    two = ShadowRig(number=2, beside=one)
    (mine,) = chains(one, 1)
    one.tables.pin(mine)
    (theirs,) = chains(two, 1)
    two.tables.pin(theirs)
    with pytest.raises(Refused):
        chains(one, 2)
    assert mine.shadowed and theirs.shadowed
    assert (one.pool.used(1), one.pool.used(2)) == (one.pool.share, one.pool.share)


def test_host_memory_is_given_back_when_a_vgpu_has_no_tables_left() -> None:
    rig = ShadowRig()
    (space,) = chains(rig, 1)
    root = space.shadow_roots[0]
    assert rig.memory.owner_of(root) == 1  # type: ignore[arg-type]
    rig.tables.clear()
    assert rig.pool.used(1) == 0 and rig.memory.owner_of(root) is None  # type: ignore[arg-type]


# ---- nothing is handed back while the GPU may reach it ----


def test_pages_of_one_use_leave_together_after_one_invalidation(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, *[(0x50 + page) << 12 | 3 for page in range(8)])
    space = four_levels(rig)
    before = rig.invalidations
    rig.set(TABLE, 0, *[0] * 4)
    rig.set(DIRECTORY, 1, 0x8003)
    use(rig, space)
    assert (rig.invalidations, rig.port.batches) == (before + 1, 1)
    use(rig, space)
    assert rig.invalidations == before + 1, "nothing left"


def test_new_entries_need_no_invalidation_but_entries_that_replace_others_do(rig: ShadowRig) -> None:
    space = four_levels(rig)
    rig.set(TABLE, 0, 0x50003)
    use(rig, space)
    assert rig.invalidations == 0
    rig.set(DIRECTORY, 0, 0x8003)
    use(rig, space)
    assert rig.invalidations == 1


def test_scratch_that_was_there_to_be_found_is_forgotten_when_something_else_takes_its_place(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    rig.set(TABLE, 0, 0)
    use(rig, space)
    view = rig.gpu(space)
    view.space.write32(0, 1)
    assert view.space.read32(0) == 1
    rig.set(TABLE, 0, 0x60003)
    use(rig, space)
    assert view.space.read32(0) == 0


def test_a_page_of_a_dropped_table_is_not_used_again_before_the_gpu_forgot_it(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    view = rig.gpu(space)
    assert view.page_at(0) == 0x50000
    rig.set(0x8000, 0, 0x60003)
    rig.set(DIRECTORY, 0, 0x8003)
    use(rig, space)
    assert view.page_at(0) == 0x60000
    rig.set(DIRECTORY, 1, TABLE | 3)
    use(rig, space)
    assert (view.page_at(0), view.page_at(2 * MIB)) == (0x60000, 0x50000)


# ---- resets ----


def test_a_gt_reset_drops_shadows_and_keeps_spaces(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    rig.tables.invalidate()
    assert not space.shadowed and rig.pinned == {} and rig.tables.tables == 0
    assert rig.tables.find(4, (ROOT,)) is space
    use(rig, space)
    assert rig.gpu(space).page_at(0) == 0x50000


def test_a_gt_reset_drops_a_shadow_in_use_as_soon_as_it_is_not(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    rig.tables.pin(space)
    rig.tables.invalidate()
    assert rig.gpu(space).page_at(0) == 0x50000
    rig.tables.unpin(space)
    assert space.shadow_roots == () and rig.pinned == {}
    use(rig, space)
    assert space.shadowed and rig.tables.destroy(4, (ROOT,))


def test_a_device_reset_forgets_everything_and_what_is_said_of_old_spaces_later_does_no_harm(rig: ShadowRig) -> None:
    rig.set(TABLE, 0, 0x50003)
    space = four_levels(rig)
    rig.tables.acquire(4, (ROOT,))
    rig.tables.pin(space)
    rig.tables.clear()
    assert rig.pinned == {} and len(rig.tables) == rig.tables.tables == rig.pool.used(1) == 0
    rig.tables.unpin(space)
    rig.tables.release(space)
    assert not rig.tables.destroy(4, (ROOT,))
    again = four_levels(rig)
    assert again is not space and rig.gpu(again).page_at(0) == 0x50000
    rig.tables.release(space)
    assert rig.tables.find(4, (ROOT,)) is again


# ---- where an address of a space leads ----


def test_an_address_is_translated_to_guest_memory_by_the_tables_as_last_seen() -> None:
    rig = ShadowRig(pages=2048)
    rig.allow_64k()
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    rig.set(TABLE, 3, 0x50003)
    rig.set(DIRECTORY, 1, 0x40_0000 | HUGE | 3, 0x8003 | IPS)
    rig.set(0x8000, 16, 0x9_0003)
    space = rig.tables.create(4, (ROOT,))
    three = rig.tables.create(3, (0, DIRECTORY, 0, 0))

    def at(address: int, space: ProcessTables = space) -> int | None:
        return rig.tables.translate(space, address)

    assert [at(0x3ABC), at(2 * MIB + 0x12345), at(4 * MIB + 0x1_2345)] == [0x50ABC, 0x41_2345, 0x9_2345]
    assert [at(0x4000), at(8 * MIB), at(GIB), at(1 << 39), at(4 * MIB + 0x2_0000)] == [None] * 5
    assert [at(0x3000, three), at(GIB + 0x3000, three)] == [None, 0x50000]
    rig.tables.invalidate()
    assert at(0x3ABC) is None
