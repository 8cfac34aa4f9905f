"""The physical GPU as a whole device: what is left of a driver's acts once it was reset."""

from __future__ import annotations

import pytest

from host_model.bare_metal import bare_machine
from host_model.clock import VirtualClock
from host_model.device.mmio.window import GTT_OFFSET
from host_model.gpu.device import PhysicalGpu
from pvinfo.platform import Engine
from pvinfo.registers.engine import EngineRegisters, MiMode
from pvinfo.registers.reset import ResetRegisters
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress


@pytest.fixture
def gpu() -> PhysicalGpu:
    return bare_machine().gpu


@pytest.mark.parametrize("function_level", [True, False])
def test_an_engine_that_was_held_for_a_reset_is_let_go_by_one_that_clears_what_holds_it(gpu: PhysicalGpu, function_level: bool) -> None:
    gpu.mmio.write32(EngineRegisters.reset_ctl.at("VCS0"), 0x00010001)
    if function_level:
        gpu.reset()
    else:
        gpu.mmio.write32(ResetRegisters.gdrst.at(), 1)
    assert gpu.mmio.read32(EngineRegisters.reset_ctl.at("VCS0")) == 0
    gpu.mmio.write32(EngineRegisters.mode.at("VCS0"), 0x80008000)
    for dword in (0, 0, 0x20, 0x1119):
        gpu.mmio.write32(EngineRegisters.elsp.at("VCS0"), dword)
    assert isinstance(gpu.clock, VirtualClock)
    gpu.clock.wait_ns(1_000_000)
    assert gpu.findings.of_rule("gpu-page-fault"), "the engine looked for the context's image"


def test_behind_the_end_of_the_aperture_nothing_is_reached() -> None:
    gpu, machine = bare_machine(aperture_size=256 * MIB)
    last = 256 * MIB // PAGE_SIZE - 1
    for page in (last, last + 1):
        gpu.mmio.write(GTT_OFFSET + 8 * page, 8, 0x1000 | 1)
    gpu.aperture.write(256 * MIB, 4, 0x1111_1111)
    assert machine.memory.read(GuestAddress(0x1000), 4) == bytes(4)
    assert gpu.aperture.read(256 * MIB, 4) == 0xFFFF_FFFF
    gpu.aperture.write(256 * MIB - 4, 8, 0x2222_2222_3333_3333)
    assert machine.memory.read(GuestAddress(0x1000), 4) == bytes(4)
    assert machine.memory.read(GuestAddress(0x1FFC), 4) == b"\x33" * 4
    assert gpu.aperture.read(256 * MIB - 4, 8) == 0xFFFF_FFFF_3333_3333


def test_an_engine_that_is_reset_alone_stays_held_until_it_is_let_go(gpu: PhysicalGpu) -> None:
    gpu.mmio.write32(EngineRegisters.reset_ctl.at("RCS0"), 0x00010001)
    gpu.mmio.write32(ResetRegisters.gdrst.at(), 2)
    assert gpu.mmio.read32(EngineRegisters.reset_ctl.at("RCS0")) == 3
    gpu.engines[Engine.RCS0].mi_mode_written()
    assert MiMode(gpu.mmio.read32(EngineRegisters.mi_mode.at("RCS0"))).idle
