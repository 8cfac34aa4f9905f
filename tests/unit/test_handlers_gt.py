"""Registers of the GT as a whole: forcewake, reset, micro-controller, power control unit, translations, ways to memory."""

from __future__ import annotations

import pytest
from support.vgpus import make_vgpu

from host_model.mediator.vgpu import Vgpu
from pvinfo.finding import FindingKind
from pvinfo.platform import PLATFORMS
from pvinfo.register import masked_bits

GDRST = 0x941C
GUC_STATUS = 0xC000
MAILBOX, DATA = 0x138124, 0x138128
BUSY = 1 << 31


# ---- forcewake ----


@pytest.mark.parametrize(
    ("platform", "request_at", "ack_at"),
    [("bdw", 0xA188, 0x130044), ("skl", 0xA188, 0x130044), ("skl", 0xA278, 0xD84), ("skl", 0xA270, 0xD88), ("bxt", 0xA278, 0xD84)],
)
def test_a_forcewake_request_is_acknowledged_with_its_own_bits(platform: str, request_at: int, ack_at: int) -> None:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(request_at, masked_bits(0b01))
    assert vgpu.mmio.read32(ack_at) == 0b01
    vgpu.mmio.write32(request_at, masked_bits(0b10))
    assert vgpu.mmio.read32(ack_at) == 0b11
    vgpu.mmio.write32(request_at, masked_bits(0b01, enable=False))
    assert vgpu.mmio.read32(ack_at) == 0b10
    vgpu.mmio.write32(request_at, masked_bits(0xFFFF, enable=False))
    assert vgpu.mmio.read32(ack_at) == 0


def test_the_register_by_which_a_driver_knows_a_dead_device_does_not_read_all_ones() -> None:
    assert make_vgpu().mmio.read32(0xA188) == 0


# ---- reset ----


@pytest.mark.parametrize("value", [0b1, 0b10, 0b100, 0b1000, 0b10000, 0b100000, 0xFF, 0xFFFFFFFF, 0])
def test_every_reset_is_over_when_it_has_been_asked_for(value: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(GDRST, value)
    assert vgpu.mmio.read32(GDRST) == 0


@pytest.mark.parametrize(
    ("value", "resets"),
    [(0b1, {"full": 1}), (0b11111, {"full": 1}), (0b10, {"engine": 1}), (0b11110, {"engine": 1}), (1 << 7, {}), (1 << 5, {}), (0, {})],
)
def test_the_domains_say_whether_the_gt_or_engines_are_reset(value: int, resets: dict[str, int]) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(GDRST, value)
    assert dict(vgpu.resets) == resets


def test_a_full_reset_restores_the_gt_and_leaves_interrupts_display_and_fences_alone() -> None:
    vgpu = make_vgpu()
    start = vgpu.resources.low.start
    vgpu.mmio.write32(0x229C, 0x80008000)
    vgpu.mmio.write32(0x4430C, 0x123)
    vgpu.mmio.write32(0x7001C, 0x456)
    vgpu.mmio.write32(0x100004, start)
    vgpu.mmio.write32(0x100000, start | 1)
    vgpu.mmio.write32(GDRST, 1)
    assert vgpu.mmio.read32(0x229C) == 0
    assert vgpu.mmio.read32(0x4430C) == 0x123
    assert vgpu.mmio.read32(0x7001C) == 0x456
    assert vgpu.mmio.read32(0x100000) == start | 1


def test_an_engine_reset_keeps_the_registers() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x229C, 0x80008000)
    vgpu.mmio.write32(GDRST, 0b10)
    assert vgpu.mmio.read32(0x229C) == 0x8000


# ---- micro-controller ----


def test_the_micro_controller_shows_that_it_was_reset_once_per_reset() -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(GUC_STATUS) == 1
    assert vgpu.mmio.read32(GUC_STATUS) == 0
    vgpu.mmio.write32(GDRST, 1 << 5)
    assert vgpu.mmio.read32(GUC_STATUS) == 1
    assert vgpu.mmio.read32(GUC_STATUS) == 0
    vgpu.mmio.write32(GDRST, 1)
    assert vgpu.mmio.read32(GUC_STATUS) == 1


def test_its_protected_memory_is_not_locked() -> None:
    vgpu = make_vgpu()
    assert vgpu.mmio.read32(0xC050) & 1 == 0
    assert vgpu.mmio.read32(0xC340) & 1 == 0


def test_a_firmware_upload_never_starts() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0xC314, masked_bits(0b10001))
    assert vgpu.mmio.read32(0xC314) == 0b10000
    (finding,) = vgpu.findings.of_rule("guc-firmware")
    assert finding.value == masked_bits(0b10001)


# ---- power control unit ----


def _ask(vgpu: Vgpu, command: int, data: int) -> tuple[int, int]:
    """Error and reply, as the driver gets them."""
    assert vgpu.mmio.read32(MAILBOX) & BUSY == 0
    vgpu.mmio.write32(DATA, data)
    vgpu.mmio.write32(DATA + 4, 0)
    vgpu.mmio.write32(MAILBOX, BUSY | command)
    mailbox = vgpu.mmio.read32(MAILBOX)
    assert mailbox & BUSY == 0
    return mailbox & 0xFF, vgpu.mmio.read32(DATA)


@pytest.mark.parametrize(
    ("platform", "first", "second"),
    [("skl", 0x1E1A1100, 0x61514B3D), ("kbl", 0x1E1A1100, 0x61514B3D), ("cfl", 0x1E1A1100, 0x61514B3D), ("bxt", 0x16080707, 0x16161616)],
)
def test_memory_latencies_are_told_in_two_halves(platform: str, first: int, second: int) -> None:
    vgpu = make_vgpu(platform)
    assert _ask(vgpu, 0x06, 0) == (0, first)
    assert _ask(vgpu, 0x06, 1) == (0, second)


def test_a_change_of_the_display_clock_may_go_on_at_once() -> None:
    error, reply = _ask(make_vgpu(), 0x07, 3)
    assert (error, reply & 1) == (0, 1)


def test_memory_frequency_scaling_is_off_as_soon_as_it_is_asked_for() -> None:
    error, reply = _ask(make_vgpu(), 0x21, 0)
    assert (error, reply & 1) == (0, 1)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_row_of_the_frequency_table_is_taken(platform: str) -> None:
    assert _ask(make_vgpu(platform), 0x08, 0x1017)[0] == 0


@pytest.mark.parametrize("command", [0x17, 0x18, 0x19])
def test_broadwells_display_clock_commands_succeed(command: int) -> None:
    vgpu = make_vgpu("bdw")
    assert _ask(vgpu, command, 0)[0] == 0
    assert vgpu.findings.of_rule("pcode-command") == ()


def test_the_efficient_frequency_lies_in_the_range_of_the_part() -> None:
    vgpu = make_vgpu()
    capability = vgpu.mmio.read32(0x145998)
    error, reply = _ask(vgpu, 0x1A, 0)
    assert error == 0
    assert capability >> 16 & 0xFF <= reply >> 8 & 0xFF <= capability & 0xFF


@pytest.mark.parametrize(("platform", "command"), [("skl", 0x00), ("skl", 0x7F), ("skl", 0x18), ("bdw", 0x06), ("bdw", 0x21)])
def test_a_command_that_the_platform_lacks_fails_as_firmware_would_fail_it(platform: str, command: int) -> None:
    vgpu = make_vgpu(platform)
    assert _ask(vgpu, command, 0x55) == (1, 0x55)
    (finding,) = vgpu.findings.of_rule("pcode-command")
    assert finding.kind is FindingKind.NOTE and f"command {command:#x}" in finding.where


def test_a_write_without_busy_starts_no_command() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(DATA, 0)
    vgpu.mmio.write32(MAILBOX, 0x06)
    assert vgpu.mmio.read32(DATA) == 0


# ---- translations ----


@pytest.mark.parametrize("offset", [0x4260, 0x4264, 0x4268, 0x426C, 0x4270])
def test_cached_translations_are_dropped_at_once(offset: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(offset, 1)
    assert vgpu.mmio.read32(offset) == 0


# ---- ways to memory ----


@pytest.mark.parametrize(("value", "kept"), [(0x0, True), (0xF, True), (0x8F, True), (0x80, True), (0x1, False), (0x87, False)])
def test_64k_pages_are_for_all_engines_or_none(value: int, kept: bool) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x4080, 0x8F)
    vgpu.mmio.write32(0x4080, value)
    assert vgpu.mmio.read32(0x4080) == (value if kept else 0x8F)
    assert bool(vgpu.findings.of_rule("64k-pages-for-some-engines")) is not kept


@pytest.mark.parametrize(("value", "kept"), [(0b00, True), (0b10, True), (0b11, True), (0b01, False)])
def test_sparse_resources_need_a_table_at_a_virtual_address(value: int, kept: bool) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x4DF4, 0x4)
    vgpu.mmio.write32(0x4DF4, value)
    assert vgpu.mmio.read32(0x4DF4) == (value if kept else 0x4)
    assert [finding.nearest for finding in vgpu.findings.of_rule("sparse-table-physical")] == ([] if kept else ["0x3"])


def test_boot_data_is_never_fetched() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x907C, 0xFFFFFFFF)
    assert vgpu.mmio.read32(0x907C) == 0xFFFFFFEF


@pytest.mark.parametrize(("platform", "shown"), [("bxt", 0x40000040), ("skl", 0x12345678)])
def test_memory_attributes_are_the_guests_own_except_on_broxton(platform: str, shown: int) -> None:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(0x40E0, 0x12345678)
    assert vgpu.mmio.read32(0x40E0) == shown
