"""Flips by command: the vGPU's own display shows them, and no engine waits for any."""

from __future__ import annotations

import pytest
from support.audit_rig import AuditRig

from host_model.mediator.refusal import Consequence
from pvinfo.platform import Engine

SURFACE, STRIDE, CONTROL = 0x1C, 0x8, 0x0
PLANES = {
    # gen8 code: registers of the plane, interrupts of its pipe, bit of the event, flip counter of a primary plane
    0: (0x70180, 0x44408, 4, 0x70044), 1: (0x71180, 0x44418, 4, 0x71044), 2: (0x70280, 0x44408, 5, None),
    3: (0x71280, 0x44418, 5, None), 4: (0x72180, 0x44428, 4, 0x72044), 5: (0x72280, 0x44428, 5, None),
}  # fmt: skip


def opened(platform: str) -> AuditRig:
    rig = AuditRig(platform)
    for mask in (0x44404, 0x44414, 0x44424):
        rig.vgpu.registers.write32(mask, 0)
    return rig


@pytest.mark.parametrize("code", PLANES)
@pytest.mark.parametrize("engine", [Engine.RCS0, Engine.BCS0])
@pytest.mark.parametrize("kind", [0, 1])
def test_gen8_flips_the_planes_of_three_pipes(engine: Engine, code: int, kind: int) -> None:
    rig = opened("bdw")
    registers = rig.vgpu.registers
    plane, identity, bit, counter = PLANES[code]
    registers.write32(plane + SURFACE, 0x123)
    registers.write32(plane + CONTROL, 0x98000000)
    registers.write32(plane + STRIDE, 0xFFFF003F)
    audited, patched = rig.ring(engine, [0, 0x0A000001 | code << 19, 0x1E01, 0x0A40_0000 | kind, 0])
    assert patched == [0, 0, 0, 0, 0] and not audited.events, "it is told by the display, not with the rest"
    assert registers.read32(plane + SURFACE) == 0x0A40_0123 == registers.read32(plane + 0x2C)
    assert registers.read32(plane + STRIDE) == 0xFFFF1E3F
    assert registers.read32(plane + CONTROL) == 0x98000400
    assert registers.read32(identity) == (1 << bit if kind else 0), "a flip that waits for a vertical blank finds none while the pipe is off"
    if counter is not None:
        assert registers.read32(counter) == 1
        rig.ring(engine, [0x0A000001 | code << 19, 0x1E00, 0x0A40_0000])
        assert registers.read32(counter) == 2 and registers.read32(plane + CONTROL) == 0x98000000


@pytest.mark.parametrize("platform", ["skl", "kbl", "bxt"])
def test_gen9_flips_the_first_plane_of_pipe_a(platform: str) -> None:
    rig = opened(platform)
    registers = rig.vgpu.registers
    registers.write32(0x70180, 0x84000000)
    registers.write32(0x70188, 0xF3FF)
    _, patched = rig.ring(Engine.RCS0, [0x0A000001, 0x0F04, 0xC0DE_0001])
    assert patched == [0, 0, 0]
    assert registers.read32(0x7019C) == 0xC0DE_0000 == registers.read32(0x701AC)
    assert (registers.read32(0x70188), registers.read32(0x70180)) == (0xF03C, 0x84001000)
    assert (registers.read32(0x44408), registers.read32(0x70044)) == (1 << 3, 1)


def test_an_event_that_is_masked_is_not_told() -> None:
    rig = AuditRig("skl")
    rig.vgpu.registers.write32(0x44404, 0xFFFFFFFF)
    rig.ring(Engine.RCS0, [0x0A000001, 0x0F04, 0xC0DE_0001])
    assert rig.vgpu.registers.read32(0x44408) == 0


@pytest.mark.parametrize(("platform", "code"), [("bdw", 6 << 19), ("bdw", 7 << 19), *(("skl", code << 8) for code in (1, 2, 4, 5, 6, 7, 31))])
def test_planes_that_the_kernel_does_not_know_are_refused(platform: str, code: int) -> None:
    rig = opened(platform)
    refused = rig.refusal(Engine.BCS0, [0x0A000001 | code, 0x40, 0x1000])
    assert (refused.rule, refused.consequence, refused.value) == ("audit-flip", Consequence.FAILSAFE, 0x0A000001 | code)
    assert refused.nearest == ("one of 0" if platform == "skl" else "one of 0, 1, 2, 3, 4, 5")
    assert rig.vgpu.registers.read32(0x7019C) == 0 == rig.vgpu.registers.read32(0x44408)


def test_a_flip_for_two_eyes_is_a_dword_longer() -> None:
    rig = opened("skl")
    _, patched = rig.ring(Engine.RCS0, [0x0A000002, 0x0F04, 0x2000_0002, 0x3000_0000, 0x02800000])
    assert patched == [0, 0, 0, 0, 0x02800000]
    assert rig.vgpu.registers.read32(0x7019C) == 0x2000_0000
    for words in ([0x0A000001, 0, 2], [0x0A000002, 0, 0, 0], [0x0A000002, 0, 1, 0], [0x0A000000, 0], [0x0A000003, 0, 2, 0, 0]):
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.consequence) == ("audit-length", Consequence.FAILSAFE)


def test_a_flip_that_is_not_all_there_shows_nothing() -> None:
    rig = opened("skl")
    for words in ([0x0A000001, 0x40], [0x0A000002, 0x40, 0x1002]):
        assert rig.refusal(Engine.RCS0, words).rule == "audit-past-end"
    assert rig.vgpu.registers.read32(0x7019C) == 0 == rig.vgpu.registers.read32(0x44408)


@pytest.mark.parametrize("engine", [Engine.VCS0, Engine.VECS0])
def test_the_video_engines_know_no_display(engine: Engine) -> None:
    for header in (0x0A000001, 0x01800002, 0x09000000):
        assert AuditRig("skl").refusal(engine, [header, 0, 0]).rule == "audit-command-unknown"


@pytest.mark.parametrize("engine", [Engine.RCS0, Engine.BCS0])
@pytest.mark.parametrize("platform", ["bdw", "skl"])
def test_waits_for_flips_are_taken_out_and_other_waits_left(platform: str, engine: Engine) -> None:
    rig = AuditRig(platform)
    for bit in range(23):
        header = 0x01800000 | 1 << bit
        assert rig.ring(engine, [header])[1] == [0 if bit in (1, 2, 9, 10, 15, 20) else header], bit
    assert rig.ring(engine, [0x01800009, 0x0180000A])[1] == [0x01800009, 0]
