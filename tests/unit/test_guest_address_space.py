"""The allocator behind graphics memory and page frames."""

from __future__ import annotations

import random

import pytest

from guest_driver.address_space import AddressSpace, Node, Placement
from pvinfo.errors import DriverError, UsageError
from pvinfo.units import KIB, MIB, PAGE_SIZE


def test_high_placement_fills_from_the_top_and_low_from_the_bottom() -> None:
    space = AddressSpace("test", 1 * MIB)
    assert space.insert(PAGE_SIZE, "a", Placement.HIGH).start == 0xFF000
    assert space.insert(2 * PAGE_SIZE, "b", Placement.HIGH).start == 0xFD000
    assert space.insert(PAGE_SIZE, "c", Placement.LOW).start == 0
    assert space.insert(PAGE_SIZE, "d", Placement.LOW).start == 0x1000


def test_high_placement_passes_over_a_hole_that_is_too_small() -> None:
    space = AddressSpace("test", 64 * KIB)
    space.reserve(0xC000, 2 * PAGE_SIZE, "in the way")
    assert space.insert(3 * PAGE_SIZE, "large", Placement.HIGH).start == 0x9000
    assert space.insert(2 * PAGE_SIZE, "small", Placement.HIGH).start == 0xE000


def test_best_placement_takes_the_smallest_hole_that_fits() -> None:
    space = AddressSpace("test", 64 * KIB)
    space.reserve(0x4000, PAGE_SIZE, "x")
    space.reserve(0x7000, PAGE_SIZE, "y")
    assert space.insert(2 * PAGE_SIZE, "best", Placement.BEST).start == 0x5000


def test_alignment_is_kept_at_either_end() -> None:
    space = AddressSpace("test", 1 * MIB)
    space.reserve(0xFF000, PAGE_SIZE, "top")
    space.reserve(0, PAGE_SIZE, "bottom")
    assert space.insert(64 * KIB, "high", Placement.HIGH, alignment=64 * KIB).start == 0xE0000
    assert space.insert(PAGE_SIZE, "low", Placement.LOW, alignment=256 * KIB).start == 0x40000


def test_bounds_hold_against_both_ends() -> None:
    space = AddressSpace("test", 1 * MIB)
    assert space.insert(PAGE_SIZE, "below", Placement.HIGH, end=0x10000).start == 0xF000
    assert space.insert(PAGE_SIZE, "above", Placement.LOW, start=0x20000).start == 0x20000
    with pytest.raises(DriverError, match="no room for 4 KiB of late in .*the largest hole there has 0 bytes"):
        space.insert(PAGE_SIZE, "late", Placement.LOW, start=0x20000, end=0x21000)


def test_a_full_space_says_what_was_wanted_and_what_the_largest_hole_has() -> None:
    space = AddressSpace("graphics memory", 64 * KIB)
    space.reserve(0x8000, 0x6000, "half")
    with pytest.raises(DriverError, match=r"graphics memory: no room for 36 KiB of ring in \[0x0, 0x10000\) .*has 32 KiB"):
        space.insert(9 * PAGE_SIZE, "ring", Placement.HIGH)


def test_reserving_what_is_taken_names_both_owners() -> None:
    space = AddressSpace("test", 64 * KIB)
    space.reserve(0x2000, 0x2000, "first")
    for start, size in ((0x2000, 0x2000), (0x1000, 0x2000), (0x3000, 0x1000), (0x0, 0x10000), (0x3000, 0x4000)):
        with pytest.raises(DriverError, match="for second overlaps .* of first"):
            space.reserve(start, size, "second")
    assert space.reserve(0x1000, 0x1000, "touching").end == 0x2000


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0x800, 0x1000), (0, 0x1800), (0xF000, 0x2000), (-0x1000, 0x1000)])
def test_a_range_that_is_not_of_whole_pages_inside_the_space_is_a_usage_error(start: int, size: int) -> None:
    with pytest.raises(UsageError, match="is not a range of whole pages below 0x10000"):
        AddressSpace("test", 64 * KIB).reserve(start, size, "odd")


def test_removing_twice_is_refused_and_a_removed_range_is_free_again() -> None:
    space = AddressSpace("test", 64 * KIB)
    node = space.reserve(0x1000, 0x1000, "once")
    assert space.node_at(0x1FFF) is node and space.node_at(0x2000) is None
    space.remove(node)
    with pytest.raises(DriverError, match="is not allocated here"):
        space.remove(node)
    assert list(space.holes()) == [(0, 64 * KIB)]


def test_random_use_keeps_nodes_apart_and_accounts_for_every_byte() -> None:
    chance = random.Random(20)
    space = AddressSpace("test", 4 * MIB)
    kept: list[Node] = []
    for _ in range(600):
        if kept and chance.random() < 0.45:
            space.remove(kept.pop(chance.randrange(len(kept))))
            continue
        try:
            kept.append(
                space.insert(
                    PAGE_SIZE * chance.randint(1, 40), "x", chance.choice(list(Placement)), alignment=PAGE_SIZE << chance.randint(0, 4)
                )
            )
        except DriverError:
            continue
    nodes = space.nodes
    assert sorted(nodes, key=lambda node: node.start) == list(nodes)
    assert all(left.end <= right.start for left, right in zip(nodes, nodes[1:], strict=False))
    assert set(map(id, nodes)) == set(map(id, kept))
    assert space.reserved + sum(top - bottom for bottom, top in space.holes()) == space.size
