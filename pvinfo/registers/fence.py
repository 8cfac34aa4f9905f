"""Fences: ranges of graphics memory that the processor sees through the aperture as if they were not tiled.

A vGPU owns the first ``fence_num`` of the registers, as the PVINFO page says; the mediator maps them to
whatever physical ones it has set aside. Touching one that is not owned reads 0 and writes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterBlock

__all__ = ("FENCE_BASE", "FENCE_COUNT", "FenceHigh", "FenceLow", "FenceRegister", "FenceTiling")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"

FENCE_BASE: Final = 0x100000
FENCE_COUNT: Final = 32
"""Fence registers of the physical GPU."""


class FenceTiling(IntEnum):
    """Tile layout of the range."""

    X = 0
    Y = 1


class FenceLow(Bits):
    """First page of the range, layout, and whether the fence is in use."""

    valid = flag(0, "the fence is in use")
    tiling = choice(1, 1, FenceTiling, "layout of the tiles")
    start_page = uint(12, 20, "graphics address of the first page", unit="4 KiB pages")


class FenceHigh(Bits):
    """Last page of the range and length of a row."""

    pitch = uint(0, 11, "length of a row of tiles minus one unit", unit="128 bytes")
    last_page = uint(12, 20, "graphics address of the last page", unit="4 KiB pages")


class FenceRegister(RegisterBlock, bases={f"FENCE{n}": FENCE_BASE + 8 * n for n in range(FENCE_COUNT)}, source=SOURCE):
    """One fence. The driver writes lo 0, then hi, then lo with valid set, and reads lo back after the first and last."""

    lo = Register(0, FenceLow, "first page, layout, valid", emulated=True, kernel_name="FENCE_REG_GEN6_LO")
    hi = Register(4, FenceHigh, "last page and pitch", emulated=True, kernel_name="FENCE_REG_GEN6_HI")
