"""Display pipes: where planes are blended and frames are counted."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock
from .transcoder import BitsPerColor

__all__ = (
    "PIPE_BASES",
    "BottomColor",
    "GammaMode",
    "GammaModeSelect",
    "Pipe",
    "PipeColor",
    "PipeColorConversion",
    "PipeMisc",
    "PipePalette",
    "PrecisionPaletteIndex",
    "ScanLine",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
COLOR_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_color_regs.h"

PIPE_BASES: Final[dict[str, int]] = {"PIPE_A": 0x70000, "PIPE_B": 0x71000, "PIPE_C": 0x72000}
"""First register of each pipe in BAR0."""


class ScanLine(Bits):
    """Where the pipe is in the frame."""

    line = uint(0, 20, "line being scanned out, counted from the start of the visible part")
    field = flag(31, "second field of an interlaced frame")


class PipeMisc(Bits):
    """Depth and dithering of the output, and what keeps a panel out of self refresh."""

    dither_type = uint(2, 2, "kind of dithering: 0 spatial, 1 and 2 spatio-temporal, 3 temporal")
    dither = flag(4, "dither")
    bits_per_color = choice(5, 3, BitsPerColor, "depth that dithering aims at")
    color_space_yuv = flag(11, "put out YUV")
    psr_mask_vblank = flag(20, "a vblank does not end self refresh")
    psr_mask_register_write = flag(21, "a write of the pipe's registers does not end self refresh")
    psr_mask_sprite = flag(22, "the sprite does not end self refresh (gen8)")
    psr_mask_primary_flip = flag(23, "a flip of the primary plane does not end self refresh (gen8)")


class BottomColor(Bits):
    """Colour below all planes (gen9)."""

    blue = uint(0, 10, "blue")
    green = uint(10, 10, "green")
    red = uint(20, 10, "red")
    csc_enable = flag(30, "it goes through colour conversion", source=COLOR_SOURCE)
    gamma_enable = flag(31, "it goes through gamma correction", source=COLOR_SOURCE)


class Pipe(RegisterBlock, bases=PIPE_BASES, source=SOURCE):
    """One pipe."""

    dsl = Register(
        0x0, ScanLine,
        "where the pipe is in the frame; a driver that reads 0 reads again for up to 100 us",
        Access.READ_ONLY, emulated=True, kernel_name="PIPEDSL",
    )  # fmt: skip
    stat = Register(0x24, int, "interrupt status as pipes had it before gen5", kernel_name="PIPESTAT")
    misc = Register(0x30, PipeMisc, "depth and dithering of the output", kernel_name="PIPE_MISC")
    bottom_color = Register(0x34, BottomColor, "colour below all planes (gen9)", kernel_name="SKL_BOTTOM_COLOR", source=COLOR_SOURCE)
    frmcount = Register(
        0x40, int,
        "frames shown; grows by one at each vblank, and the driver counts vblanks by it",
        Access.READ_ONLY, unit="frames", emulated=True, kernel_name="PIPE_FRMCOUNT_G4X",
    )  # fmt: skip
    flipcount = Register(0x44, int, "flips of the primary plane", unit="flips", emulated=True, kernel_name="PIPE_FLIPCOUNT_G4X")
    frame_timestamp = Register(0x48, int, "time of the last vblank", Access.READ_ONLY, unit="us", emulated=True, kernel_name="PIPE_FRMTMSTMP")
    flip_timestamp = Register(0x4C, int, "time of the last flip", Access.READ_ONLY, unit="us", emulated=True, kernel_name="PIPE_FLIPTMSTMP")


class PipeColorConversion(
    RegisterBlock, bases={"PIPE_A": 0x49010, "PIPE_B": 0x49110, "PIPE_C": 0x49210}, source=COLOR_SOURCE
):  # fmt: skip
    """Conversion of colours by a matrix, with offsets before and after."""

    coeff = RegisterArray(0x0, 6, int, "coefficients, two to a register, as 16-bit floating numbers", kernel_name="PIPE_CSC_COEFF_RY_GY")
    mode = Register(0x18, int, "where in the pipe conversion happens", kernel_name="PIPE_CSC_MODE")
    preoff = RegisterArray(0x20, 3, int, "offsets before the matrix: high, medium, low channel", kernel_name="PIPE_CSC_PREOFF_HI")
    postoff = RegisterArray(0x30, 3, int, "offsets after the matrix: high, medium, low channel", kernel_name="PIPE_CSC_POSTOFF_HI")


class GammaMode(IntEnum):
    """Form of gamma correction."""

    LEGACY_8BIT = 0
    BITS_10 = 1
    BITS_12 = 2
    SPLIT = 3


class GammaModeSelect(Bits):
    """Form of gamma correction."""

    mode = choice(0, 2, GammaMode, "form of gamma correction")


class PrecisionPaletteIndex(Bits):
    """Next entry of the precise palette."""

    index = uint(0, 10, "entry")
    auto_increment = flag(15, "an access of the data goes on to the next entry")
    split = flag(31, "two tables of half the length")


class PipePalette(RegisterBlock, bases={"PIPE_A": 0x4A000, "PIPE_B": 0x4A800, "PIPE_C": 0x4B000}, source=COLOR_SOURCE):
    """256 colours of 8 bits per component: red in bits 23:16, green in 15:8, blue in 7:0."""

    entry = RegisterArray(0x0, 256, int, "colour n", kernel_name="LGC_PALETTE")


class PipeColor(RegisterBlock, bases={"PIPE_A": 0x4A400, "PIPE_B": 0x4AC00, "PIPE_C": 0x4B400}, source=COLOR_SOURCE):
    """The precise palette, and which form of gamma correction is in use."""

    prec_pal_index = Register(0x0, PrecisionPaletteIndex, "next entry of the precise palette", kernel_name="PREC_PAL_INDEX")
    prec_pal_data = Register(0x4, int, "that entry: red in bits 29:20, green in 19:10, blue in 9:0", kernel_name="PREC_PAL_DATA")
    prec_pal_gc_max = RegisterArray(0x10, 3, int, "end points of the precise palette: red, green, blue", kernel_name="PREC_PAL_GC_MAX")
    prec_pal_ext_gc_max = RegisterArray(0x20, 3, int, "end points of the range above it: red, green, blue", kernel_name="PREC_PAL_EXT_GC_MAX")
    gamma_mode = Register(0x80, GammaModeSelect, "form of gamma correction", kernel_name="GAMMA_MODE")
