"""Pipes in time: frames, vertical blanks, flips, and that nothing runs which nobody hears."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import pytest
from support.audit_rig import AuditRig
from support.golden import made_host
from support.mode_setting import FULL_HD, XGA, light_up, set_clock, set_timings, switch
from support.vgpus import make_vgpu, send_messages_to

from host_model.clock import HostClock, VirtualClock
from host_model.gpu.display_wait import DisplayWait
from host_model.host import Host
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.vgpu import Vgpu
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import Engine

NS = 1_000_000_000
FRAME = Fraction(NS, 60)
"""Of FULL_HD."""
MASTER, IMR, IIR, IER = 0x44200, 0x44404, 0x44408, 0x4440C
CONTROL, SURFACE, LIVE, FLIPS, FRAMES, LINE, FRAME_TIME, FLIP_TIME = 0x70180, 0x7019C, 0x701AC, 0x70044, 0x70040, 0x70000, 0x70048, 0x7004C
VBLANK = 1
XGA_PERIOD = XGA.htotal * XGA.vtotal * NS * 140 / (24_000_000 * (379 + Fraction(0x1555, 1 << 15)))
"""By the dividers that a driver finds for 65 MHz."""


def wait(vgpu: Vgpu, until: Fraction | int) -> None:
    """Let virtual time pass until the first whole nanosecond not before ``until``."""
    assert isinstance(vgpu.clock, VirtualClock)
    vgpu.clock.wait_ns(-(-until // 1) - vgpu.clock.now_ns())


def on_interrupt(vgpu: Vgpu, act: Callable[[int], None], *, enabled: int = 0xFF) -> None:
    """Acknowledge each interrupt of pipe A as drivers do, and call ``act`` with its bits."""
    messages: list[int] = []
    send_messages_to(vgpu, messages)
    write, read = vgpu.mmio.write32, vgpu.mmio.read32

    def serve() -> None:
        write(MASTER, 0)
        identity = read(IIR)
        write(IIR, identity)
        act(identity)
        write(MASTER, 1 << 31)

    vgpu.on_interrupt(serve)
    write(IER, enabled)
    write(MASTER, 1 << 31)


def idle(vgpu: Vgpu) -> bool:
    """Nothing is due any more, but for what is due now."""
    vgpu.clock.run_due()
    return vgpu.clock.next_deadline_ns() is None


class SlowClock(HostClock):
    """Time that passes without anybody noticing, as on a busy machine."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    def now_ns(self) -> int:
        return self.now


# ---- frames ----


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl", "cfl"])
def test_a_driver_that_flips_at_each_vertical_blank_flips_600_times_in_ten_seconds(platform: str) -> None:
    vgpu = make_vgpu(platform)
    shown: list[tuple[int, int]] = []

    def flip(identity: int) -> None:
        assert identity & VBLANK
        shown.append((vgpu.clock.now_ns(), vgpu.mmio.read32(LIVE)))
        vgpu.mmio.write32(SURFACE, (len(shown) & 1) << 20)

    on_interrupt(vgpu, flip)
    light_up(vgpu)
    vgpu.mmio.write32(SURFACE, 0)
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    start = vgpu.clock.now_ns()
    wait(vgpu, start + 10 * NS)
    assert [at - start for at, _ in shown] == [-(-number * FRAME // 1) for number in range(1, 601)]
    assert [surface for _, surface in shown] == [(number & 1) << 20 for number in range(600)]
    assert vgpu.mmio.read32(FRAMES) == vgpu.mmio.read32(FLIPS) == 600 == vgpu.display.pipes.frame("PIPE_A")
    assert vgpu.interrupts_sent == 600


def test_frames_are_counted_at_the_true_rate_of_the_mode_and_never_drift() -> None:
    vgpu = make_vgpu()
    light_up(vgpu, XGA)
    assert idle(vgpu), "nobody listens"
    mode = vgpu.display.pipes.mode("PIPE_A")
    assert mode is not None and mode.period_ns == XGA_PERIOD and vgpu.display.pipes.running == ("PIPE_A",)
    for second in (1, 10, 3600, 86_400, 31_536_000):
        wait(vgpu, second * NS)
        assert vgpu.mmio.read32(FRAMES) == second * NS // XGA_PERIOD


def test_the_frame_counter_wraps_stands_still_while_the_pipe_is_off_and_cannot_be_written() -> None:
    vgpu = make_vgpu()
    vgpu.registers.write32(FRAMES, 0xFFFFFFFE)
    light_up(vgpu)
    vgpu.mmio.write32(FRAMES, 0x1234)
    wait(vgpu, 5 * FRAME)
    assert vgpu.mmio.read32(FRAMES) == 3
    switch(vgpu, False)
    assert vgpu.display.pipes.mode("PIPE_A") is None and vgpu.display.pipes.frame("PIPE_A") == 0
    wait(vgpu, 9 * FRAME)
    assert vgpu.mmio.read32(FRAMES) == 3 and vgpu.mmio.read32(LINE) == 0
    switch(vgpu, True)
    wait(vgpu, 11 * FRAME + 1)
    assert vgpu.mmio.read32(FRAMES) == 5 and vgpu.display.pipes.frame("PIPE_A") == 2


def test_time_stamps_of_frames_and_flips_are_microseconds_of_the_display_s_clock() -> None:
    vgpu = make_vgpu()
    wait(vgpu, 5000)
    light_up(vgpu)
    assert vgpu.mmio.read32(FRAME_TIME) == 5
    wait(vgpu, 5000 + 3 * FRAME)
    vgpu.mmio.write32(SURFACE, 0x1000)
    wait(vgpu, 5000 + 5 * FRAME + 4_000_000)
    assert vgpu.mmio.read32(FRAME_TIME) == (5000 + 5 * FRAME) // 1000
    assert vgpu.mmio.read32(FLIP_TIME) == (5000 + 4 * FRAME) // 1000, "when it was shown, not when anybody looked"
    assert vgpu.mmio.read32(0x44070) == (5000 + 5 * FRAME + 4_000_000) // 1000
    for offset in (FRAME_TIME, FLIP_TIME, 0x44070):
        before = vgpu.mmio.read32(offset)
        vgpu.mmio.write32(offset, 0x55)
        assert vgpu.mmio.read32(offset) == before


def test_each_pipe_has_a_time_of_its_own() -> None:
    vgpu = make_vgpu()
    for pipe in range(3):
        light_up(vgpu, FULL_HD, pipe)
        wait(vgpu, vgpu.clock.now_ns() + FRAME / 4)
    wait(vgpu, 10 * FRAME)
    assert [vgpu.mmio.read32(FRAMES + 0x1000 * pipe) for pipe in range(3)] == [10, 9, 9]
    switch(vgpu, False, 1)
    assert vgpu.display.pipes.running == ("PIPE_A", "PIPE_C")


@pytest.mark.parametrize(("choice", "pipe"), [(0, "PIPE_A"), (4, "PIPE_A"), (5, "PIPE_B"), (6, "PIPE_C")])
def test_the_embedded_transcoder_drives_the_pipe_it_names(choice: int, pipe: str) -> None:
    vgpu = make_vgpu()
    for at, value in {0x46010: 1 << 31, 0x6C058: 5, 0x6C05C: 1, 0x6F400: 0x82000000 | choice << 12, 0x6F040: 11, 0x6F044: 12}.items():
        vgpu.mmio.write32(at, value)
    set_timings(vgpu, FULL_HD, 0x6F000)
    vgpu.mmio.write32(0x7F008, 1 << 31)
    assert vgpu.display.pipes.running == (pipe,)
    mode = vgpu.display.pipes.mode(pipe)
    assert mode is not None and mode.period_ns == FRAME
    vgpu.mmio.write32(0x7F008, 0)
    assert not vgpu.display.pipes.running


def test_a_timing_that_changes_while_the_pipe_is_on_takes_effect_at_once_and_loses_no_frame() -> None:
    vgpu = make_vgpu()
    light_up(vgpu)
    ends: list[int] = []
    on_interrupt(vgpu, lambda identity: ends.append(vgpu.clock.now_ns()))
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    wait(vgpu, 2 * FRAME + FRAME / 2)
    vgpu.mmio.write32(0x6000C, 2 * 1125 - 1 << 16 | 1079)
    at = vgpu.clock.now_ns()
    wait(vgpu, at + 4 * FRAME)
    assert ends[:2] == [-(-FRAME // 1), -(-2 * FRAME // 1)]
    assert [round((end - at) / FRAME, 5) for end in ends[2:]] == [1, 3], "half a frame is left, of double the length"
    assert vgpu.mmio.read32(FRAMES) == 4


# ---- the scan line ----


@pytest.mark.parametrize(("mode", "lead"), [(0, 2), (1, 2), (2, 1)])
def test_the_scan_line_moves_through_the_frame_and_is_never_zero(mode: int, lead: int) -> None:
    vgpu = make_vgpu()
    light_up(vgpu)
    if mode == 2:
        vgpu.mmio.write32(0x6C058, 1 << 6)
        for offset, value in ((0x60040, 148_500), (0x60044, 540_000), (0x60400, 0x92000000)):
            vgpu.mmio.write32(offset, value)
        switch(vgpu, False)
        switch(vgpu, True)
    assert (start := vgpu.display.pipes.mode("PIPE_A")) is not None and start.period_ns == FRAME
    begin = vgpu.clock.now_ns()
    seen = []
    for line in range(FULL_HD.vtotal):
        wait(vgpu, begin + FRAME * line / FULL_HD.vtotal)
        seen.append(vgpu.mmio.read32(LINE))
    first = FULL_HD.vdisplay
    assert seen == [((first + line) % FULL_HD.vtotal - lead) % FULL_HD.vtotal or 1 for line in range(FULL_HD.vtotal)]
    assert vgpu.mmio.read32(FRAMES) == 0
    wait(vgpu, begin + FRAME)
    assert (vgpu.mmio.read32(FRAMES), vgpu.mmio.read32(LINE)) == (1, first - lead), "the count grows where the blank begins"
    vgpu.mmio.write32(LINE, 77)
    assert vgpu.mmio.read32(LINE) == first - lead


def test_an_interlaced_picture_shows_its_field() -> None:
    vgpu = make_vgpu("bdw")
    set_timings(vgpu, FULL_HD)
    vgpu.mmio.write32(0x6000C, 1123 << 16 | 1079)
    set_clock(vgpu, FULL_HD)
    vgpu.mmio.write32(0x6002C, 1)
    vgpu.mmio.write32(0x70008, 1 << 31 | 3 << 21)
    fields = []
    for field in range(4):
        wait(vgpu, FRAME * field)
        fields.append(vgpu.mmio.read32(LINE))
    assert fields == [538, 1 << 31 | 538, 538, 1 << 31 | 538]


# ---- events and masks ----


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


# ---- a server that is late ----


def late_vgpu() -> tuple[Vgpu, SlowClock]:
    clock = SlowClock()
    host = Host(clock=clock)
    vgpu = host.create_vgpu(None, VfioUserPort(host.memory))
    clock.run_due()
    vgpu.mmio.read(PVINFO_BASE, 8)
    return vgpu, clock


def test_a_late_server_tells_of_the_blanks_it_missed_once_and_counts_them_all() -> None:
    vgpu, clock = late_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    vgpu.mmio.write32(SURFACE, 0x1000)
    clock.now = int(7 * FRAME + FRAME / 2)
    assert vgpu.mmio.read32(FRAMES) == 7
    clock.run_due()
    assert heard == [VBLANK | 8] and vgpu.mmio.read32(LIVE) == 0x1000
    assert vgpu.mmio.read32(FLIP_TIME) == FRAME // 1000
    assert clock.next_deadline_ns() == -(-8 * FRAME // 1)
    clock.run_due()
    assert heard == [VBLANK | 8]


def test_an_event_finds_the_mask_of_its_own_instant_not_of_the_instant_it_is_dealt_with() -> None:
    vgpu, clock = late_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, ~VBLANK & 0xFFFFFFFF)
    clock.now = int(FRAME + 5)
    vgpu.mmio.write32(IMR, 0xFFFFFFFF)
    assert heard == [VBLANK], "it came before it was masked"
    clock.now = int(2 * FRAME + 5)
    vgpu.mmio.write32(IMR, 0)
    assert heard == [VBLANK], "it came while it was masked"
    clock.run_due()
    assert heard == [VBLANK]


def test_a_flip_asked_for_after_a_blank_that_nobody_has_dealt_with_waits_for_the_next() -> None:
    vgpu, clock = late_vgpu()
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    clock.now = int(FRAME + 5)
    vgpu.mmio.write32(SURFACE, 0x1000)
    clock.run_due()
    assert vgpu.mmio.read32(LIVE) == 0
    clock.now = int(2 * FRAME + 1)
    clock.run_due()
    assert vgpu.mmio.read32(LIVE) == 0x1000 and vgpu.mmio.read32(IIR) == VBLANK | 8


def test_on_real_time_a_driver_with_registers_to_write_is_told_to_wait_for_the_blank_a_millisecond_before_it() -> None:
    vgpu, clock = late_vgpu()
    light_up(vgpu)
    last, first = FULL_HD.vdisplay - 1, FULL_HD.vdisplay
    for before_ns, line in ((1_000_500, None), (999_999, last), (500_000, last), (1, last), (0, first)):
        clock.now = -(-FRAME // 1) - before_ns
        shown = vgpu.mmio.read32(LINE) + 2
        assert shown == line if line is not None else first - 100 < shown < last
    vgpu.mmio.write32(0x6000C, 124 << 16 | 107)
    vgpu.mmio.write32(0x60010, 124 << 16 | 107)
    switch(vgpu, False)
    switch(vgpu, True)
    start, short = clock.now, FRAME / 9
    lines = []
    for eighth in range(1, 9):
        clock.now = start + int(short * eighth / 8) - 1
        lines.append(vgpu.mmio.read32(LINE) + 2)
    assert len(set(lines)) == 8 and lines[-1] == 107, "of a short frame no more than an eighth is taken"


def test_on_real_time_a_frame_does_not_end_in_the_midst_of_a_driver_s_writes_that_began_in_time() -> None:
    vgpu, clock = late_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    end = -(-FRAME // 1)
    clock.now = end - 3_000_000
    assert vgpu.mmio.read32(LINE) + 2 < FULL_HD.vdisplay - 100 and vgpu.mmio.read32(FRAMES) == 0
    clock.now = end + 1_000_000
    clock.run_due()
    assert heard == [] and clock.next_deadline_ns() == end + 1_166_666, "a quarter of a frame after the look"
    vgpu.mmio.write32(SURFACE, 0x1000)
    assert vgpu.mmio.read32(LINE) + 2 == FULL_HD.vdisplay - 1
    assert heard == [] and vgpu.mmio.read32(FRAMES) == 0, "the driver is content"
    assert heard == [VBLANK | 8] and vgpu.mmio.read32(FRAMES) == 1 and vgpu.mmio.read32(LIVE) == 0x1000
    assert clock.next_deadline_ns() == -(-2 * FRAME // 1), "the next is not late"
    clock.run_due()
    assert heard == [VBLANK | 8]


def test_a_frame_is_held_no_longer_than_a_quarter_of_it_and_not_for_a_driver_that_waits_for_its_end() -> None:
    vgpu, clock = late_vgpu()
    heard: list[int] = []
    on_interrupt(vgpu, heard.append)
    light_up(vgpu)
    vgpu.mmio.write32(IMR, 0)
    end = -(-FRAME // 1)
    clock.now = end - 2_000_000
    vgpu.mmio.read32(LINE)
    clock.now = end
    clock.run_due()
    assert heard == []
    clock.now = end - 2_000_000 + 4_166_666
    clock.run_due()
    assert heard == [VBLANK] and vgpu.mmio.read32(FRAMES) == 1
    end = -(-2 * FRAME // 1)
    clock.now = end - 2_000_000
    vgpu.mmio.read32(LINE)
    clock.now = end - 500_000
    vgpu.mmio.read32(LINE)
    clock.now = end
    clock.run_due()
    assert heard == [VBLANK] * 2, "the driver saw the last line, and waits"
    for number in range(1, 2000):
        clock.now = end + 100_000 * number
        clock.run_due()
        vgpu.mmio.read32(LINE)
    clock.now += 5_000_000
    clock.run_due()
    frames = int(clock.now / FRAME)
    assert vgpu.mmio.read32(FRAMES) == frames == len(heard), "whoever looks all the time stops nothing"
    vgpu.mmio.read32(LINE)
    switch(vgpu, False)
    clock.now += 60_000_000
    clock.run_due()
    assert len(heard) == frames and idle(vgpu)


# ---- flips by command, and engines that wait ----


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


# ---- hostile guests ----


@pytest.mark.parametrize("platform", ["bdw", "skl", "bxt"])
def test_no_guest_makes_the_host_do_more_than_count_a_thousand_frames_a_second_of_each_pipe(platform: str) -> None:
    source = random.Random(0xF1A7)
    vgpu = make_vgpu(platform)
    messages: list[int] = []
    send_messages_to(vgpu, messages)
    write = vgpu.mmio.write32
    offsets = [
        base + at for base in (0x60000, 0x61000, 0x62000, 0x6F000) for at in (0, 0xC, 0x10, 0x2C, 0x40, 0x44, 0x400)
    ] + [0x70008, 0x71008, 0x72008, 0x7F008, 0x6C058, 0x6C05C, 0x46014, 0x46040, 0x46100, 0x6C040, 0x6C044, 0x7019C, 0x70184, 0x70080, 0x70084, 0x50080,
         0x44404, 0x44414, 0x44424, 0x44408, 0x70180, 0x70040, 0x70048]  # fmt: skip
    for group in (0x4440C, 0x4441C, 0x4442C):
        write(group, 0xFFFFFFFF)
    write(MASTER, 1 << 31)
    for _ in range(300):
        for _ in range(12):
            offset = source.choice(offsets)
            write(offset, source.choice((0, 0xFFFFFFFF, 1 << source.randrange(32), 1 << 31 | source.getrandbits(31), source.getrandbits(32))))
        for offset in (0x70000, 0x70040, 0x71048, 0x7204C, 0x701AC):
            assert 0 <= vgpu.mmio.read32(offset) <= 0xFFFFFFFF
        sent = len(messages)
        wait(vgpu, vgpu.clock.now_ns() + 20_000_000)
        assert len(messages) - sent <= 3 * 21
    vgpu.reset()
    assert idle(vgpu)
