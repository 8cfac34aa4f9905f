"""What the unmodified i915 did when it found our monitor: its mode sets, step by step, done again.

The traces are of Linux 6.12 on Broadwell, Skylake and Kaby Lake, from the probe to the second mode set, with link training and
everything that the driver polls and verifies; they are of boots that complained of nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from host_model.clock import VirtualClock
from host_model.host import Host
from pvinfo.page import PVINFO_BASE
from pvinfo.trace import Op, read_trace

DATA: Final = Path(__file__).parent / "data"
LINE, FRAMES, CONF = 0x70000, 0x70040, 0x70008
PIPE_EVENTS: Final = 0x44408
AUX_DATA: Final = frozenset(base + at for base in (0x64010, 0x64110, 0x64210, 0x64310, 0xE4110, 0xE4210, 0xE4310) for at in range(4, 24, 4))
"""What the monitor says is told elsewhere."""


@pytest.mark.parametrize("platform", ["bdw", "skl", "kbl"])
def test_a_mode_set_of_the_real_driver_reads_what_let_it_go_on(platform: str) -> None:
    rows = read_trace(DATA / f"real_mode_set_{platform}.tsv.xz")
    vgpu = Host(platform).plug().vgpu
    clock = vgpu.clock
    assert isinstance(clock, VirtualClock)
    vgpu.mmio.read(PVINFO_BASE, 8)
    other: Counter[str] = Counter()
    switched: list[bool] = []
    for row in rows:
        clock.wait_ns(row.ms * 1_000_000 - clock.now_ns())
        for _ in range(row.repeat):
            if row.op is Op.WRITE:
                vgpu.mmio.write(row.offset, row.size, row.value)
                if row.offset == CONF:
                    switched.append(bool(row.value >> 31))
                continue
            value = vgpu.mmio.read(row.offset, row.size)
            if row.offset == FRAMES:  # the trace has whole milliseconds
                other[f"{row.offset:#x}"] += abs(value - row.value) > 1
            elif row.offset not in AUX_DATA and row.offset not in (LINE, PIPE_EVENTS):
                other[f"{row.offset:#x}"] += value != row.value
    assert +other == Counter()
    assert switched[-1] and switched.count(True) == 2
    mode = vgpu.display.pipes.mode("PIPE_A")
    assert mode is not None and (mode.width, mode.height) == (1024, 768)
    assert round(1_000_000_000_000 / mode.period_ns) == 60004
    assert vgpu.display.pipes.running == ("PIPE_A",)
    assert clock.next_deadline_ns() is None, "the console stands still, and nobody waits"
    assert not vgpu.failsafe and [finding for finding in vgpu.findings] == []
