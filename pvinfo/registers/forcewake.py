"""Forcewake: hold a power domain awake while its registers are accessed.

Software asks by a masked write to the domain's request register and waits until the acknowledge register
shows the same bit. A GVT-g guest does none of it: the mediator sees to the power, and the guest reads only
the GT request register, once, to find out whether the device answers at all.
"""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag
from ..register import Access, Register, RegisterBlock

__all__ = ("FifoErrors", "Forcewake", "ForcewakeBits")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"


class ForcewakeBits(Bits):
    """Who holds the domain awake. In a request the upper half enables the write of the lower."""

    kernel = flag(0, "the kernel driver")
    user = flag(1, "a diagnostic tool")
    kernel_fallback = flag(15, "the kernel driver, when an acknowledge of its first bit was lost")


class FifoErrors(Bits):
    """Accesses that were lost because the GT slept."""

    ia_read_error = flag(0, "a read of the processor's")
    ia_write_error = flag(1, "a write of the processor's")
    overflow = flag(2, "too many writes were waiting")
    dropped = flag(3, "a write was dropped")
    side_band_read_abort = flag(4, "a side-band read was aborted")
    blob_dropped = flag(5, "a long write was dropped")
    side_band_dropped = flag(6, "a side-band write was dropped")


class Forcewake(RegisterBlock, source=SOURCE):
    """Requests and acknowledges of the power domains."""

    render_ack = Register(0xD84, ForcewakeBits, "who holds the render domain awake (gen9)", Access.READ_ONLY, kernel_name="FORCEWAKE_ACK_RENDER_GEN9")
    media_ack = Register(0xD88, ForcewakeBits, "who holds the media domain awake (gen9)", Access.READ_ONLY, kernel_name="FORCEWAKE_ACK_MEDIA_GEN9")
    ecobus = Register(0xA180, int, "bit 5 chooses the multi-threaded form of forcewake, which gen8 and later always have", kernel_name="ECOBUS")
    gt = Register(
        0xA188, ForcewakeBits,
        "hold the GT awake: on gen8 the one domain there is (there called mt), on gen9 what is neither render nor media; a driver that reads all ones for 2 s takes the device for dead",
        Access.MASKED, emulated=True, kernel_name="FORCEWAKE_MT",
    )  # fmt: skip
    legacy = Register(0xA18C, ForcewakeBits, "the form of forcewake before gen7", kernel_name="FORCEWAKE")
    media = Register(0xA270, ForcewakeBits, "hold the media domain awake (gen9)", Access.MASKED, emulated=True, kernel_name="FORCEWAKE_MEDIA_GEN9")
    render = Register(0xA278, ForcewakeBits, "hold the render domain awake (gen9)", Access.MASKED, emulated=True, kernel_name="FORCEWAKE_RENDER_GEN9")
    fifo_debug = Register(0x120000, FifoErrors, "lost accesses; the native driver clears it", Access.WRITE_1_CLEARS, kernel_name="GTFIFODBG")
    fifo_ctl = Register(0x120008, int, "bits 6:0: room for writes while the GT sleeps", unit="writes", kernel_name="GTFIFOCTL")
    gt_ack = Register(0x130044, ForcewakeBits, "who holds the GT awake", Access.READ_ONLY, kernel_name="FORCEWAKE_ACK_HSW")
