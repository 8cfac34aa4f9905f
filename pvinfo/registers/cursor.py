"""Cursors: one small picture per pipe, above all planes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock
from .plane import BufferAllocation, PlaneSurface, WaterMark

__all__ = ("Cursor", "CursorControl", "CursorMode", "CursorPosition")

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_cursor_regs.h"


class CursorMode(IntEnum):
    """Size and pixel format of the cursor."""

    DISABLE = 0x00
    X128_XRGB = 0x02
    X256_XRGB = 0x03
    X64_2BIT = 0x04
    X64_XRGB = 0x07
    X128_ARGB = 0x22
    X256_ARGB = 0x23
    X64_ARGB = 0x27


class CursorControl(Bits):
    """What the cursor shows."""

    mode = choice(0, 6, CursorMode, "size and pixel format; bits 4:3 are 0")
    trickle_feed_disable = flag(14, "fetch in bursts")
    rotate_180 = flag(15, "turn the picture upside down")
    pipe_csc = flag(24, "colours go through the pipe's conversion")
    pipe_gamma = flag(26, "colours go through the pipe's gamma correction")
    pipe = uint(28, 2, "the pipe, where the choice is free")


class CursorPosition(Bits):
    """Upper left corner, which may lie outside the screen."""

    x = uint(0, 15, "distance from the left edge", unit="pixels")
    x_negative = flag(15, "to the left of it")
    y = uint(16, 15, "distance from the upper edge", unit="lines")
    y_negative = flag(31, "above it")


class Cursor(RegisterBlock, bases={"PIPE_A": 0x70080, "PIPE_B": 0x71080, "PIPE_C": 0x72080}, source=SOURCE):
    """The cursor of one pipe."""

    ctl = Register(0x0, CursorControl, "what the cursor shows", kernel_name="CURCNTR")
    surf = Register(
        0x4, PlaneSurface,
        "where the picture is; the write makes the others take effect at the next vblank",
        emulated=True, kernel_name="CURBASE",
    )  # fmt: skip
    pos = Register(0x8, CursorPosition, "upper left corner", kernel_name="CURPOS")
    fbc_ctl = Register(0x20, int, "bit 31: fewer lines than the mode says, bits 7:0 their number minus one", kernel_name="CUR_FBC_CTL")
    surflive = Register(0x2C, PlaneSurface, "where the picture being shown is", Access.READ_ONLY, emulated=True, kernel_name="CURSURFLIVE")
    wm = RegisterArray(0xC0, 8, WaterMark, "water marks for power states 0 to 7 of memory (gen9)", kernel_name="CUR_WM")
    wm_trans = Register(0xE8, WaterMark, "water mark for changes of the memory frequency (gen9)", kernel_name="CUR_WM_TRANS")
    buf_cfg = Register(0xFC, BufferAllocation, "share of the display buffer (gen9)", kernel_name="CUR_BUF_CFG")
