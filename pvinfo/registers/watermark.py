"""Water marks of gen8: how much of its buffer a plane must have filled for memory to sleep. Gen9 has them in each plane."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = ("LineTime", "LowPowerSpriteWaterMark", "LowPowerWaterMark", "Partition", "PipeWaterMark", "WaterMarkMisc", "WaterMarks")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class PipeWaterMark(Bits):
    """Marks of a pipe's planes, with memory awake."""

    cursor = uint(0, 8, "cursor", unit="64 bytes")
    sprite = uint(8, 8, "sprite plane", unit="64 bytes")
    primary = uint(16, 16, "primary plane", unit="64 bytes")


class LowPowerWaterMark(Bits):
    """Marks for a power state of memory."""

    cursor = uint(0, 8, "cursor", unit="64 bytes")
    primary = uint(8, 11, "primary plane", unit="64 bytes")
    fbc = uint(19, 5, "frame buffer compression", unit="lines")
    latency = uint(24, 7, "time memory takes to wake up", unit="0.5 us")
    enable = flag(31, "the power state may be entered")


class LowPowerSpriteWaterMark(Bits):
    """Mark of the sprite plane for a power state of memory."""

    sprite = uint(0, 11, "sprite plane", unit="64 bytes")
    enable = flag(31, "the mark counts (first state, before gen7)")


class Partition(IntEnum):
    """How the buffer is shared between primary and sprite planes."""

    HALF = 0
    FIVE_SIXTHS_SPRITE = 1


class WaterMarkMisc(Bits):
    """How the buffer is shared."""

    partition = choice(0, 1, Partition, "between primary and sprite planes")


class LineTime(Bits):
    """How long a line takes; gen9 has it as well."""

    line = uint(0, 9, "time of a line", unit="0.125 us")
    ips = uint(16, 9, "time of a line at the clock of intermediate pixel storage", unit="0.125 us")


class WaterMarks(RegisterBlock, source=SOURCE):
    """Water marks of gen8."""

    pipe_a = Register(0x45100, PipeWaterMark, "pipe A, with memory awake", kernel_name="WM0_PIPE_ILK")
    pipe_b = Register(0x45104, PipeWaterMark, "pipe B, with memory awake", kernel_name="WM0_PIPE_ILK")
    low_power = RegisterArray(0x45108, 3, LowPowerWaterMark, "power states 1 to 3 of memory", kernel_name="WM1_LP_ILK")
    low_power_sprite = RegisterArray(0x45120, 3, LowPowerSpriteWaterMark, "sprite plane, power states 1 to 3 of memory", kernel_name="WM1S_LP_ILK")
    pipe_c = Register(0x45200, PipeWaterMark, "pipe C, with memory awake", kernel_name="WM0_PIPE_ILK")
    misc = Register(0x45260, WaterMarkMisc, "how the buffer is shared", kernel_name="WM_MISC")
    linetime = RegisterArray(0x45270, 3, LineTime, "how long a line takes in pipes A to C", kernel_name="WM_LINETIME")
