"""Pages of 64 KiB and of 2 MiB in a guest's tables: the GPU finds them split."""

from __future__ import annotations

import pytest
from support.shadow_rig import PORTS, ShadowRig
from support.shadow_spaces import DIRECTORY, DIRTY, HUGE, IPS, KEPT, LARGE_PAT, POINTERS, ROOT, TABLE, four_levels, leaf, refused, use

from host_model.mediator.refusal import Consequence
from host_model.mediator.shadow.ppgtt import ProcessTables
from pvinfo.units import MIB, PAGE_SIZE


@pytest.fixture(params=PORTS)
def rig(request: pytest.FixtureRequest) -> ShadowRig:
    return ShadowRig(request.param)


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
