"""The micro-controller without firmware: it shows that it is in reset, once after each reset, and takes no firmware.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (guc_status_read, dma_ctrl_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.reset import DmaControl, Guc, GucStatus

from . import GEN9, on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_read(Guc.status)
def status_read(device: RegisterDevice, offset: int) -> int:
    guc = Guc(device.registers)
    status = guc.status
    guc.status = GucStatus.of(status, mia_in_reset=False)
    return status


@on_write(Guc.dma_ctrl, platforms=GEN9)
def firmware_upload_started(device: RegisterDevice, offset: int, value: DmaControl) -> int:
    mask = value >> 16
    if value & mask & DmaControl.start.mask:
        device.findings.fault(
            "guc-firmware", f"DMA_CTRL ({offset:#x})", "a firmware upload was started, but there is no micro-controller to run it; nothing is copied",
            value=value, nearest=f"{value & ~DmaControl.start.mask:#x}",
        )  # fmt: skip
    old = device.registers.read32(offset)
    return (old & ~mask | value & mask) & 0xFFFF & ~DmaControl.start.mask
