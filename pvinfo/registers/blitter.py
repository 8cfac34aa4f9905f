"""The 2D engine: what its commands do not say of themselves."""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag
from ..register import Access, Register, RegisterBlock

__all__ = ("BlitterRegisters", "BlitterTiling")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"


class BlitterTiling(Bits):
    """The form of the tiles of surfaces that a command calls tiled."""

    source_y = flag(0, "tiles of the source are Y tiles, else X tiles", source=SOURCE)
    destination_y = flag(1, "tiles of the destination are Y tiles, else X tiles", source=SOURCE)


class BlitterRegisters(RegisterBlock, source=SOURCE):
    """Registers that only the blitter has; they belong to the context."""

    software_control = Register(
        0x22200, BlitterTiling, "the form of tiles; upper half enables the write of the lower", Access.MASKED, kernel_name="BCS_SWCTRL",
    )  # fmt: skip
