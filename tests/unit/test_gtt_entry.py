"""Entries of the translation tables, against the values that the driver writes."""

from __future__ import annotations

import random
import re

import pytest

from pvinfo.errors import UsageError
from pvinfo.gtt_entry import (
    DRIVER_ADDRESS_BITS,
    ENTRIES_PER_TABLE,
    ENTRY_SIZE,
    FRAME_MASK_1G,
    FRAME_MASK_2M,
    FRAME_MASK_4K,
    FRAME_MASK_64K,
    PAGE_CACHED,
    PAGE_DISPLAY,
    PAGE_SCRATCH,
    PAGE_UNCACHED,
    PPGTT_LEVELS,
    TABLE_CACHED,
    TABLE_SCRATCH,
    GgttEntry,
    PageDirectoryEntry,
    PageDirectoryPointerEntry,
    PageMapLevel4Entry,
    PageTableEntry,
    canonical,
    table_index,
)
from pvinfo.units import PAGE_SIZE, BusAddress


def test_a_table_is_one_page() -> None:
    assert ENTRIES_PER_TABLE * ENTRY_SIZE == PAGE_SIZE


def test_a_global_entry_is_the_address_and_the_present_bit() -> None:
    entry = GgttEntry.pointing_to(BusAddress(0x1_2345_6000))
    assert entry == 0x1_2345_6001
    assert (entry.present, entry.address, entry.frame) == (True, 0x1_2345_6000, 0x12_3456)


def test_an_absent_entry_keeps_its_address() -> None:
    entry = GgttEntry(0x7000)
    assert (entry.present, entry.address) == (False, 0x7000)


def test_an_entry_holds_any_address_of_46_bits() -> None:
    rng = random.Random(5)
    for _ in range(200):
        address = BusAddress(rng.getrandbits(34) << 12)
        assert GgttEntry.pointing_to(address).address == address
        assert PageTableEntry.pointing_to(address, writable=1).address == address


def test_bits_above_the_address_do_not_count_as_address() -> None:
    assert PageTableEntry(0xFFFF_FFFF_FFFF_FFFF).address == FRAME_MASK_4K == 0x3FFF_FFFF_F000


@pytest.mark.parametrize("address", [0x1234, 1 << 46, 0xFFF, -4096])
def test_an_address_that_no_entry_can_hold_is_refused(address: int) -> None:
    with pytest.raises(UsageError, match=re.escape(f"GgttEntry: {address:#x} is not a page address below 0x400000000000")):
        GgttEntry.pointing_to(BusAddress(address))


def test_a_field_that_the_entry_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="GgttEntry has no field writable"):
        GgttEntry.pointing_to(BusAddress(0x1000), writable=1)


@pytest.mark.parametrize(
    ("bits", "value", "attribute"),
    [(PAGE_CACHED, 0x83, 4), (PAGE_DISPLAY, 0x13, 2), (PAGE_UNCACHED, 0x1B, 3), (PAGE_SCRATCH, 0x19, 3)],
)
def test_the_drivers_kinds_of_pages_have_their_attribute(bits: PageTableEntry, value: int, attribute: int) -> None:
    assert (int(bits), bits.attribute_index) == (value, attribute)


def test_every_attribute_index_is_reached_by_its_three_bits() -> None:
    entries = [PageTableEntry.of(attribute=n >> 2, cache_disable=n >> 1 & 1, write_through=n & 1) for n in range(8)]
    assert [entry.attribute_index for entry in entries] == list(range(8))


def test_the_scratch_page_is_present_and_read_only() -> None:
    assert PAGE_SCRATCH.present and not PAGE_SCRATCH.writable


def test_entries_that_lead_to_tables_are_present_and_writable() -> None:
    assert (int(TABLE_CACHED), int(TABLE_SCRATCH)) == (0x3, 0x1B)


def test_the_64_kib_bit_stands_in_the_directory_entry_and_the_page_size_bit_in_the_two_lower_directories() -> None:
    assert PageDirectoryEntry(0x5000 | 1 << 11 | 3).intermediate_page_size
    assert PageDirectoryEntry(1 << 7).page_size and PageDirectoryPointerEntry(1 << 7).page_size
    assert [field.name for field in PageMapLevel4Entry.bit_fields] == ["present", "writable", "write_through", "cache_disable", "frame"]


def test_larger_pages_have_shorter_addresses() -> None:
    masks = [FRAME_MASK_4K, FRAME_MASK_64K, FRAME_MASK_2M, FRAME_MASK_1G]
    assert [(mask & -mask).bit_length() - 1 for mask in masks] == [12, 16, 21, 30]
    assert {mask.bit_length() for mask in masks} == {46}


def test_driver_addresses_fit_the_entries() -> None:
    assert GgttEntry.pointing_to(BusAddress((1 << DRIVER_ADDRESS_BITS) - PAGE_SIZE)).present


def test_the_indices_of_the_levels_make_up_the_address_again() -> None:
    rng = random.Random(9)
    for _ in range(200):
        address = rng.getrandbits(48) & ~0xFFF
        indices = [table_index(address, level) for level in range(PPGTT_LEVELS)]
        assert all(0 <= index < ENTRIES_PER_TABLE for index in indices)
        assert sum(index << (12 + 9 * level) for level, index in enumerate(indices)) == address


@pytest.mark.parametrize(
    ("address", "carried"),
    [
        (0, 0),
        (0x7FFF_FFFF_F000, 0x7FFF_FFFF_F000),
        (0x8000_0000_0000, 0xFFFF_8000_0000_0000),
        (0xFFFF_8000_0000_0000, 0xFFFF_8000_0000_0000),
    ],
)
def test_batch_addresses_carry_bit_47_to_the_top(address: int, carried: int) -> None:
    assert canonical(address) == carried
