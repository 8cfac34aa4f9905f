"""Fences of a vGPU: which it owns, and what of them reaches the hardware."""

from __future__ import annotations

import pytest
from support.vgpus import make_vgpu

from host_model.host import Host
from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.vgpu import Vgpu
from pvinfo.page import PVINFO_BASE
from pvinfo.units import MIB


def _set_fence(vgpu: Vgpu, number: int, start: int, end: int) -> int:
    """As the driver does it; returns the value of the whole fence."""
    at = 0x100000 + 8 * number
    low, high = start | 1, end - 0x1000 | 7
    vgpu.mmio.write32(at, 0)
    assert vgpu.mmio.read32(at) == 0
    vgpu.mmio.write32(at + 4, high)
    vgpu.mmio.write32(at, low)
    assert vgpu.mmio.read32(at) == low
    return high << 32 | low


def test_the_guests_fences_are_the_hardware_fences_set_aside_for_it() -> None:
    host = Host("skl")
    first, second = (host.plug().vgpu for _ in range(2))
    for vgpu in (first, second):
        vgpu.mmio.read(PVINFO_BASE, 8)
        values = [_set_fence(vgpu, n, vgpu.resources.low.start + n * MIB, vgpu.resources.low.start + (n + 1) * MIB) for n in range(4)]
        assert [host.gpu.fences[hardware] for hardware in vgpu.resources.fences] == values
    assert set(first.resources.fences).isdisjoint(second.resources.fences)
    assert all(host.gpu.fences[number] == 0 for number in range(32) if number not in (*first.resources.fences, *second.resources.fences))


def test_a_fence_out_of_use_leaves_nothing_in_the_hardware() -> None:
    vgpu = make_vgpu()
    start = vgpu.resources.high.start
    _set_fence(vgpu, 2, start, start + MIB)
    hardware = vgpu.resources.fences[2]
    assert vgpu.gpu.fences[hardware] != 0
    vgpu.mmio.write32(0x100010, 0)
    assert vgpu.gpu.fences[hardware] == 0
    assert vgpu.mmio.read32(0x100014) == start + MIB - 0x1000 | 7


def test_the_hardware_registers_show_the_fence_low_half_first() -> None:
    vgpu = make_vgpu()
    start = vgpu.resources.low.start
    _set_fence(vgpu, 0, start, start + MIB)
    at = 0x100000 + 8 * vgpu.resources.fences[0]
    assert vgpu.gpu.registers.read32(at) == start | 1
    assert vgpu.gpu.registers.read32(at + 4) == start + MIB - 0x1000 | 7


@pytest.mark.parametrize("number", [4, 15, 16, 31])
def test_a_fence_past_the_count_reads_zero_and_keeps_nothing(number: int) -> None:
    vgpu = make_vgpu()
    at = 0x100000 + 8 * number
    vgpu.mmio.write32(at, 0xFFFFFFFF)
    vgpu.mmio.write32(at + 4, 0xFFFFFFFF)
    assert (vgpu.mmio.read32(at), vgpu.mmio.read32(at + 4)) == (0, 0)
    assert not vgpu.failsafe
    findings = vgpu.findings.of_rule("fence-not-owned")
    assert {finding.where for finding in findings} == {f"fence {number} ({at:#x})", f"fence {number} ({at + 4:#x})"}
    assert findings[0].nearest == "fence 3"
    assert not any(vgpu.gpu.fences)


def test_a_guest_that_never_read_the_page_and_takes_all_fences_is_put_in_failsafe_mode() -> None:
    vgpu = make_vgpu(aware=False)
    for number in range(32):
        vgpu.mmio.write32(0x100000 + 8 * number, 0)
    assert vgpu.failsafe.reason is FailsafeReason.UNSUPPORTED_GUEST
    (finding,) = vgpu.findings.of_rule("failsafe")
    assert finding.where == "fence 4 (0x100020)"
    assert len(vgpu.findings.of_rule("fence-not-owned")) == 1


def test_a_fence_over_memory_of_others_stays_out_of_the_hardware() -> None:
    vgpu = make_vgpu()
    low = vgpu.resources.low
    value = _set_fence(vgpu, 0, low.stop - MIB, low.stop + MIB)
    assert vgpu.gpu.fences[vgpu.resources.fences[0]] == 0
    (finding,) = vgpu.findings.of_rule("fence-outside-slice")
    assert finding.value == value
    assert f"[{low.stop - MIB:#x}, {low.stop + MIB:#x})" in finding.text
    assert f"[{low.start:#x}, {low.stop:#x})" in finding.nearest


def test_a_fence_that_ends_before_it_begins_stays_out_of_the_hardware() -> None:
    vgpu = make_vgpu()
    low = vgpu.resources.low
    _set_fence(vgpu, 1, low.start + MIB, low.start)
    assert vgpu.gpu.fences[vgpu.resources.fences[1]] == 0
    assert len(vgpu.findings.of_rule("fence-outside-slice")) == 1


def test_a_device_reset_takes_all_fences_out_of_use() -> None:
    vgpu = make_vgpu()
    start = vgpu.resources.low.start
    for number in range(4):
        _set_fence(vgpu, number, start, start + MIB)
    vgpu.reset()
    assert not any(vgpu.gpu.fences)
    assert vgpu.mmio.read32(0x100000) == 0
