"""Where slices lie, and what an interposer must alter so that a guest believes it."""

from __future__ import annotations

import pytest

from guest_driver.scenarios.interposer import Alterations
from guest_driver.scenarios.needs import Announced, Slice
from guest_driver.scenarios.outcome import Offer
from guest_driver.scenarios.place import altered_offer, insist_on_room, lies, range_fields
from guest_driver.scenarios.stage import CannotStage
from pvinfo.page import VGT_MAGIC, Capability, GraphicsRange
from pvinfo.units import GIB, MIB

OFFER = Offer(
    256 * MIB, 4 * GIB, VGT_MAGIC, 1, 1, Capability(0x1C), GraphicsRange(128 * MIB, 64 * MIB), GraphicsRange(0xE800_0000, 384 * MIB), 4
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Slice(), range(0x100, 0x180)),
        (Slice(before=0x10), range(0x50, 0xD0)),
        (Slice(after=0x10), range(0x3B0, 0x430)),
        (Slice(before=0, after=0), range(0x40, 0x440)),
        (Slice(before=-8), range(0x38, 0xB8)),
        (Slice(after=-8), range(0x3C8, 0x448)),
    ],
)
def test_a_slice_lies_by_its_distances_and_keeps_its_size_unless_both_are_given(wanted: Slice, expected: range) -> None:
    assert wanted.resolve(range(0x40, 0x440), range(0x100, 0x180)) == expected


def test_a_vgpu_that_is_as_wanted_needs_no_alteration() -> None:
    unplaced = {"mappable": Slice(), "nonmappable": Slice()}
    assert range_fields(OFFER, unplaced, {"mappable": None, "nonmappable": None}) == {}
    assert range_fields(OFFER, unplaced, {"mappable": 64 * MIB, "nonmappable": 384 * MIB}) == {}
    assert not lies(Announced(), OFFER)


def test_a_larger_type_is_moved_down_only_as_far_as_it_must() -> None:
    fields = range_fields(OFFER, {"mappable": Slice(), "nonmappable": Slice()}, {"mappable": 128 * MIB, "nonmappable": GIB})
    assert fields == {
        "avail_rs.mappable_gmadr.size": 128 * MIB,
        "avail_rs.nonmappable_gmadr.base": 3 * GIB,
        "avail_rs.nonmappable_gmadr.size": GIB,
    }
    insist_on_room(fields, OFFER)


def test_a_type_larger_than_the_aperture_cannot_be_pretended() -> None:
    fields = range_fields(OFFER, {"mappable": Slice(), "nonmappable": Slice()}, {"mappable": 512 * MIB, "nonmappable": GIB})
    with pytest.raises(CannotStage, match="a mappable slice .* does not fit .*: the aperture of 256 MiB is too small"):
        insist_on_room(fields, OFFER)


def test_a_lie_reaches_over_the_edge_by_exactly_what_it_says() -> None:
    past = lies(Announced(mappable=Slice(after=-4096), nonmappable=Slice(after=-4096), fence_num=33, aperture_bar=False), OFFER)
    told = altered_offer(OFFER, past)
    assert told.mappable.base + told.mappable.size == 256 * MIB + 4096
    assert told.nonmappable.base + told.nonmappable.size == 4 * GIB + 4096
    assert (told.fence_num, told.aperture_size, told.ggtt_size) == (33, 0, 4 * GIB)
    assert past.in_words()[-2:] == ["avail_rs.fence_num reads 0x21", "base address register 2 has no length"]


def test_what_is_not_altered_is_told_as_it_is() -> None:
    assert altered_offer(OFFER, Alterations({}, hide_aperture=False)) == OFFER
    told = altered_offer(OFFER, Alterations({"magic": 0, "version_major": 3, "vgt_caps": 4}, hide_aperture=False))
    assert (told.magic, told.version_major, told.capabilities) == (0, 3, Capability.FULL_PPGTT)
    assert told.mappable == OFFER.mappable


@pytest.mark.parametrize(
    ("address", "owned"),
    [(128 * MIB - 4096, False), (128 * MIB, True), (192 * MIB - 4096, True), (192 * MIB, False), (0xE800_0000, True), (0xFFFF_F000, True), (0, False)],
)
def test_a_page_is_owned_in_either_slice_up_to_its_last_page(address: int, owned: bool) -> None:
    assert OFFER.owns_page(address // 4096) is owned
