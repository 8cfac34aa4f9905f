"""Registers of the display engine: a driver that sets it up finds everything done at once, and no monitor."""

from __future__ import annotations

import pytest
from support.vgpus import make_vgpu, send_messages_to

from host_model.mediator.vgpu import Vgpu
from pvinfo.registers.ddi import PORT_BASES

BIG_CORES = ("skl", "kbl", "cfl")
GEN9 = (*BIG_CORES, "bxt")


def _written(platform: str, offset: int, value: int) -> int:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(offset, value)
    return vgpu.mmio.read32(offset)


# ---- power ----


@pytest.mark.parametrize(
    ("platform", "value", "shown"),
    [
        ("skl", 0xA00002AA, 0xF00003FF),
        ("skl", 0xFFFFFFFF, 0xF00003FF),
        ("skl", 0x20000000, 0x30000000),
        ("skl", 0x50000155, 0),
        ("bxt", 0xA00002AA, 0xF0000000),
        ("bdw", 0x80000000, 0xC0000000),
        ("bdw", 0x40000000, 0),
    ],
)
def test_a_power_well_is_on_when_it_is_requested(platform: str, value: int, shown: int) -> None:
    assert _written(platform, 0x45404, value) == shown


@pytest.mark.parametrize("offset", [0x45400, 0x45408, 0x4540C, 0x45410, 0x45414])
def test_broadwells_other_requesters_see_their_request_granted_too(offset: int) -> None:
    assert _written("bdw", offset, 0x80000000) == 0xC0000000


@pytest.mark.parametrize(("value", "shown"), [(0x80000000, 0xC0000000), (0x40000000, 0), (0, 0)])
def test_the_display_buffer_has_power_when_it_is_requested(value: int, shown: int) -> None:
    assert _written("skl", 0x45008, value) == shown


@pytest.mark.parametrize("platform", GEN9)
def test_all_fuses_have_been_distributed(platform: str) -> None:
    assert make_vgpu(platform).mmio.read32(0x42000) == 1 << 31 | 0b111 << 25


def test_low_power_states_stick_as_they_are_written() -> None:
    assert _written("skl", 0x45504, 0) == 0


# ---- clocks ----


@pytest.mark.parametrize("platform", BIG_CORES)
def test_the_display_clock_is_found_in_order(platform: str) -> None:
    read = make_vgpu(platform).mmio.read32
    assert read(0x4F060) & 0xFFFFFF != 0
    assert read(0x46010) == 0xC0000000
    assert read(0x6C058) & 0x3F == 0b000101
    assert read(0x6C060) == 1
    assert read(0x46000) == 2 << 26 | (337_500 - 1000) // 500


def test_broxtons_display_clock_is_found_in_order() -> None:
    read = make_vgpu("bxt").mmio.read32
    assert read(0x46070) >> 30 == 0b11
    assert (read(0x6D000) & 0xFF) * 19_200 == 1_248_000
    assert read(0x46000) & 0x7FF == (624_000 - 1000) // 500


def test_broadwells_display_clock_is_found_in_order() -> None:
    assert make_vgpu("bdw").mmio.read32(0x130040) == 0x40000000


@pytest.mark.parametrize(("control", "lock"), [(0x46010, 0), (0x46014, 8), (0x46040, 16), (0x46060, 24)])
def test_a_loop_is_locked_when_it_is_enabled(control: int, lock: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(control, 1 << 31)
    assert vgpu.mmio.read32(0x6C060) >> lock & 1 == 1
    vgpu.mmio.write32(control, 0)
    assert vgpu.mmio.read32(0x6C060) >> lock & 1 == 0


@pytest.mark.parametrize("offset", [0x46010, 0x46014])
def test_a_loops_own_lock_bit_follows_and_nothing_else_is_kept(offset: int) -> None:
    assert _written("skl", offset, 0xFFFFFFFF) == 0xC0000000
    assert _written("skl", offset, 0x7FFFFFFF) == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, 0x40000000), (1 << 31, 1 << 31), (1 << 21, 1 << 30 | 1 << 21 | 1 << 19), (1 << 19, 1 << 30), (3 << 26, 1 << 30 | 3 << 26)],
)
def test_broadwells_loop_follows_its_disable_and_source_bits(value: int, shown: int) -> None:
    assert _written("bdw", 0x130040, value) == shown


# ---- what there is one of ----


def test_the_vga_plane_is_off_and_switching_it_on_is_remarked() -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(0x41000) == 1 << 31
    vgpu.mmio.write32(0x41000, 1 << 31)
    assert vgpu.findings.of_rule("vga-plane") == ()
    vgpu.mmio.write32(0x41000, 0)
    assert len(vgpu.findings.of_rule("vga-plane")) == 1


def test_the_report_of_unclaimed_accesses_is_clear_and_is_cleared_by_writing_one() -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(0x42300) == 0
    vgpu.registers.write32(0x42300, 1 << 31)
    vgpu.mmio.write32(0x42300, 0)
    assert vgpu.mmio.read32(0x42300) == 1 << 31
    vgpu.mmio.write32(0x42300, 1 << 31)
    assert vgpu.mmio.read32(0x42300) == 0


# ---- pipes and planes ----


@pytest.mark.parametrize("offset", [0x70008, 0x71008, 0x72008, 0x7F008, 0xF0008, 0xF1008])
def test_a_transcoder_runs_when_it_is_switched_on_and_stands_when_it_is_switched_off(offset: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(offset, 1 << 31)
    assert vgpu.mmio.read32(offset) == 0b11 << 30
    vgpu.mmio.write32(offset, 1 << 30)
    assert vgpu.mmio.read32(offset) == 0


@pytest.mark.parametrize("pipe", range(3))
def test_a_new_surface_of_the_primary_plane_is_live_and_counted(pipe: int) -> None:
    vgpu = make_vgpu()
    at = 0x1000 * pipe
    vgpu.mmio.write32(0x7019C + at, 0x123000)
    vgpu.mmio.write32(0x7019C + at, 0x456000)
    assert vgpu.mmio.read32(0x7019C + at) == 0x456000
    assert vgpu.mmio.read32(0x701AC + at) == 0x456000
    assert vgpu.mmio.read32(0x70044 + at) == 2


def test_a_new_surface_of_another_plane_is_live_and_not_counted() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x7029C, 0x123000)
    assert vgpu.mmio.read32(0x702AC) == 0x123000
    assert vgpu.mmio.read32(0x70044) == 0


@pytest.mark.parametrize(("platform", "bit"), [("bdw", 4), ("skl", 3)])
def test_an_asynchronous_flip_is_told_at_once_a_synchronous_one_is_not(platform: str, bit: int) -> None:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(0x44404, 0)
    vgpu.mmio.write32(0x7019C, 0x1000)
    assert vgpu.mmio.read32(0x44408) == 0
    vgpu.mmio.write32(0x70180, 1 << 9)
    vgpu.mmio.write32(0x7019C, 0x2000)
    assert vgpu.mmio.read32(0x44408) == 1 << bit


@pytest.mark.parametrize(
    ("offset", "live", "iir", "bit"),
    [(0x50080, 0x701AC, 0x44408, 3), (0x50088, 0x711AC, 0x44418, 3), (0x5008C, 0x721AC, 0x44428, 3), (0x50098, 0x712AC, 0x44418, 4)],
)
def test_a_flip_by_command_register_shows_the_surface_and_is_told_if_asynchronous(offset: int, live: int, iir: int, bit: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(iir - 4, 0)
    vgpu.mmio.write32(offset, 0x5000)
    assert vgpu.mmio.read32(live) == 0x5000 and vgpu.mmio.read32(iir) == 0
    vgpu.mmio.write32(offset, 0x6001)
    assert vgpu.mmio.read32(iir) == 1 << bit


@pytest.mark.parametrize("offset", [0x68180, 0x68280, 0x68980, 0x68A80, 0x69180, 0x69280])
def test_a_scaler_is_for_whole_pictures_only(offset: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(offset, 1 << 31)
    vgpu.mmio.write32(offset, 1 << 31 | 1 << 25)
    assert vgpu.mmio.read32(offset) == 1 << 31
    assert len(vgpu.findings.of_rule("plane-scaling")) == 1


# ---- ports ----


@pytest.mark.parametrize("base", PORT_BASES.values())
def test_a_port_is_idle_unless_it_is_on(base: int) -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(base) == 1 << 7
    vgpu.mmio.write32(base, 1 << 31 | 1 << 7)
    assert vgpu.mmio.read32(base) == 1 << 31
    vgpu.mmio.write32(base, 0)
    assert vgpu.mmio.read32(base) == 1 << 7


@pytest.mark.parametrize("platform", ["bdw", "skl"])
def test_no_embedded_panel_was_found_at_start_up(platform: str) -> None:
    assert make_vgpu(platform).mmio.read32(0x64000) & 1 == 0


def test_idle_patterns_have_been_sent_when_they_are_asked_for() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x64140, 1 << 31 | 0 << 8)
    assert vgpu.mmio.read32(0x64144) == 0
    vgpu.mmio.write32(0x64140, 1 << 31 | 2 << 8)
    assert vgpu.mmio.read32(0x64144) == 1 << 25
    assert vgpu.mmio.read32(0x64244) == 0


def test_latched_states_of_a_port_are_acknowledged_by_writing_ones() -> None:
    vgpu = make_vgpu()
    vgpu.registers.write32(0x64144, 0x0F000000)
    vgpu.mmio.write32(0x64144, 1 << 24 | 1 << 26 | 0x3)
    assert vgpu.mmio.read32(0x64144) == 1 << 27 | 0x3


@pytest.mark.parametrize("on", [True, False])
def test_panel_power_follows_without_delay(on: bool) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0xC7204, 1)
    vgpu.mmio.write32(0xC7204, int(on))
    ready = 1 << 31 | 3 << 28 | 1 << 27 | 0xF
    assert vgpu.mmio.read32(0xC7200) & ready == (1 << 31 | 8 if on else 0)


# ---- south display ----


def test_the_link_to_the_analogue_port_is_reset_at_once() -> None:
    assert _written("bdw", 0xC2004, 1 << 12) == 0b11 << 12
    assert _written("bdw", 0xC2004, 1 << 13) == 0


def test_looking_for_an_analogue_monitor_finds_none_at_once() -> None:
    assert _written("bdw", 0xE1100, 1 << 16 | 1 << 23) == 1 << 23


@pytest.mark.parametrize(("pattern", "seen"), [(0, 1 << 8), (1, 1 << 9), (2, 0), (3, 0)])
def test_a_receiver_understands_training_patterns_at_once(pattern: int, seen: int) -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(0xF000C, pattern << 8)
    assert vgpu.mmio.read32(0xF0014) == 0
    vgpu.mmio.write32(0xF000C, 1 << 31 | pattern << 8)
    assert vgpu.mmio.read32(0xF0014) == seen
    vgpu.mmio.write32(0xF0014, seen)
    assert vgpu.mmio.read32(0xF0014) == 0


def test_a_receiver_does_not_report_what_is_masked_until_it_is_unmasked() -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(0xF1018, 1 << 8)
    vgpu.mmio.write32(0xF100C, 1 << 31)
    assert vgpu.mmio.read32(0xF1014) == 0
    vgpu.mmio.write32(0xF1018, 0)
    assert vgpu.mmio.read32(0xF1014) == 1 << 8


def test_the_analogue_link_trains_by_itself_and_forgets_it_when_port_e_goes_off() -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(0x64440, 1 << 31 | 1 << 15)
    vgpu.mmio.write32(0x64400, 1 << 31)
    assert vgpu.mmio.read32(0x64444) >> 12 & 1 == 0
    vgpu.mmio.write32(0xF000C, 1 << 31 | 1 << 10)
    assert vgpu.mmio.read32(0x64444) >> 12 & 1 == 1
    vgpu.mmio.write32(0x64400, 0)
    assert vgpu.mmio.read32(0x64444) >> 12 & 1 == 0


@pytest.mark.parametrize(("offset", "constant"), [(0xE651C, 0x20000), (0xE681C, 0x20000), (0xE6C04, 3), (0xE6E1C, 0x2F0000)])
def test_nameless_registers_that_guests_wait_on_read_their_constant(offset: int, constant: int) -> None:
    assert _written("skl", offset, 0x55) == constant


def test_hot_plug_status_belongs_to_the_host() -> None:
    assert _written("skl", 0xC4030, 0xFFFFFFFF) == 0xFCFCFCFC


def _side_band(vgpu: Vgpu, register: int, control: int) -> int:
    vgpu.mmio.write32(0xC6000, register << 16)
    vgpu.mmio.write32(0xC6008, control | 1)
    status = vgpu.mmio.read32(0xC6008)
    assert status & 1 == 0
    return status


def test_side_band_registers_keep_what_is_written_each_for_itself() -> None:
    vgpu = make_vgpu("bdw")
    for register, value in ((0x600, 0x11), (0x2008, 0x22)):
        vgpu.mmio.write32(0xC6004, value)
        assert _side_band(vgpu, register, 7 << 8) >> 1 & 1 == 0
    for register, value in ((0x600, 0x11), (0x2008, 0x22), (0x700, 0)):
        assert _side_band(vgpu, register, 6 << 8) >> 1 & 1 == 0
        assert vgpu.mmio.read32(0xC6004) == value
    _side_band(vgpu, 0x600, 1 << 16 | 6 << 8)
    assert vgpu.mmio.read32(0xC6004) == 0
    vgpu.reset()
    _side_band(vgpu, 0x600, 6 << 8)
    assert vgpu.mmio.read32(0xC6004) == 0


def test_an_unknown_side_band_access_fails_and_is_told() -> None:
    vgpu = make_vgpu("bdw")
    assert _side_band(vgpu, 0x600, 5 << 8) >> 1 & 1 == 1
    assert len(vgpu.findings.of_rule("sideband-opcode")) == 1


def test_a_guest_cannot_fill_the_hosts_memory_through_the_side_band() -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(0xC6004, 0x77)
    for register in range(1000):
        _side_band(vgpu, register, 7 << 8)
    _side_band(vgpu, 255, 6 << 8)
    assert vgpu.mmio.read32(0xC6004) == 0x77
    _side_band(vgpu, 999, 6 << 8)
    assert vgpu.mmio.read32(0xC6004) == 0


# ---- Broxton ----


def test_broxtons_loops_and_layers_are_up_at_once() -> None:
    vgpu = make_vgpu("bxt")
    vgpu.mmio.write32(0x46078, 1 << 31 | 1 << 26)
    assert vgpu.mmio.read32(0x46078) == 1 << 31 | 1 << 30 | 1 << 26 | 1 << 25
    vgpu.registers.write32(0x6C000, 1 << 7)
    vgpu.mmio.write32(0x138090, 0b01)
    assert vgpu.mmio.read32(0x6C000) & (1 << 16 | 1 << 7) == 1 << 16
    assert vgpu.mmio.read32(0x162000) & 1 << 16 == 0
    vgpu.mmio.write32(0x138090, 0b10)
    assert vgpu.mmio.read32(0x162000) & 1 << 16 == 1 << 16
    vgpu.mmio.write32(0x64C90, 1 << 31)
    assert [vgpu.mmio.read32(0x64C00 + 0x10 * port) for port in range(3)] == [0, 0x100, 0x100]
    vgpu.mmio.write32(0x64C80, 1 << 31)
    vgpu.mmio.write32(0x64C90, 0)
    assert [vgpu.mmio.read32(0x64C00 + 0x10 * port) for port in range(3)] == [0x100, 0, 0]
    assert vgpu.mmio.read32(0x6C18C) >> 22 & 1 == 1


@pytest.mark.parametrize(("group", "lanes"), [(0x6CC30, (0x6C430, 0x6C630)), (0x6CE30, (0x6C830, 0x6CA30)), (0x162C30, (0x162430, 0x162630))])
def test_broxtons_group_registers_write_both_pairs_of_lanes(group: int, lanes: tuple[int, int]) -> None:
    vgpu = make_vgpu("bxt")
    vgpu.mmio.write32(group, 0x5A)
    assert [vgpu.mmio.read32(lane) for lane in lanes] == [0x5A, 0x5A]


@pytest.mark.parametrize("offset", [0x6C50C, 0x6C90C, 0x16250C])
def test_broxtons_lanes_report_no_range_of_their_own(offset: int) -> None:
    assert _written("bxt", offset, 0xFFFFFFFF) == 0xF7FFFFFF


# ---- GMBUS ----

READY, NAK, ACTIVE, IN_USE = 1 << 11, 1 << 10, 1 << 9, 1 << 15
EDID_READ = 1 << 30 | 3 << 25 | 128 << 16 | 0x50 << 1 | 1


@pytest.mark.parametrize("pin", [2, 4, 5, 6])
def test_a_transfer_to_nobody_ends_in_a_nak_with_the_bus_free(pin: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0xC5100, pin)
    assert vgpu.mmio.read32(0xC5108) & (READY | NAK | ACTIVE) == READY
    vgpu.mmio.write32(0xC5104, EDID_READ)
    assert vgpu.mmio.read32(0xC5108) & (READY | NAK | ACTIVE) == READY | NAK
    vgpu.mmio.write32(0xC5104, 1 << 31)
    assert vgpu.mmio.read32(0xC5108) & (READY | NAK | ACTIVE) == READY
    vgpu.mmio.write32(0xC5104, 0)
    vgpu.mmio.write32(0xC5100, 0)
    assert vgpu.mmio.read32(0xC5108) & (READY | NAK | ACTIVE) == READY


def test_a_command_is_not_carried_out_while_the_controller_is_held_in_reset() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0xC5100, 5)
    vgpu.mmio.write32(0xC5104, 1 << 31)
    vgpu.mmio.write32(0xC5104, EDID_READ)
    assert vgpu.mmio.read32(0xC5108) & NAK == 0
    vgpu.mmio.write32(0xC5104, EDID_READ)
    assert vgpu.mmio.read32(0xC5108) & NAK == NAK


def test_a_stop_asks_nobody() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0xC5100, 5)
    vgpu.mmio.write32(0xC5104, 1 << 30 | 4 << 25)
    assert vgpu.mmio.read32(0xC5108) & (NAK | ACTIVE) == 0


def test_whoever_reads_the_status_first_has_the_controller_until_he_gives_it_up() -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(0xC5108) & IN_USE == 0
    assert vgpu.mmio.read32(0xC5108) & IN_USE == IN_USE
    vgpu.mmio.write32(0xC5108, 0x7FFF)
    assert vgpu.mmio.read32(0xC5108) == READY | IN_USE
    vgpu.mmio.write32(0xC5108, IN_USE)
    assert vgpu.mmio.read32(0xC5108) == READY


def _pin(vgpu: Vgpu, offset: int, value: int) -> int:
    vgpu.mmio.write32(offset, value)
    return vgpu.mmio.read32(offset) & 0x1010


@pytest.mark.parametrize("offset", range(0xC5010, 0xC5028, 4))
def test_bare_pins_read_high_unless_the_guest_pulls_them_low(offset: int) -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(offset) & 0x1010 == 0x1010
    assert _pin(vgpu, offset, 0b0111) == 0x1000  # clock driven low
    assert _pin(vgpu, offset, 0b0001) == 0x1010  # clock let go
    assert _pin(vgpu, offset, 0b0111 << 8) == 0x0010  # data driven low
    assert _pin(vgpu, offset, 0) == 0x0010  # nothing meant: as it was
    assert _pin(vgpu, offset, 0b1111 << 8) == 0x1010  # data driven high
    assert _pin(vgpu, offset, 0b0001 << 8) == 0x1010  # the acknowledgement that never comes


# ---- AUX channels ----

DONE, TIMEOUT, RECEIVE_ERROR, BUSY = 1 << 30, 1 << 28, 1 << 25, 1 << 31


@pytest.mark.parametrize(
    ("platform", "offset"),
    [("skl", 0x64010), ("skl", 0x64110), ("kbl", 0x64310), ("bxt", 0x64210), ("bdw", 0x64010), ("bdw", 0xE4110), ("bdw", 0xE4310)],
)
def test_a_message_to_no_monitor_times_out_at_once(platform: str, offset: int) -> None:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(offset + 4, 0x90000000)
    vgpu.mmio.write32(offset, BUSY | DONE | TIMEOUT | RECEIVE_ERROR | 4 << 20 | 0x3F)
    assert vgpu.mmio.read32(offset) == DONE | TIMEOUT | 4 << 20 | 0x3F
    vgpu.mmio.write32(offset, DONE | TIMEOUT | RECEIVE_ERROR | 4 << 20 | 0x3F)
    assert vgpu.mmio.read32(offset) == 4 << 20 | 0x3F


@pytest.mark.parametrize(
    ("platform", "offset", "iir", "bit"),
    [("skl", 0x64010, 0x44448, 0), ("skl", 0x64310, 0x44448, 27), ("bdw", 0x64010, 0x44448, 0), ("bdw", 0xE4210, 0xC4008, 26)],
)
def test_the_end_of_a_message_is_told_if_that_was_asked(platform: str, offset: int, iir: int, bit: int) -> None:
    vgpu = make_vgpu(platform)
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(iir - 4, 0)
    vgpu.mmio.write32(iir + 4, 0xFFFFFFFF)
    vgpu.mmio.write32(0x44200, 1 << 31)
    vgpu.mmio.write32(offset, BUSY)
    assert vgpu.mmio.read32(iir) == 0 and told == []
    vgpu.mmio.write32(offset, BUSY | 1 << 29)
    assert vgpu.mmio.read32(iir) == 1 << bit and len(told) == 1


def test_broadwell_has_one_channel_on_the_processors_side() -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(0x64110, BUSY)
    assert vgpu.mmio.read32(0x64110) == BUSY
    assert 0x64110 in vgpu.mmio.unmodelled


def test_nothing_is_plugged_in() -> None:
    for platform in ("bdw", *GEN9):
        assert make_vgpu(platform).mmio.read32(0xC4000) == 0
