"""Page frames of the machine's RAM."""

from __future__ import annotations

import pytest
from support.guest_machine import FakeMemory

from guest_driver import GuestPages
from pvinfo.errors import DriverError
from pvinfo.units import KIB, MIB, PAGE_SIZE


def test_frames_come_zeroed_in_rising_order_from_the_first_mebibyte_on() -> None:
    ram = FakeMemory(4 * MIB)
    ram.bytes[:] = b"\xaa" * len(ram.bytes)
    pages = GuestPages(ram)
    first, second = pages.allocate(2, "first"), pages.allocate(1, "second")
    assert first.pages == (0x100000, 0x101000)
    assert second.address == 0x102000
    assert first.read(0, 2 * PAGE_SIZE) == bytes(2 * PAGE_SIZE)
    assert ram.bytes[0x103000] == 0xAA
    assert pages.in_use == 3 * PAGE_SIZE


def test_a_large_scratch_page_is_aligned_to_its_size() -> None:
    pages = GuestPages(FakeMemory(4 * MIB))
    pages.allocate(1, "in the way")
    assert pages.allocate(16, "scratch", alignment=64 * KIB).address == 0x110000


def test_a_buffer_is_read_and_written_across_pages_and_not_past_its_end() -> None:
    buffer = GuestPages(FakeMemory(4 * MIB)).allocate(2, "buffer")
    buffer.write(PAGE_SIZE - 2, b"\x01\x02\x03\x04")
    buffer.write_dword(8, 0x11223344)
    assert buffer.read(PAGE_SIZE - 3, 6) == b"\x00\x01\x02\x03\x04\x00"
    assert buffer.read(8, 4) == b"\x44\x33\x22\x11"
    for offset, length in ((2 * PAGE_SIZE - 1, 2), (-1, 1)):
        with pytest.raises(DriverError, match="of a buffer of 8 KiB"):
            buffer.read(offset, length)
    with pytest.raises(DriverError, match="bytes 0x1ffd to 0x2001 of a buffer of 8 KiB"):
        buffer.write_dword(2 * PAGE_SIZE - 3, 0)


def test_a_buffer_whose_pages_do_not_adjoin_is_read_and_written_page_by_page() -> None:
    ram = FakeMemory(4 * MIB)
    buffer = GuestPages(ram).allocate(3, "buffer")
    buffer.pages = buffer.pages[::-1]
    assert not buffer.contiguous
    buffer.write(PAGE_SIZE - 2, bytes(range(1, 5)))
    assert ram.bytes[0x102FFE:0x103000] == b"\x01\x02"
    assert ram.bytes[0x101000:0x101002] == b"\x03\x04"
    assert buffer.read(PAGE_SIZE - 2, 4) == b"\x01\x02\x03\x04"


def test_filling_makes_every_quadword_the_entry() -> None:
    ram = FakeMemory(4 * MIB)
    buffer = GuestPages(ram).allocate(1, "table")
    buffer.fill_entries(0x1234_5000_001B)
    assert {ram.quadword(buffer.address + 8 * index) for index in range(512)} == {0x1234_5000_001B}


def test_released_frames_are_handed_out_again_and_only_once() -> None:
    pages = GuestPages(FakeMemory(4 * MIB))
    buffer = pages.allocate(3, "buffer")
    pages.release(buffer)
    assert pages.in_use == 0
    assert pages.allocate(1, "next").address == buffer.address
    with pytest.raises(DriverError):
        pages.release(buffer)


def test_ram_runs_out_with_a_message_and_too_little_of_it_is_refused_at_once() -> None:
    pages = GuestPages(FakeMemory(1 * MIB + 2 * PAGE_SIZE))
    with pytest.raises(DriverError, match="guest memory: no room for 12 KiB of ring"):
        pages.allocate(3, "ring")
    with pytest.raises(DriverError, match="the machine has 512 KiB of RAM"):
        GuestPages(FakeMemory(512 * KIB))
