"""Rings: room, the way round, positions."""

from __future__ import annotations

import pytest
from support.guest_machine import FakeMemory

from guest_driver import Binding, GuestPages
from guest_driver.address_space import AddressSpace, Placement
from guest_driver.ring import Ring
from guest_driver.timeline import Timeline, seqno_passed
from pvinfo.errors import UsageError
from pvinfo.units import MIB, PAGE_SIZE


def ring(pages: int = 1) -> Ring:
    return Ring(binding(pages))


def binding(pages: int = 1) -> Binding:
    buffer = GuestPages(FakeMemory(2 * MIB)).allocate(pages, "ring")
    node = AddressSpace("graphics", 1 * MIB).insert(pages * PAGE_SIZE, "ring", Placement.LOW)
    return Binding(node, buffer, guard=0)


def test_a_line_of_a_ring_stays_free_so_that_full_does_not_look_like_empty() -> None:
    empty = ring()
    assert empty.space == PAGE_SIZE - 64
    assert empty.needed(1008, 0) == (4032, None)
    with pytest.raises(UsageError, match="4040 bytes, and 0 to end the request: a ring of 4096 bytes"):
        empty.needed(1010, 0)
    with pytest.raises(UsageError, match="4000 bytes, and 40 to end the request"):
        empty.needed(1000, 40)


def test_pieces_of_a_ring_are_whole_quadwords() -> None:
    with pytest.raises(UsageError, match="3 dwords for a ring: pieces are whole quadwords"):
        ring().needed(3, 0)


def test_a_piece_that_does_not_fit_before_the_end_leaves_it_to_no_operations() -> None:
    full = ring()
    full.append([0xFFFF_FFFF] * 1000)
    full.head = full.emit
    full.update_space()
    needed, lost = full.needed(32, 64)
    assert (needed, lost) == (128 + 64 + 96, 96), "what is lost must be free, too"
    assert lost is not None
    full.wrap(lost)
    assert full.binding.buffer.read(4000, 96) == bytes(96)
    assert full.append([1, 2]) == 0
    assert full.emit == 8


def test_a_piece_that_fits_stays_where_it_is_though_the_end_of_its_request_will_not() -> None:
    full = ring()
    full.append([0] * 1000)
    assert full.needed(24, 64) == (64 + 96, None), "the end of the request is waited for at the start of the ring"


@pytest.mark.parametrize(
    ("new", "old", "distance"), [(8, 0, 8), (0, 8, -8), (0, 4088, 8), (4088, 0, -8), (2040, 0, 2040), (2048, 0, -2048), (16, 16, 0)]
)
def test_positions_are_compared_by_the_shorter_way_round(new: int, old: int, distance: int) -> None:
    assert ring().direction(new, old) == distance


def test_the_end_of_a_ring_is_its_start() -> None:
    assert ring().wrapped(4096) == 0
    assert ring().wrapped(4088) == 4088


def test_clearing_goes_around_the_end() -> None:
    full = ring()
    full.rewrite(0, [0xFFFF_FFFF] * 1024)
    full.clear(4080, 16)
    words = full.binding.buffer.read(0, PAGE_SIZE)
    assert words[:16] == bytes(16)
    assert words[16:4080] == b"\xff" * 4064
    assert words[4080:] == bytes(16)


def test_a_ring_that_is_reset_holds_nothing() -> None:
    used = ring()
    used.append([0] * 100)
    used.reset(used.emit)
    assert (used.head, used.tail, used.emit) == (400, 400, 400)
    assert used.space == PAGE_SIZE - 64


# ---- timelines ----


@pytest.mark.parametrize(
    ("reported", "wanted", "passed"),
    [(2, 2, True), (3, 2, True), (1, 2, False), (0, 0xFFFF_FFFF, True), (0xFFFF_FFFF, 0, False), (0x8000_0001, 2, True), (0x8000_0002, 2, False)],
)
def test_numbers_of_requests_are_compared_around_the_end(reported: int, wanted: int, passed: bool) -> None:
    assert seqno_passed(reported, wanted) is passed


def test_numbers_go_up_by_two_where_requests_report_their_start() -> None:
    reporting, plain = Timeline(binding(), 0, reports_start=True), Timeline(binding(), 0x100, reports_start=False)
    assert [reporting.next_seqno() for _ in range(3)] == [2, 4, 6]
    assert [plain.next_seqno() for _ in range(3)] == [1, 2, 3]
    assert plain.address == plain.binding.address + 0x100


def test_numbers_that_nobody_else_polls_for_go_on_at_zero() -> None:
    timeline = Timeline(binding(), 0x100, reports_start=False)
    timeline.seqno = 0xFFFF_FFFF
    assert (timeline.next_seqno(), timeline.offset) == (0, 0x100)


@pytest.mark.parametrize(("offset", "following"), [(0, 8), (0x18, 0x40), (0xFD8, 0), (0x58, 0x80)])
def test_numbers_that_others_poll_for_begin_anew_in_another_dword(offset: int, following: int) -> None:
    """Whoever polls for the last number or any higher one must not meet a lower one. A flush cannot write where bit 5 is set."""
    timeline = Timeline(binding(), offset, reports_start=True)
    timeline.binding.buffer.write_dword(following, 0xDEAD)
    timeline.seqno = 0xFFFF_FFFC
    assert (timeline.next_seqno(), timeline.offset) == (0xFFFF_FFFE, offset)
    timeline.reset_reported()
    assert (timeline.next_seqno(), timeline.offset) == (2, following)
    assert (timeline.reported(), timeline.reported(offset)) == (0, 0xFFFF_FFFE)
    assert timeline.address == timeline.binding.address + following


def test_a_timeline_that_is_reset_says_that_nothing_is_left() -> None:
    timeline = Timeline(binding(), 0x108, reports_start=False)
    timeline.next_seqno()
    assert timeline.reported() == 0
    timeline.reset_reported()
    assert timeline.binding.buffer.read_dword(0x108) == timeline.reported() == 1
