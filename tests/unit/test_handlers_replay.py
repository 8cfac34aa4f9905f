"""What the unmodified i915 did when it probed a do-nothing register file, done again to our vGPUs.

The traces are of Linux 6.12 on Broadwell, Kaby Lake and Skylake (as a vGPU, without display, and without the PVINFO page).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from host_model.host import Host
from host_model.mediator.failsafe import FailsafeReason
from host_model.device.mmio.window import GTT_OFFSET
from host_model.mediator.resources import ResourcePool
from host_model.mediator.vgpu import Vgpu
from pvinfo.finding import FindingKind
from pvinfo.platform import Engine
from pvinfo.register import masked_bits
from pvinfo.registers.engine import ENGINE_BASES
from pvinfo.registers.interrupt import InterruptGroup
from pvinfo.trace import Op, TraceRow, read_trace
from pvinfo.units import MIB

DATA: Final = Path(__file__).parent / "data"
LOW_AT: Final = 0
HIGH_AT: Final = 256 * MIB
"""Where the recorded guest found its slices."""

PROBES: Final = ("bdw", "kbl", "skl", "skl_nodisplay")
ALL_PROBES: Final = (*PROBES, "skl_native")


def _rows(probe: str) -> list[TraceRow]:
    return read_trace(DATA / f"real_probe_{probe}.tsv.xz")


def _vgpu(probe: str) -> Vgpu:
    host = Host(probe[:3])
    # The recorded guest was another host's, which kept nothing for itself and had no monitor; here only registers are replayed.
    host.pool = ResourcePool(host.gpu.aperture_size, host.gpu.ggtt_size, host_low=0, host_high=0)
    return host.plug(low_at=LOW_AT, high_at=HIGH_AT, monitor=None).vgpu


def _replay(vgpu: Vgpu, rows: list[TraceRow]) -> None:
    for row in rows:
        for _ in range(row.repeat):
            if row.op is Op.READ:
                vgpu.mmio.read(row.offset, row.size)
            elif row.op is Op.WRITE:
                vgpu.mmio.write(row.offset, row.size, row.value)
            elif row.op is Op.GGTT_WRITE:
                vgpu.mmio.write(GTT_OFFSET + row.offset, row.size or 8, row.value)
            elif row.op is Op.CONFIG_WRITE:
                vgpu.config.write(row.offset, row.size, row.value)


@pytest.mark.parametrize("probe", PROBES)
def test_a_real_probe_commits_no_fault_in_registers(probe: str) -> None:
    """Its table entries, and so its contexts and page tables, are in the memory of a bigger machine; everything else it did was right."""
    vgpu = _vgpu(probe)
    _replay(vgpu, _rows(probe))
    faults = {finding.rule for finding in vgpu.findings if finding.kind is FindingKind.GUEST_FAULT}
    assert faults <= {"ggtt-not-memory", "ppgtt-not-memory", "context-unreachable"}
    assert not vgpu.failsafe
    assert vgpu.submission.submissions == dict.fromkeys(Engine, 3)
    assert {finding.rule for finding in vgpu.findings if finding.kind is FindingKind.NOT_MODELLED} == set()


@pytest.mark.parametrize("probe", PROBES)
def test_every_untracked_register_of_a_real_probe_is_counted(probe: str) -> None:
    vgpu = _vgpu(probe)
    _replay(vgpu, _rows(probe))
    errors = {base + at for base in ENGINE_BASES.values() for at in (0xB4, 0xB8)}
    assert errors <= vgpu.mmio.unmodelled.keys()
    assert {0x2024, 0x2064} <= vgpu.mmio.unmodelled.keys()
    assert len(vgpu.mmio.unmodelled) < 24


def test_a_driver_that_never_looks_for_the_page_ends_in_failsafe_mode_at_its_fifth_fence() -> None:
    vgpu = _vgpu("skl_native")
    rows = [row for row in _rows("skl_native") if not 0x78000 <= row.offset < 0x79000]
    _replay(vgpu, rows)
    assert vgpu.failsafe.reason is FailsafeReason.UNSUPPORTED_GUEST
    assert [finding.where for finding in vgpu.findings.of_rule("failsafe")] == ["fence 4 (0x100020)"]


def test_the_traces_hold_a_whole_probe_each() -> None:
    for probe in ALL_PROBES:
        assert sum(row.repeat for row in _rows(probe) if row.op is Op.WRITE and row.offset == 0x2230) == 12


# ---- what the driver polls, step by step, gets the value that lets it go on ----


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl", "cfl", "bxt"])
def test_the_driver_gets_through_its_reset_handshake(platform: str) -> None:
    vgpu = _vgpu(platform)
    read, write = vgpu.mmio.read32, vgpu.mmio.write32
    assert read(0xA188) != 0xFFFFFFFF
    for base in ENGINE_BASES.values():
        assert read(base + 0xD0) & 0b100 == 0
        write(base + 0xD0, masked_bits(1))
        assert read(base + 0xD0) & 0b10
    for _ in range(2):
        write(0x941C, 1)
        assert read(0x941C) & 1 == 0
    for base in ENGINE_BASES.values():
        write(base + 0xD0, masked_bits(1, enable=False))
        assert read(base + 0xD0) == 0


@pytest.mark.parametrize("platform", ["skl", "kbl", "cfl", "bxt"])
def test_the_driver_finds_the_micro_controller_in_reset_after_it_reset_it(platform: str) -> None:
    vgpu = _vgpu(platform)
    vgpu.mmio.read32(0xC000)
    vgpu.mmio.write32(0x941C, 1 << 5)
    assert vgpu.mmio.read32(0x941C) == 0
    assert vgpu.mmio.read32(0xC000) & 1


@pytest.mark.parametrize("platform", ["bdw", "skl"])
def test_the_driver_sees_a_ring_idle_that_it_stops(platform: str) -> None:
    vgpu = _vgpu(platform)
    for base in ENGINE_BASES.values():
        vgpu.mmio.write32(base + 0x9C, masked_bits(1 << 8))
        assert vgpu.mmio.read32(base + 0x9C) == 1 << 9 | 1 << 8
        vgpu.mmio.write32(base + 0x9C, masked_bits(1 << 8, enable=False))
        assert vgpu.mmio.read32(base + 0x9C) == 1 << 9


@pytest.mark.parametrize(
    ("platform", "slices", "subslice_disable"), [("bdw", 0b001, 0b000), ("skl", 0b001, 0b1000), ("kbl", 0b001, 0b1000)]
)
def test_the_driver_finds_one_slice_of_three_subslices(platform: str, slices: int, subslice_disable: int) -> None:
    fuse = _vgpu(platform).mmio.read32(0x9120)
    assert fuse >> 25 & 0b111 == slices
    assert fuse >> 20 & 0xF == subslice_disable
    assert _vgpu(platform).mmio.read32(0x9134) == 0


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl", "cfl", "bxt"])
def test_the_driver_finds_no_fault_and_no_pending_interrupt(platform: str) -> None:
    vgpu = _vgpu(platform)
    assert vgpu.mmio.read32(0x4094) & 1 == 0
    assert vgpu.mmio.read32(0x44200) == 0
    for group in InterruptGroup.bases:
        assert vgpu.mmio.read32(InterruptGroup.iir.at(group)) == 0
        assert vgpu.mmio.read32(InterruptGroup.ier.at(group)) == 0


def test_the_driver_learns_of_its_memory_on_each_generation() -> None:
    skylake = _vgpu("skl")
    for channel in (0x14500C, 0x145010):
        assert skylake.mmio.read32(channel) & 0x3F == 8
    broadwell = _vgpu("bdw").mmio.read(0x145D10, 8)
    assert broadwell >> 56 & 0xFF == 20
    assert [broadwell >> 4 & 0xFF, broadwell >> 12 & 0xFF, broadwell >> 20 & 0x1FF, broadwell >> 32 & 0x1FF] == [4, 36, 90, 160]


@pytest.mark.parametrize(("platform", "rawclk"), [("bdw", 24), ("skl", 24), ("kbl", 24)])
def test_the_driver_finds_its_raw_clock(platform: str, rawclk: int) -> None:
    assert _vgpu(platform).mmio.read32(0xC6204) & 0x3FF == rawclk


def test_coffee_lakes_driver_finds_its_raw_clock_in_the_straps() -> None:
    assert _vgpu("cfl").mmio.read32(0xC2014) >> 8 & 1 == 1


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl", "cfl", "bxt"])
def test_the_driver_finds_a_display(platform: str) -> None:
    vgpu = _vgpu(platform)
    assert vgpu.mmio.read32(0x51000) == 0
    assert vgpu.mmio.read32(0x42014) >> 30 & 1 == 0
    assert vgpu.mmio.read32(0xC2014) >> 7 & 1 == 0


@pytest.mark.parametrize("platform", ["skl", "kbl"])
def test_work_arounds_read_back_as_the_driver_verifies_them(platform: str) -> None:
    vgpu = _vgpu(platform)
    for offset, set_bits in ((0x4090, 1 << 8 | 1 << 25), (0x4DDC, 1 << 31 | 1 << 27), (0x940C, 1 << 14), (0xB004, 1 << 7), (0xB118, 1 << 21)):
        vgpu.mmio.write32(offset, vgpu.mmio.read32(offset) | set_bits)
        assert vgpu.mmio.read32(offset) & set_bits == set_bits
    vgpu.mmio.write32(0x20E0, masked_bits(1 << 14))
    assert vgpu.mmio.read32(0x20E0) >> 14 & 1 == 1
