"""Water marks: how much of its share of the display buffer a plane must have filled, so that it never runs dry.

Of the power states of memory only the first, in which memory is awake, is allowed: the driver of a screen that shows
pictures quickly needs no more, and a host none of it.

Source: linux:drivers/gpu/drm/i915/display/skl_watermark.c, linux:drivers/gpu/drm/i915/display/i9xx_wm.c
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from pvinfo.display_mode import DisplayMode
from pvinfo.platform import Platform
from pvinfo.registers import (
    BufferAllocation,
    Cursor,
    LineTime,
    MemoryLatency,
    PcodeCommand,
    PipeWaterMark,
    Plane,
    PlaneTiling,
    WaterMark,
    WaterMarks,
)

from ..pcode import pcode_read
from ..uncore import Uncore

__all__ = ("line_time", "memory_latency_us", "plane_mark", "share_buffer", "write_marks")

_PIXEL: Final = 4
_BLOCK: Final = 512
_BUFFER_BLOCKS: Final = {"bxt": 508}
_USUAL_BUFFER_BLOCKS: Final = 892
"""What is left of the display buffer of other parts beside what pictures bypass it through."""
_CURSOR_BLOCKS: Final = 32
_CURSOR_MARK_BLOCKS: Final = 8
_LEAST_LATENCY_US: Final = 2
_TILED_LATENCY_US: Final = 15
"""More for X tiles, where memory's bandwidth is short."""
_BAND: Final = 4
"""Lines of a Y-tiled picture that are fetched together."""
_LONGEST_LINE: Final = 0x1FF
_LINE_UNITS_PER_MS: Final = 8_000


def memory_latency_us(uncore: Uncore) -> int:
    """How long memory takes to answer while it is awake (``skl_read_wm_latency``)."""
    reply = pcode_read(uncore, PcodeCommand.READ_MEM_LATENCY, 0)
    return max(MemoryLatency(reply).level_0_4, _LEAST_LATENCY_US) if reply is not None else _LEAST_LATENCY_US


def line_time(platform: Platform, mode: DisplayMode) -> LineTime:
    """How long a line takes, in eighths of a microsecond: rounded up on gen9, to the nearest on gen8."""
    units = Fraction(mode.htotal * _LINE_UNITS_PER_MS, mode.pixel_clock_khz)
    whole = -(-units.numerator // units.denominator) if platform.graphics_version >= 9 else round(units)
    return LineTime.of(line=min(whole, _LONGEST_LINE))


def plane_mark(mode: DisplayMode, width: int, tiling: PlaneTiling, latency_us: int) -> WaterMark:
    """The mark of a plane of ``width`` pixels with memory awake (``skl_compute_plane_wm``)."""
    row = width * _PIXEL
    if tiling in (PlaneTiling.Y, PlaneTiling.YF):
        blocks_per_line = Fraction(-(-row * _BAND // _BLOCK), _BAND)
    else:
        blocks_per_line = Fraction(-(-row // _BLOCK) + (tiling is PlaneTiling.LINEAR))
    latency = latency_us + (_TILED_LATENCY_US if tiling is PlaneTiling.X else 0)
    by_time = Fraction(latency * mode.pixel_clock_khz * _PIXEL, _BLOCK * 1000)
    lines_in_time = -(-latency * mode.pixel_clock_khz // (mode.htotal * 1000))
    by_lines = lines_in_time * blocks_per_line
    if tiling in (PlaneTiling.Y, PlaneTiling.YF):
        chosen = max(by_lines, blocks_per_line * _BAND)
    elif mode.htotal * _PIXEL < _BLOCK and row < _BLOCK:
        chosen = by_lines
    else:
        chosen = min(by_time, by_lines) if latency * 1000 >= mode.line_ns else by_time
    blocks = -(-chosen.numerator // chosen.denominator) + 1
    lines = Fraction(blocks - 1) / blocks_per_line
    return WaterMark.of(enable=1, blocks=blocks, lines=-(-lines.numerator // lines.denominator))


def share_buffer(platform: Platform) -> tuple[BufferAllocation, BufferAllocation]:
    """Shares of the display buffer: of the one plane, and of the cursor at its end."""
    size = _BUFFER_BLOCKS.get(platform.name, _USUAL_BUFFER_BLOCKS)
    edge = size - _CURSOR_BLOCKS
    return BufferAllocation.of(start=0, end=edge - 1), BufferAllocation.of(start=edge, end=size - 1)


def write_marks(uncore: Uncore, pipe: str, mark: WaterMark) -> None:
    """Write marks and shares of plane 1 and of the cursor of ``pipe`` (``skl_write_plane_wm``); gen8 has marks for the whole pipe."""
    if uncore.platform.graphics_version == 8:
        setting = PipeWaterMark.of(primary=min(mark.blocks * _BLOCK // 64, 0xFFFF), sprite=0, cursor=_CURSOR_MARK_BLOCKS)
        register = {"PIPE_A": WaterMarks.pipe_a, "PIPE_B": WaterMarks.pipe_b, "PIPE_C": WaterMarks.pipe_c}[pipe]
        uncore.write(register, setting if mark else 0)
        return
    plane, cursor = Plane(uncore.regs, f"{pipe}_PLANE_1"), Cursor(uncore.regs, pipe)
    plane_share, cursor_share = share_buffer(uncore.platform)
    off = WaterMark(0)
    for level in range(8):
        plane.wm[level] = mark if level == 0 else off
        cursor.wm[level] = WaterMark.of(enable=1, blocks=_CURSOR_MARK_BLOCKS) if level == 0 and mark else off
    plane.wm_trans = cursor.wm_trans = off
    plane.buf_cfg = plane_share if mark else BufferAllocation(0)
    cursor.buf_cfg = cursor_share if mark else BufferAllocation(0)
