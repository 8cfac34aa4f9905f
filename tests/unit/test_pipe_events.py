"""Vertical blanks and flips: what is told, to whom, and that nothing runs which nobody hears."""

from __future__ import annotations

import pytest
from support.frames import CONTROL, FLIPS, FRAME, FRAMES, IMR, LIVE, SURFACE, VBLANK, idle, on_interrupt, wait
from support.golden import made_host
from support.mode_setting import FULL_HD, light_up, switch
from support.vgpus import make_vgpu

from host_model.host import Host
from host_model.mediator.failsafe import FailsafeReason
from pvinfo.page import PVINFO_BASE


def test_nothing_runs_unless_somebody_hears_of_it() -> None:
    vgpu = make_vgpu()
    assert idle(vgpu)
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    assert idle(vgpu), "the pipe is off"
    vgpu.mmio.write32(IMR, 0xFFFFFFFF)
    light_up(vgpu)
    vgpu.mmio.write32(SURFACE, 0x1000)
    assert idle(vgpu), "it is masked"
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    assert vgpu.clock.next_deadline_ns() == -(-FRAME // 1)
    vgpu.mmio.write32(IMR, 0xFFFFFFFF)
    assert idle(vgpu)
    vgpu.mmio.write32(0x44414, 0)
    assert idle(vgpu), "that is another pipe's"
    vgpu.mmio.write32(IMR, 0)
    switch(vgpu, False)
    assert idle(vgpu)


def test_a_flip_that_somebody_hears_of_runs_the_timer_once() -> None:
    vgpu = make_vgpu()
    heard: list[tuple[int, int]] = []
    on_interrupt(vgpu, lambda identity: heard.append((vgpu.clock.now_ns(), identity)))
    light_up(vgpu)
    vgpu.mmio.write32(IMR, ~(1 << 3) & 0xFFFFFFFF)
    assert idle(vgpu)
    wait(vgpu, FRAME / 3)
    vgpu.mmio.write32(SURFACE, 0x1000)
    vgpu.mmio.write32(SURFACE, 0x2000)
    assert vgpu.display.pipes.flip_pending("PIPE_A_PLANE_1")
    wait(vgpu, 3 * FRAME)
    assert heard == [(-(-FRAME // 1), 1 << 3)] and idle(vgpu)
    assert vgpu.mmio.read32(LIVE) == 0x2000 and vgpu.mmio.read32(FLIPS) == 1
    assert not vgpu.display.pipes.flip_pending("PIPE_A_PLANE_1")


PLANES = [
    *[("skl", 0x7019C + 0x100 * plane, 0x44408, 3 + plane) for plane in range(4)],
    ("skl", 0x7219C, 0x44428, 3), ("skl", 0x7129C, 0x44418, 4), ("bdw", 0x7019C, 0x44408, 4), ("bdw", 0x7029C, 0x44408, 5), ("bdw", 0x7129C, 0x44418, 5),
    ("bdw", 0x7039C, 0x44408, None), ("skl", 0x70084, 0x44408, None), ("bdw", 0x71084, 0x44418, None),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "surface", "identity", "bit"), PLANES)
def test_a_surface_is_shown_at_the_end_of_the_frame_and_told_by_the_plane_s_own_event(platform: str, surface: int, identity: int, bit: int | None) -> None:
    vgpu = make_vgpu(platform)
    live = surface + (0x28 if surface & 0xFFF == 0x84 else 0x10)
    light_up(vgpu, FULL_HD, surface >> 12 & 3)
    vgpu.mmio.write32(identity - 4, VBLANK)
    vgpu.mmio.write32(surface, 0xABC000)
    assert (vgpu.mmio.read32(surface), vgpu.mmio.read32(live)) == (0xABC000, 0)
    wait(vgpu, FRAME - 1)
    assert vgpu.mmio.read32(live) == 0 == vgpu.mmio.read32(identity)
    wait(vgpu, FRAME)
    vgpu.display.pipes.settle()
    assert vgpu.registers.read32(live) == 0xABC000
    assert vgpu.mmio.read32(identity) == (0 if bit is None else 1 << bit)
    vgpu.mmio.write32(live, 0)
    assert vgpu.mmio.read32(live) == 0xABC000


def test_a_flip_and_the_vertical_blank_it_takes_place_in_are_told_together() -> None:
    vgpu = make_vgpu("bdw")
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    vgpu.mmio.write32(SURFACE, 0x1000)
    vgpu.mmio.write32(SURFACE + 0x100, 0x1000)
    wait(vgpu, 2 * FRAME)
    assert heard == [VBLANK | 1 << 4 | 1 << 5, VBLANK]


def test_an_asynchronous_flip_is_shown_and_told_at_once_and_takes_the_place_of_one_that_waits() -> None:
    vgpu = make_vgpu()
    heard: list[tuple[int, int]] = []
    on_interrupt(vgpu, lambda identity: heard.append((vgpu.clock.now_ns(), identity)))
    light_up(vgpu)
    vgpu.mmio.write32(IMR, ~(1 << 3) & 0xFFFFFFFF)
    wait(vgpu, 7)
    vgpu.mmio.write32(SURFACE, 0x1000)
    vgpu.mmio.write32(CONTROL, 1 << 31 | 1 << 9)
    vgpu.mmio.write32(SURFACE, 0x2000)
    assert heard == [(7, 8)] and vgpu.mmio.read32(LIVE) == 0x2000
    wait(vgpu, 2 * FRAME)
    assert heard == [(7, 8)] and vgpu.mmio.read32(FLIPS) == 1


def test_what_happens_while_it_is_masked_is_never_told() -> None:
    vgpu = make_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(SURFACE, 0x1000)
    wait(vgpu, FRAME + 10)
    vgpu.mmio.write32(IMR, 0)
    assert heard == [] and vgpu.mmio.read32(LIVE) == 0x1000
    wait(vgpu, 2 * FRAME)
    assert heard == [VBLANK]


def test_a_pipe_that_goes_off_shows_what_was_to_be_shown_next_and_tells_nobody() -> None:
    vgpu = make_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    vgpu.mmio.write32(SURFACE, 0x3000)
    vgpu.mmio.write32(0x70084, 0x4000)
    switch(vgpu, False)
    assert (vgpu.mmio.read32(LIVE), vgpu.mmio.read32(0x700AC)) == (0x3000, 0x4000)
    wait(vgpu, 3 * FRAME)
    assert heard == [] and idle(vgpu)


def test_an_interrupt_may_switch_the_pipe_off() -> None:
    vgpu = make_vgpu()
    heard: list[int] = []

    def stop(identity: int) -> None:
        heard.append(identity)
        switch(vgpu, False)

    on_interrupt(vgpu, stop)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    wait(vgpu, 4 * FRAME)
    assert heard == [VBLANK] and idle(vgpu) and vgpu.mmio.read32(FRAMES) == 1


@pytest.mark.parametrize("end", ["reset", "close", "sleep"])
def test_a_device_that_is_reset_put_to_sleep_or_taken_away_leaves_no_timer(end: str) -> None:
    host = Host()
    vgpu = host.plug().vgpu
    vgpu.mmio.read(PVINFO_BASE, 8)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    vgpu.mmio.write32(SURFACE, 0x3000)
    assert not idle(vgpu)
    if end == "reset":
        vgpu.reset()
    elif end == "close":
        host.destroy_vgpu(vgpu)
    else:
        vgpu.config.write(0xD4, 2, 3)
        assert vgpu.config.in_d3
    assert idle(vgpu) and vgpu.display.pipes.running == ()
    if end == "reset":
        assert (vgpu.mmio.read32(LIVE), vgpu.mmio.read32(FRAMES)) == (0, 0)


def test_a_device_that_wakes_up_goes_on_with_what_its_registers_say() -> None:
    vgpu = make_vgpu()
    light_up(vgpu)
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    wait(vgpu, 3 * FRAME)
    vgpu.config.write(0xD4, 2, 3)
    wait(vgpu, 60 * FRAME)
    assert vgpu.mmio.read32(FRAMES) == 3
    vgpu.config.write(0xD4, 2, 0)
    wait(vgpu, 62 * FRAME)
    assert vgpu.mmio.read32(FRAMES) == 5
    vgpu.config.write(0xD4, 2, 3)
    vgpu.reset()
    light_up(vgpu)
    assert vgpu.display.pipes.running == ("PIPE_A",), "a reset wakes the device up"


def test_a_guest_in_failsafe_mode_whose_writes_reach_nothing_is_not_told_of_frames_that_it_does_not_send() -> None:
    vgpu = make_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, "here")
    switch(vgpu, False)
    wait(vgpu, 3 * FRAME)
    assert heard == [] and idle(vgpu) and not vgpu.display.pipes.running


def test_a_guest_finds_its_display_off_whatever_the_host_showed_when_the_snapshot_was_taken() -> None:
    shown = {0x70008: 3 << 30, 0x7F008: 3 << 30, 0x60400: 0x92000002, 0x70180: 0x84000000, 0x71280: 0x84002000, 0x70080: 0x04000027, 0x64100: 0x80000006}
    vgpu = made_host(shown).plug().vgpu
    vgpu.mmio.read(PVINFO_BASE, 8)
    light_up(vgpu, pipe=1)
    assert vgpu.display.pipes.running == ("PIPE_B",)
    off = {0x70008: 0, 0x7F008: 0, 0x60400: 0x12000002, 0x70180: 0x04000000, 0x71280: 0x04002000, 0x70080: 0x04000000, 0x64100: 0x86}
    assert {offset: vgpu.mmio.read32(offset) for offset in off} == off
