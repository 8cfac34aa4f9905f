"""Ballooning: which ranges are kept from the allocator, in which order, and what is refused."""

from __future__ import annotations

import pytest
from support.guest_machine import FakeClock

from guest_driver import Balloon, BalloonSlot, DriverLog, Refusal
from guest_driver.address_space import AddressSpace
from pvinfo.errors import DriverError, HostRefused
from pvinfo.page import GraphicsRange
from pvinfo.units import GIB, MIB, PAGE_SIZE

APERTURE = 256 * MIB


def make_balloon(total: int = 4 * GIB) -> tuple[AddressSpace, Balloon]:
    space = AddressSpace("graphics memory", total)
    return space, Balloon(space, DriverLog(FakeClock()))


def test_a_first_vgpu_needs_the_two_upper_balloons_the_far_one_first() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(0, 64 * MIB), GraphicsRange(256 * MIB, 384 * MIB), APERTURE)
    assert [(slot, node.start, node.end) for slot, node in balloon.slots.items()] == [
        (BalloonSlot.NONMAPPABLE_ABOVE, 640 * MIB, 4 * GIB),
        (BalloonSlot.MAPPABLE_ABOVE, 64 * MIB, 256 * MIB),
    ]
    assert list(space.holes()) == [(0, 64 * MIB), (256 * MIB, 640 * MIB)]


def test_a_vgpu_in_the_middle_needs_all_four_in_the_order_two_three_zero_one() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(64 * MIB, 64 * MIB), GraphicsRange(1 * GIB, 512 * MIB), APERTURE)
    assert list(balloon.slots) == [
        BalloonSlot.NONMAPPABLE_BELOW, BalloonSlot.NONMAPPABLE_ABOVE, BalloonSlot.MAPPABLE_BELOW, BalloonSlot.MAPPABLE_ABOVE,
    ]  # fmt: skip
    assert list(space.holes()) == [(64 * MIB, 128 * MIB), (1 * GIB, 1536 * MIB)]
    assert balloon.reserved == 4 * GIB - 64 * MIB - 512 * MIB


def test_a_guest_that_owns_everything_needs_no_balloon() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(0, APERTURE), GraphicsRange(APERTURE, 4 * GIB - APERTURE), APERTURE)
    assert balloon.slots == {}
    assert list(space.holes()) == [(0, 4 * GIB)]


@pytest.mark.parametrize(
    ("mappable", "nonmappable", "rule"),
    [
        ((193 * MIB, 64 * MIB), (256 * MIB, 384 * MIB), Refusal.MAPPABLE_PAST_APERTURE),
        ((0, 64 * MIB), (256 * MIB - PAGE_SIZE, 384 * MIB), Refusal.NONMAPPABLE_IN_APERTURE),
        ((0, 64 * MIB), (4 * GIB - 384 * MIB + PAGE_SIZE, 384 * MIB), Refusal.NONMAPPABLE_PAST_GGTT),
        ((0xFFFF_F000, 0xFFFF_F000), (256 * MIB, 0), Refusal.MAPPABLE_PAST_APERTURE),
        ((0, 64 * MIB + 8), (256 * MIB, 384 * MIB), Refusal.UNALIGNED_SLICE),
    ],
)
def test_slices_that_do_not_fit_are_refused_by_name_before_anything_is_reserved(
    mappable: tuple[int, int], nonmappable: tuple[int, int], rule: Refusal
) -> None:
    space, balloon = make_balloon()
    with pytest.raises(HostRefused) as caught:
        balloon.inflate(GraphicsRange(*mappable), GraphicsRange(*nonmappable), APERTURE)
    assert caught.value.rule == rule
    assert space.nodes == () and balloon.slots == {}


def test_the_limits_themselves_are_accepted() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(192 * MIB, 64 * MIB), GraphicsRange(4 * GIB - 384 * MIB, 384 * MIB), APERTURE)
    assert list(balloon.slots) == [BalloonSlot.NONMAPPABLE_BELOW, BalloonSlot.MAPPABLE_BELOW]
    assert list(space.holes()) == [(192 * MIB, 256 * MIB), (4 * GIB - 384 * MIB, 4 * GIB)]


@pytest.mark.parametrize("taken", [32 * MIB, 200 * MIB, 512 * MIB, 3 * GIB])
def test_a_balloon_that_meets_something_lets_the_others_out_again(taken: int) -> None:
    space, balloon = make_balloon()
    obstacle = space.reserve(taken, PAGE_SIZE, "left by firmware")
    with pytest.raises(DriverError, match="left by firmware"):
        balloon.inflate(GraphicsRange(64 * MIB, 64 * MIB), GraphicsRange(1 * GIB, 512 * MIB), APERTURE)
    assert space.nodes == (obstacle,)
    assert balloon.slots == {}


def test_deflating_leaves_the_space_whole_and_can_be_repeated() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(64 * MIB, 64 * MIB), GraphicsRange(1 * GIB, 512 * MIB), APERTURE)
    balloon.deflate()
    balloon.deflate()
    assert list(space.holes()) == [(0, 4 * GIB)]


def test_empty_slices_leave_nothing_to_the_guest() -> None:
    space, balloon = make_balloon()
    balloon.inflate(GraphicsRange(0, 0), GraphicsRange(256 * MIB, 0), APERTURE)
    assert list(space.holes()) == []
