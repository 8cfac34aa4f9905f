"""Commands that have to do with display: waiting for it, and flips."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ...bits import Bits, choice, flag, uint
from ...wire import u32
from ..command import Audit, Form, counted, fixed
from .header import RENDER_AND_BLITTER, CountedHeader, MiHeader, mi_command, mi_header

__all__ = (
    "MI_DISPLAY_FLIP",
    "MI_LOAD_SCAN_LINES_EXCL",
    "MI_LOAD_SCAN_LINES_INCL",
    "MI_WAIT_FOR_EVENT",
    "DisplayFlipHeader",
    "FlipKind",
    "FlipPitch",
    "FlipSurface",
    "MiDisplayFlip",
    "MiDisplayFlipStereo",
    "MiLoadScanLinesExcl",
    "MiLoadScanLinesIncl",
    "ScanLineRange",
    "ScanLinesHeader",
    "WaitForEventHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"
PRM: Final = "prm:bdw:vol2a"


class WaitForEventHeader(MiHeader):
    """The events, any of which ends the wait. A driver of gen8 and later waits on the processor instead."""

    pipe_a_scan_line = flag(0, "pipe A is outside the scan lines loaded before", source=PRM)
    plane_a_flip = flag(1, "the pending flip of pipe A's primary plane is done", source=GVT_SOURCE)
    sprite_a_flip = flag(2, "the pending flip of pipe A's sprite is done", source=GVT_SOURCE)
    pipe_a_vblank = flag(3, "pipe A is in vertical blank", source=PRM)
    pipe_b_scan_line = flag(8, "pipe B is outside the scan lines loaded before", source=PRM)
    plane_b_flip = flag(9, "the pending flip of pipe B's primary plane is done", source=GVT_SOURCE)
    sprite_b_flip = flag(10, "the pending flip of pipe B's sprite is done", source=GVT_SOURCE)
    pipe_b_vblank = flag(11, "pipe B is in vertical blank", source=PRM)
    pipe_c_scan_line = flag(14, "pipe C is outside the scan lines loaded before", source=PRM)
    plane_c_flip = flag(15, "the pending flip of pipe C's primary plane is done", source=GVT_SOURCE)
    sprite_c_flip = flag(20, "the pending flip of pipe C's sprite is done", source=GVT_SOURCE)
    pipe_c_vblank = flag(21, "pipe C is in vertical blank", source=PRM)


MI_WAIT_FOR_EVENT: Final = mi_command(
    "MI_WAIT_FOR_EVENT", 0x03, WaitForEventHeader, "Waits for display.", engines=RENDER_AND_BLITTER, audit=Audit.WAIT_FOR_EVENT
)


class ScanLinesHeader(CountedHeader):
    """Which pipe's scan lines are meant."""

    plane_select = uint(19, 3, "the pipe: 0 A, 1 B, 4 C", source=PRM)


class ScanLineRange(Bits):
    """Scan lines from and to."""

    end = uint(0, 13, "last scan line", source=PRM)
    start = uint(16, 13, "first scan line", source=PRM)


class MiLoadScanLinesIncl(NamedTuple):
    """Scan lines to stay inside of."""

    header: Annotated[ScanLinesHeader, u32("the command", source=SOURCE)] = ScanLinesHeader(mi_header(0x12, 2))
    lines: Annotated[ScanLineRange, u32("the scan lines", source=PRM)] = ScanLineRange(0)


class MiLoadScanLinesExcl(NamedTuple):
    """Scan lines to stay outside of."""

    header: Annotated[ScanLinesHeader, u32("the command", source=SOURCE)] = ScanLinesHeader(mi_header(0x13, 2))
    lines: Annotated[ScanLineRange, u32("the scan lines", source=PRM)] = ScanLineRange(0)


MI_LOAD_SCAN_LINES_INCL: Final = mi_command(
    "MI_LOAD_SCAN_LINES_INCL", 0x12, ScanLinesHeader, "Says inside of which scan lines the next MI_WAIT_FOR_EVENT waits to be.",
    engines=RENDER_AND_BLITTER, length=counted(6), forms=(Form(MiLoadScanLinesIncl, source=PRM),), audited_length=fixed(2),
)  # fmt: skip
MI_LOAD_SCAN_LINES_EXCL: Final = mi_command(
    "MI_LOAD_SCAN_LINES_EXCL", 0x13, ScanLinesHeader, "Says outside of which scan lines the next MI_WAIT_FOR_EVENT waits to be.",
    engines=RENDER_AND_BLITTER, length=counted(6), forms=(Form(MiLoadScanLinesExcl, source=PRM),), audit=Audit.ABSENT,
)  # fmt: skip


class DisplayFlipHeader(CountedHeader):
    """Which plane is flipped: gen8 and gen9 say it in different bits."""

    plane_gen9 = uint(8, 5, "the plane on gen9: 0 to 2 plane 1 of pipe A to C, 4 to 6 plane 2, 7 to 9 plane 3; the kernel's mediator knows 0 only", source=SOURCE)
    plane_gen8 = uint(19, 3, "the plane on gen8: 0 A primary, 1 B primary, 2 A sprite, 3 B sprite, 4 C primary, 5 C sprite", source=SOURCE)
    async_flip = flag(22, "as in older hardware; gen8 and later say it in the surface dword", source=SOURCE)


class FlipPitch(Bits):
    """How the new picture lies in memory."""

    tiling = uint(0, 3, "0 linear, 1 X, 4 Y; gen8 has bit 0 only", source=GVT_SOURCE)
    pitch = uint(6, 10, "distance of its rows", unit="64-byte lines, or tiles", source=GVT_SOURCE)


class FlipKind(IntEnum):
    """When the new picture is shown."""

    SYNCHRONOUS = 0
    """from the next vertical blank on"""
    ASYNCHRONOUS = 1
    """at once"""
    STEREO = 2
    """from the next vertical blank on, with a second picture for the left eye"""


class FlipSurface(Bits):
    """Where the new picture stands."""

    kind = choice(0, 2, FlipKind, "when it is shown", source=GVT_SOURCE)
    address = uint(12, 20, "graphics address", unit="4 KiB pages", source=GVT_SOURCE)


class MiDisplayFlip(NamedTuple):
    """A flip to another picture."""

    header: Annotated[DisplayFlipHeader, u32("the command", source=SOURCE)] = DisplayFlipHeader(mi_header(0x14, 3))
    pitch: Annotated[FlipPitch, u32("how the picture lies", source=GVT_SOURCE)] = FlipPitch(0)
    surface: Annotated[FlipSurface, u32("where the picture stands", source=GVT_SOURCE)] = FlipSurface(0)


class MiDisplayFlipStereo(NamedTuple):
    """A flip to a picture for each eye."""

    header: Annotated[DisplayFlipHeader, u32("the command", source=SOURCE)] = DisplayFlipHeader(mi_header(0x14, 4))
    pitch: Annotated[FlipPitch, u32("how the pictures lie", source=GVT_SOURCE)] = FlipPitch(0)
    surface: Annotated[FlipSurface, u32("where the right eye's picture stands", source=GVT_SOURCE)] = FlipSurface(0)
    left_surface: Annotated[int, u32("where the left eye's picture stands", unit="bytes", source=PRM)] = 0


MI_DISPLAY_FLIP: Final = mi_command(
    "MI_DISPLAY_FLIP", 0x14, DisplayFlipHeader, "Shows another picture on a plane. Drivers of gen8 and later write the plane's registers instead.",
    engines=RENDER_AND_BLITTER, length=counted(8), forms=(Form(MiDisplayFlip, source=GVT_SOURCE), Form(MiDisplayFlipStereo, source=GVT_SOURCE)),
    audit=Audit.DISPLAY_FLIP,
)  # fmt: skip
