"""Pipes of a server that is late, and of one on real time."""

from __future__ import annotations

from support.frames import FLIP_TIME, FRAME, FRAMES, IIR, IMR, LINE, LIVE, SURFACE, VBLANK, SlowClock, idle, on_interrupt
from support.mode_setting import FULL_HD, light_up, switch

from host_model.host import Host
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.mediator.vgpu import Vgpu
from pvinfo.page import PVINFO_BASE


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
