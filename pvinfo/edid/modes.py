"""Modes as EDID writes them: in 18 bytes, in two, or as one bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from ..bits import Flag
from ..display_mode import DisplayMode, standard_mode
from ..errors import UsageError
from .layout import (
    AXIS_OFFSET,
    AspectRatio,
    DetailedTiming,
    DetailedTimingFlags,
    EdidBase,
    EstablishedTimings1,
    EstablishedTimings2,
    HighBits,
    StandardTiming,
    StandardTimingRate,
    SyncHighBits,
    SyncLowBits,
)

__all__ = ("ESTABLISHED", "detailed_timing", "established_modes", "mode_of", "standard_timing", "standard_timing_mode")

ESTABLISHED: Final[tuple[tuple[str, Flag, str], ...]] = (
    ("established_1", EstablishedTimings1.mode_640x480_60, "640x480@60"),
    ("established_1", EstablishedTimings1.mode_640x480_75, "640x480@75"),
    ("established_1", EstablishedTimings1.mode_800x600_60, "800x600@60"),
    ("established_2", EstablishedTimings2.mode_800x600_75, "800x600@75"),
    ("established_2", EstablishedTimings2.mode_1024x768_60, "1024x768@60"),
    ("established_2", EstablishedTimings2.mode_1024x768_70, "1024x768@70"),
    ("established_2", EstablishedTimings2.mode_1024x768_75, "1024x768@75"),
    ("established_2", EstablishedTimings2.mode_1280x1024_75, "1280x1024@75"),
)
"""Bits whose timings are in the table of standard modes: the field of the base block, the bit, the mode."""

_HEIGHTS: Final = {
    AspectRatio.WIDE_16_10: Fraction(10, 16),
    AspectRatio.NORMAL_4_3: Fraction(3, 4),
    AspectRatio.SQUARE_5_4: Fraction(4, 5),
    AspectRatio.WIDE_16_9: Fraction(9, 16),
}
_SEPARATE_PULSES: Final = 3


def established_modes(base: EdidBase) -> list[DisplayMode]:
    """The modes whose bits are set, as far as their timings are known."""
    fields = base._asdict()
    return [standard_mode(text) for field, bit, text in ESTABLISHED if fields[field] & bit.mask]


def standard_timing(mode: DisplayMode) -> StandardTiming | None:
    """``mode`` in two bytes; None where its width or shape has no place in them."""
    for aspect, height in _HEIGHTS.items():
        if mode.hdisplay * height == mode.vdisplay and mode.hdisplay % 8 == 0 and 256 <= mode.hdisplay <= 2288:
            rate = round(mode.refresh_mhz / 1000) - 60
            if 0 <= rate < 64:
                return StandardTiming(mode.hdisplay // 8 - AXIS_OFFSET, StandardTimingRate.of(rate=rate, aspect=aspect))
    return None


def standard_timing_mode(timing: StandardTiming) -> DisplayMode | None:
    """The mode behind two bytes; None where they stand for none, or for one whose timings are not known."""
    width = (timing.width + AXIS_OFFSET) * 8
    height = width * _HEIGHTS[AspectRatio(timing.shape.aspect)]
    try:
        return standard_mode(f"{width}x{int(height)}@{timing.shape.rate + 60}")
    except UsageError:
        return None


def mode_of(timing: DetailedTiming) -> DisplayMode:
    """The mode that a detailed timing describes."""
    horizontal, vertical, high = timing.horizontal_high, timing.vertical_high, timing.sync_high
    hdisplay = horizontal.first << 8 | timing.horizontal_active
    vdisplay = vertical.first << 8 | timing.vertical_active
    hsync_start = hdisplay + (high.horizontal_offset << 8 | timing.horizontal_sync_offset)
    vsync_start = vdisplay + (high.vertical_offset << 4 | timing.vertical_sync.offset)
    separate = timing.flags.pulses == _SEPARATE_PULSES
    return DisplayMode(
        pixel_clock_khz=10 * timing.pixel_clock,
        hdisplay=hdisplay,
        hsync_start=hsync_start,
        hsync_end=hsync_start + (high.horizontal_width << 8 | timing.horizontal_sync_width),
        htotal=hdisplay + (horizontal.second << 8 | timing.horizontal_blank),
        vdisplay=vdisplay,
        vsync_start=vsync_start,
        vsync_end=vsync_start + (high.vertical_width << 4 | timing.vertical_sync.width),
        vtotal=vdisplay + (vertical.second << 8 | timing.vertical_blank),
        hsync_positive=separate and timing.flags.horizontal_positive,
        vsync_positive=separate and timing.flags.vertical_positive,
    )


def detailed_timing(mode: DisplayMode, width_mm: int, height_mm: int) -> DetailedTiming:
    """``mode`` in 18 bytes. Raises: ValueError when a number is too large for its bits."""
    hblank, vblank = mode.htotal - mode.hdisplay, mode.vtotal - mode.vdisplay
    hoffset, hwidth = mode.hsync_start - mode.hdisplay, mode.hsync_end - mode.hsync_start
    voffset, vwidth = mode.vsync_start - mode.vdisplay, mode.vsync_end - mode.vsync_start
    return DetailedTiming(
        pixel_clock=round(mode.pixel_clock_khz / 10),
        horizontal_active=mode.hdisplay & 0xFF,
        horizontal_blank=hblank & 0xFF,
        horizontal_high=HighBits.of(first=mode.hdisplay >> 8, second=hblank >> 8),
        vertical_active=mode.vdisplay & 0xFF,
        vertical_blank=vblank & 0xFF,
        vertical_high=HighBits.of(first=mode.vdisplay >> 8, second=vblank >> 8),
        horizontal_sync_offset=hoffset & 0xFF,
        horizontal_sync_width=hwidth & 0xFF,
        vertical_sync=SyncLowBits.of(offset=voffset & 0xF, width=vwidth & 0xF),
        sync_high=SyncHighBits.of(
            horizontal_offset=hoffset >> 8, horizontal_width=hwidth >> 8, vertical_offset=voffset >> 4, vertical_width=vwidth >> 4
        ),
        width_mm=width_mm & 0xFF,
        height_mm=height_mm & 0xFF,
        size_high=HighBits.of(first=width_mm >> 8, second=height_mm >> 8),
        horizontal_border=0,
        vertical_border=0,
        flags=DetailedTimingFlags.of(
            pulses=_SEPARATE_PULSES, horizontal_positive=mode.hsync_positive, vertical_positive=mode.vsync_positive
        ),
    )
