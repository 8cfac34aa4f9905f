"""The display micro-controller (DMC, gen9): it saves and restores the display engine around low-power states.

The driver loads its program if it has one; a vGPU keeps what is written and runs nothing.
"""

from __future__ import annotations

from typing import Final

from ..register import Register, RegisterArray, RegisterBlock

__all__ = ("DisplayMicroController",)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_dmc_regs.h"


class DisplayMicroController(RegisterBlock, source=SOURCE):
    """Program memory and start-up registers."""

    program = RegisterArray(
        0x80000, 0xC00, int,
        "program memory, one word of the program per register; words 0xb and 0xc count entries of DC6 and DC5",
        kernel_name="DMC_PROGRAM",
    )  # fmt: skip
    htp = Register(0x8F004, int, "address of the event handler", kernel_name="DMC_HTP_SKL")
    last_write = Register(0x8F034, int, "0xc003b400 once the program is loaded", kernel_name="DMC_LAST_WRITE")
    ssp_base = Register(0x8F074, int, "base of the saved state", kernel_name="DMC_SSP_BASE")
