"""Reset of the GPU and its engines, and the few micro-controller registers that a reset looks at."""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "DmaControl",
    "Guc",
    "GucStatus",
    "ResetDomains",
    "ResetRegisters",
    "WopcmOffset",
    "WopcmSize",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"
GUC_SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/uc/intel_guc_reg.h"


class ResetDomains(Bits):
    """What to reset; each bit clears itself when its domain has been reset."""

    full = flag(0, "the whole GT")
    render = flag(1, "render engine")
    media = flag(2, "first video engine")
    blt = flag(3, "copy engine")
    vecs = flag(4, "video enhancement engine")
    guc = flag(5, "micro-controller (gen9)")
    media2 = flag(7, "second video engine, where there is one")


class ResetRegisters(RegisterBlock, source=SOURCE):
    """The reset register."""

    gdrst = Register(
        0x941C, ResetDomains,
        "write the domains to reset, then poll until the written bits read 0, for at most 2 ms; engines are asked to quiesce by their reset_ctl first",
        Access.SELF_CLEARING, emulated=True, kernel_name="GEN6_GDRST",
    )  # fmt: skip


class GucStatus(Bits):
    """State of the micro-controller. No vGPU has one: it only ever shows that the core is in reset."""

    mia_in_reset = flag(0, "the core is held in reset; must be set after the guc domain was reset")
    bootrom = uint(1, 7, "progress of the boot code")
    ukernel = uint(8, 8, "progress of the firmware")
    mia_core_state = flag(16, "the core is in RC6")
    mia_halt_requested = flag(17, "the core was asked to halt")
    mia_isr_entry = flag(18, "the core serves an interrupt")
    authentication = uint(30, 2, "verdict on the firmware: 1 bad, 2 good")


class WopcmSize(Bits):
    """The part of write-once protected memory that belongs to the micro-controller."""

    locked = flag(0, "the size cannot change any more; a gen9 driver that finds it set without having written it gives up on the GT")
    size = uint(12, 20, "length", unit="4 KiB pages")


class WopcmOffset(Bits):
    """Where the micro-controller's part of write-once protected memory begins."""

    valid = flag(0, "the offset cannot change any more; a gen9 driver that finds it set without having written it gives up on the GT")
    huc_agent_guc = flag(1, "the micro-controller loads the media firmware, not the video engine's own unit")
    offset = uint(14, 18, "first byte, in units of 16 KiB", unit="16 KiB")


class DmaControl(Bits):
    """Firmware upload; upper half enables the write of the lower."""

    start = flag(0, "start the copy; clears itself")
    uos_move = flag(4, "the copy is the micro-controller's firmware")
    huc_ukernel = flag(9, "the copy is the media firmware")


class Guc(RegisterBlock, source=GUC_SOURCE):
    """The micro-controller (GuC). A vGPU offers none, yet a gen9 driver resets it and looks whether it is locked."""

    status = Register(
        0xC000, GucStatus,
        "state of the micro-controller; the mediator clears mia_in_reset each time it has been read",
        Access.READ_ONLY, emulated=True, kernel_name="GUC_STATUS",
    )  # fmt: skip
    wopcm_size = Register(0xC050, WopcmSize, "size of its protected memory; locked must read 0", kernel_name="GUC_WOPCM_SIZE")
    soft_scratch = RegisterArray(0xC180, 16, int, "mailbox between driver and firmware", kernel_name="SOFT_SCRATCH")
    dma_ctrl = Register(
        0xC314, DmaControl,
        "firmware upload; a vGPU that starts one gets a warning and no upload",
        Access.MASKED, emulated=True, kernel_name="DMA_CTRL",
    )  # fmt: skip
    dma_wopcm_offset = Register(0xC340, WopcmOffset, "place of its protected memory; valid must read 0", kernel_name="DMA_GUC_WOPCM_OFFSET")
    max_idle_count = Register(0xC3E4, int, "idle time after which the firmware lets the GT sleep", kernel_name="GUC_MAX_IDLE_COUNT")
