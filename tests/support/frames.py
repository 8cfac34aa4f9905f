"""Frames in virtual time: a vGPU's pipe A, its registers, and a driver that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from host_model.clock import HostClock, VirtualClock
from host_model.mediator.vgpu import Vgpu
from .mode_setting import XGA
from .vgpus import send_messages_to

__all__ = (
    "CONTROL", "FLIPS", "FLIP_TIME", "FRAME", "FRAMES", "FRAME_TIME", "IER", "IIR", "IMR", "LINE", "LIVE", "MASTER", "NS",
    "SURFACE", "VBLANK", "XGA_PERIOD", "SlowClock", "idle", "on_interrupt", "wait",
)  # fmt: skip

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
