"""How long shadow tables live: who refers to them, what happens when there is too little room, and what a reset leaves."""

from __future__ import annotations

import pytest
from support.shadow_rig import PORTS, ShadowRig
from support.shadow_spaces import DIRECTORY, HUGE, POINTERS, ROOT, SCRATCH_AND_NOTHING, TABLE, chains, four_levels, use

from host_model.mediator.refusal import Consequence, Refused
from host_model.mediator.shadow.ppgtt import MAX_SPACES
from pvinfo.finding import FindingKind
from pvinfo.units import MIB


@pytest.fixture(params=PORTS)
def rig(request: pytest.FixtureRequest) -> ShadowRig:
    return ShadowRig(request.param)


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
