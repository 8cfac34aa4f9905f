"""The host's own memory in blocks: where they stand, whose they are, and what becomes of them."""

from __future__ import annotations

import random

import pytest

from host_model.free_ranges import FreeRanges
from host_model.memory import HostBlock, HostMemory
from pvinfo.errors import StateError
from pvinfo.units import GIB, PAGE_SIZE, BusAddress


def test_a_block_is_zeroed_memory_in_one_piece_at_one_bus_address() -> None:
    memory = HostMemory()
    block = memory.allocate(5, owner=3)
    assert (block.pages, block.owner, len(block.bytes), set(block.bytes)) == (5, 3, 5 * PAGE_SIZE, {0})
    block.bytes[2 * PAGE_SIZE - 1 : 2 * PAGE_SIZE + 1] = b"ab"
    span = memory.span(BusAddress(block.address + PAGE_SIZE), 4 * PAGE_SIZE)
    page = memory.page(BusAddress(block.address + 2 * PAGE_SIZE + 77))
    assert span is not None and bytes(span[PAGE_SIZE - 1 : PAGE_SIZE + 1]) == b"ab"
    assert page is not None and len(page) == PAGE_SIZE and page[0] == ord("b")
    assert memory.span(BusAddress(block.address + PAGE_SIZE), 4 * PAGE_SIZE + 1) is None
    assert [memory.owner_of(BusAddress(block.address + at * PAGE_SIZE)) for at in (-1, 0, 4, 5)] == [None, 3, 3, None]


def test_the_hosts_own_pages_stand_above_all_that_firmware_places() -> None:
    """The GPU shows its stolen memory below 4 GiB in front of whatever is there."""
    memory = HostMemory()
    assert min(memory.allocate_page() for _ in range(3)) >= 4 * GIB


def test_a_released_block_is_gone_and_its_place_is_used_again_with_nothing_of_it_left() -> None:
    memory = HostMemory()
    first, second = memory.allocate(2, owner=1), memory.allocate(1)
    first.bytes[:] = b"\xff" * len(first.bytes)
    revision = memory.revision
    memory.release(first)
    assert memory.revision != revision
    assert memory.page(first.address) is None and memory.span(first.address, 1) is None and memory.owner_of(first.address) is None
    again = memory.allocate(2, owner=2)
    assert again.address == first.address < second.address
    assert set(again.bytes) == {0} and memory.owner_of(again.address) == 2


def test_a_block_is_released_once() -> None:
    memory = HostMemory()
    block = memory.allocate(2)
    page = memory.allocate_page(owner=4)
    assert memory.owner_of(page) == 4
    memory.release_page(page)
    memory.release(block)
    with pytest.raises(StateError, match=f"releasing the host's 2 pages at {block.address:#x} needs state allocated"):
        memory.release(block)
    with pytest.raises(StateError, match=f"releasing the host's page at {page:#x} needs state allocated"):
        memory.release_page(page)
    taken = memory.allocate(2)
    with pytest.raises(StateError):
        memory.release_page(BusAddress(taken.address + PAGE_SIZE))
    with pytest.raises(StateError):
        memory.release(block)  # another block stands there now
    assert memory.page(taken.address) is not None


def test_blocks_never_overlap_and_each_keeps_what_is_its_own() -> None:
    rng = random.Random(4711)
    memory = HostMemory()
    blocks: dict[HostBlock, int] = {}
    for stamp in range(1, 2000):
        if blocks and rng.random() < 0.48:
            block = rng.choice(list(blocks))
            assert block.bytes.cast("Q")[0] == block.bytes.cast("Q")[-1] == blocks.pop(block)
            memory.release(block)
            continue
        block = memory.allocate(rng.choice((1, 1, 1, 2, 3, 17)))
        assert set(block.bytes) == {0}
        block.bytes.cast("Q")[0] = block.bytes.cast("Q")[-1] = stamp
        blocks[block] = stamp
    ranges = sorted((block.address, block.address + len(block.bytes)) for block in blocks)
    assert all(end <= start for (_, end), (start, _) in zip(ranges, ranges[1:], strict=False))
    assert ranges[-1][1] - 4 * GIB < 3 * sum(end - start for start, end in ranges), "holes are used first"


# ---- free ranges ----


def test_free_ranges_join_when_they_are_given_back() -> None:
    free = FreeRanges((range(0, 100),))
    assert [free.take(10) for _ in range(3)] == [0, 10, 20]
    assert free.take(10, top_down=True) == 90
    free.give_back(0, 10)
    free.give_back(20, 10)
    assert (free.left, free.longest) == (80, 70)
    assert free.take(70) == 20
    free.give_back(10, 10)
    assert (free.left, free.longest) == (20, 20)
    assert free.take(21) is None


def test_what_is_free_already_is_not_given_back() -> None:
    free = FreeRanges((range(10, 20), range(30, 40)))
    for start, size in ((10, 1), (5, 6), (19, 2), (20, 11), (5, 40)):
        with pytest.raises(ValueError, match="part of it is free already"):
            free.give_back(start, size)
    assert free.left == 20


def test_free_ranges_are_like_a_set_of_addresses() -> None:
    rng = random.Random(99)
    free, model = FreeRanges((range(256),)), set(range(256))
    taken: list[range] = []
    for _ in range(5000):
        act, size = rng.random(), rng.randint(1, 12)
        holes = [at for at in range(256 - size + 1) if model.issuperset(range(at, at + size))]
        if act < 0.3:
            at = free.take(size)
            assert at == (holes[0] if holes else None)
        elif act < 0.4:
            at = free.take(size, top_down=True)
            assert at == (holes[-1] if holes else None)
        elif act < 0.55:
            place = rng.randrange(250)
            got = free.take_at(place, size)
            assert got == (place in holes)
            at = place if got else None
        else:
            at = None
            if taken:
                given = taken.pop(rng.randrange(len(taken)))
                free.give_back(given.start, len(given))
                model.update(given)
        if at is not None:
            taken.append(range(at, at + size))
            model.difference_update(taken[-1])
        assert free.left == len(model)
