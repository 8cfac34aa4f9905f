"""Shadow page tables, rule by rule: what each kind of entry becomes, and which shapes tables may have."""

from __future__ import annotations

import pytest
from support.shadow_rig import PORTS, ShadowRig
from support.shadow_spaces import DIRECTORY, HUGE, IPS, KEPT, POINTERS, ROOT, TABLE, four_levels, leaf, use

from host_model.mediator.shadow.ppgtt import ProcessTables
from pvinfo.units import GIB, MIB, PAGE_SIZE


@pytest.fixture(params=PORTS)
def rig(request: pytest.FixtureRequest) -> ShadowRig:
    return ShadowRig(request.param)


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
