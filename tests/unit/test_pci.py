"""The configuration space: the header's layout, and the bits that a guest and a mediator look at."""

from __future__ import annotations

import random
import re

import pytest

from pvinfo.errors import UsageError, WireError
from pvinfo.pci import (
    ASLS,
    BAR0,
    BAR2,
    BAR4,
    BSM,
    CAPABILITIES_POINTER,
    CLASS_VGA,
    COMMAND,
    CONFIG_HEADER,
    EXPANSION_ROM,
    GMCH_CTL,
    INTERRUPT_LINE,
    MSI_CAPABILITY,
    POWER_MANAGEMENT_CAPABILITY,
    REVISION_ID,
    STATUS,
    SWSCI,
    VENDOR_INTEL,
    BaseAddress,
    BaseAddressType,
    CapabilityHeader,
    CapabilityId,
    ClassCode,
    Command,
    GmchControl,
    MsiCapability,
    MsiControl,
    Pmcsr,
    PowerState,
    Status,
    bar_offset,
    bar_sizing_mask,
)
from pvinfo.units import GIB, MIB

SKYLAKE = bytes.fromhex(
    "8680 1219 0704 1000 06 000003 00 00 00 00"  # ids, command, status, revision and class
    "0400 00f0 0000 0000 0c00 00e0 0100 0000 01f0 0000 0000 0000"  # BAR0 64 bit, BAR2 64 bit prefetchable, BAR4 I/O
    "0000 0000 2810 1219 0000 0000 90 00 00 00 00 00 00 00 0b 01 00 00"
)


def test_the_header_of_a_skylake_gpu_reads_field_by_field() -> None:
    header = CONFIG_HEADER.parse(SKYLAKE)
    assert (header.vendor_id, header.device_id) == (VENDOR_INTEL, 0x1912)
    assert header.command == Command.of(io=1, memory=1, master=1, interrupt_disable=1)
    assert header.status == Status.of(capabilities=1)
    assert header.class_code == ClassCode.of(revision=6, base_class=3)
    assert int(header.class_code) >> 8 == CLASS_VGA
    assert (header.registers_address, header.aperture_address) == (0xF000_0000, 0x1_E000_0000)
    assert header.bar4.io and header.bar4.base == 0xF000 // 4
    assert (header.capabilities_pointer, header.interrupt_line, header.interrupt_pin) == (0x90, 11, 1)


def test_the_offset_constants_agree_with_the_header() -> None:
    named = {
        COMMAND: "command", STATUS: "status", REVISION_ID: "class_code", BAR0: "bar0", BAR2: "bar2", BAR4: "bar4",
        EXPANSION_ROM: "expansion_rom", CAPABILITIES_POINTER: "capabilities_pointer", INTERRUPT_LINE: "interrupt_line",
    }  # fmt: skip
    assert {offset: CONFIG_HEADER.offset_of(name) for offset, name in named.items()} == {offset: offset for offset in named}


def test_intels_own_registers_stand_beyond_the_header() -> None:
    assert (GMCH_CTL, BSM, SWSCI, ASLS) == (0x50, 0x5C, 0xE8, 0xFC)


def test_any_header_survives_parsing_and_building() -> None:
    rng = random.Random(7)
    for _ in range(100):
        data = rng.randbytes(64)
        header = CONFIG_HEADER.parse(data)
        assert CONFIG_HEADER.build(header) == CONFIG_HEADER.pack(header) == data
        assert CONFIG_HEADER.unpack_from(data) == header


def test_a_header_cut_short_names_the_field_that_is_missing() -> None:
    with pytest.raises(WireError, match=r"ConfigHeader\.bar5 at byte 0x24"):
        CONFIG_HEADER.parse(SKYLAKE[:0x26])


def test_bar0_is_64_bit_and_not_prefetchable_and_bar2_is_prefetchable() -> None:
    header = CONFIG_HEADER.parse(SKYLAKE)
    assert header.bar0.type is BaseAddressType.BITS_64 and not header.bar0.prefetchable
    assert header.bar2.type is BaseAddressType.BITS_64 and header.bar2.prefetchable


def test_a_sized_bar_reads_back_ones_above_its_length() -> None:
    assert bar_sizing_mask(16 * MIB) == 0xFFFF_FFFF_FF00_0000
    low = BaseAddress(bar_sizing_mask(256 * MIB) & 0xFFFF_FFFF | 0xC)
    assert (int(low), low.prefetchable) == (0xF000_000C, True)
    assert bar_sizing_mask(8 * GIB) & 0xFFFF_FFFF == 0


@pytest.mark.parametrize("size", [0, 8, 3 * MIB, -16])
def test_a_bar_whose_length_is_no_power_of_two_cannot_be_sized(size: int) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{size:#x} bytes: its length is a power of two, at least 16")):
        bar_sizing_mask(size)


def test_there_are_six_base_address_registers() -> None:
    assert [bar_offset(index) for index in range(6)] == [0x10, 0x14, 0x18, 0x1C, 0x20, 0x24]
    with pytest.raises(UsageError, match="base address register 6: a function has 0 to 5"):
        bar_offset(6)


@pytest.mark.parametrize(
    ("word", "table", "stolen"),
    [(0x0000, 0, 0), (0x0040, 2 * MIB, 0), (0x0080, 4 * MIB, 0), (0x00C0, 8 * MIB, 0), (0x02C0, 8 * MIB, 2)],
)
def test_graphics_control_tells_the_length_of_the_global_table(word: int, table: int, stolen: int) -> None:
    control = GmchControl(word)
    assert (control.ggtt_bytes, control.gms) == (table, stolen)


def test_a_vgpu_has_graphics_control_without_stolen_memory() -> None:
    assert GmchControl.of(0x02C2, gms=0) == 0x00C2


def test_an_msi_capability_with_one_message_takes_ten_bytes() -> None:
    msi = MsiCapability(CapabilityHeader(CapabilityId.MSI, 0xD0), MsiControl.of(enable=1), 0xFEE0_0000, 0x4021)
    assert MSI_CAPABILITY.pack(msi).hex() == "05d001000000e0fe2140"
    assert MSI_CAPABILITY.unpack_from(MSI_CAPABILITY.pack(msi)) == msi


def test_a_guest_that_goes_to_sleep_shows_it_in_the_power_state() -> None:
    capability = POWER_MANAGEMENT_CAPABILITY.parse(bytes.fromhex("0100 2200 0b00 0000"))
    assert capability.pmcsr == Pmcsr.of(state=PowerState.D3HOT, no_soft_reset=1)
    assert capability.pmcsr.state is PowerState.D3HOT
    assert POWER_MANAGEMENT_CAPABILITY.offset_of("pmcsr") == 4
