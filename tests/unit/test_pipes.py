"""Pipes in time: frames and their counters, and the scan line."""

from __future__ import annotations

import random

import pytest
from support.frames import (
    FLIPS,
    FLIP_TIME,
    FRAME,
    FRAMES,
    FRAME_TIME,
    IMR,
    LINE,
    LIVE,
    MASTER,
    NS,
    SURFACE,
    VBLANK,
    XGA_PERIOD,
    idle,
    on_interrupt,
    wait,
)
from support.mode_setting import FULL_HD, XGA, light_up, set_clock, set_timings, switch
from support.vgpus import make_vgpu, send_messages_to


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
