"""Flips by command, and engines that wait for what a pipe does."""

from __future__ import annotations

import pytest
from support.audit_rig import AuditRig
from support.frames import FRAME, IIR, IMR, LIVE, SURFACE, VBLANK, wait
from support.mode_setting import light_up, switch
from support.vgpus import make_vgpu

from host_model.clock import VirtualClock
from host_model.gpu.display_wait import DisplayWait
from host_model.host import Host
from pvinfo.platform import Engine


@pytest.mark.parametrize(("platform", "command", "bit"), [("bdw", [0x0A000001, 0x1E01], 4), ("skl", [0x0A000001, 0x0F04], 3)])
def test_a_flip_by_command_waits_for_the_vertical_blank_too(platform: str, command: list[int], bit: int) -> None:
    rig = AuditRig(platform)
    light_up(rig.vgpu)
    rig.vgpu.mmio.write32(IMR, 0)
    rig.ring(Engine.RCS0, [*command, 0xC0DE_0000])
    assert (rig.vgpu.mmio.read32(SURFACE), rig.vgpu.mmio.read32(LIVE), rig.vgpu.mmio.read32(IIR)) == (0xC0DE_0000, 0, 0)
    wait(rig.vgpu, FRAME)
    assert (rig.vgpu.mmio.read32(LIVE), rig.vgpu.mmio.read32(IIR)) == (0xC0DE_0000, VBLANK | 1 << bit)
    rig.vgpu.mmio.write32(IIR, 0xFF)
    rig.ring(Engine.RCS0, [*command, 0xBEEF_0001])
    assert (rig.vgpu.mmio.read32(LIVE), rig.vgpu.mmio.read32(IIR)) == (0xBEEF_0000, 1 << bit), "unless it is asynchronous"


def test_a_flip_by_register_keeps_the_kind_out_of_the_address() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x50080, 0x6001)
    assert vgpu.mmio.read32(LIVE) == 0x6000 == vgpu.mmio.read32(SURFACE)
    light_up(vgpu)
    vgpu.mmio.write32(0x50080, 0x7000)
    assert vgpu.mmio.read32(LIVE) == 0x6000
    wait(vgpu, FRAME)
    assert vgpu.mmio.read32(LIVE) == 0x7000


WAIT_VBLANK, WAIT_FLIP, WAIT_LINE, WAIT_VBLANK_B = 0x01800008, 0x01800002, 0x01800001, 0x01800800


def test_an_engine_waits_for_what_a_pipe_that_is_on_will_do() -> None:
    host = Host()
    gpu, clock = host.gpu, host.clock
    assert isinstance(clock, VirtualClock)
    waiting, other = (DisplayWait(gpu.display.pipes) for _ in range(2))
    for header in (WAIT_VBLANK, WAIT_FLIP, WAIT_LINE, 0x01800000):
        assert waiting.reached(header), "the pipe is off: it would wait for ever"
    light_up(gpu)
    assert waiting.reached(WAIT_LINE) and waiting.reached(WAIT_FLIP) and waiting.reached(WAIT_VBLANK_B)
    engine = gpu.engines[Engine.BCS0]
    assert not waiting.reached(WAIT_VBLANK) and not engine.event_reached(WAIT_VBLANK)
    clock.wait_ns(int(FRAME))
    assert not waiting.reached(WAIT_VBLANK)
    clock.wait_ns(1)
    assert waiting.reached(WAIT_VBLANK) and engine.event_reached(WAIT_VBLANK)
    assert not other.reached(WAIT_VBLANK), "each engine waits for itself"
    assert not waiting.reached(WAIT_VBLANK), "a new wait is for the next one"
    assert waiting.reached(WAIT_VBLANK | WAIT_VBLANK_B), "any of the events ends a wait"
    gpu.mmio.write32(SURFACE, 0x1000)
    assert not waiting.reached(WAIT_FLIP)
    clock.wait_ns(int(FRAME) + 1)
    assert waiting.reached(WAIT_FLIP)
    assert not waiting.reached(WAIT_VBLANK)
    switch(gpu, False)
    assert waiting.reached(WAIT_VBLANK), "nothing comes any more"
