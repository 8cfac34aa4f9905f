"""The micro-controller that no vGPU has: it shows that it is in reset, once after each reset, and takes no firmware.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (guc_status_read, dma_ctrl_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.reset import DmaControl, Guc, GucStatus

from ..handling import GEN9, on_read, on_write

if TYPE_CHECKING:
    from ...vgpu import Vgpu


@on_read(Guc.status)
def status_read(vgpu: Vgpu, offset: int) -> int:
    guc = Guc(vgpu.registers)
    status = guc.status
    guc.status = GucStatus.of(status, mia_in_reset=False)
    return status


@on_write(Guc.dma_ctrl, platforms=GEN9)
def firmware_upload_started(vgpu: Vgpu, offset: int, value: DmaControl) -> int:
    mask = value >> 16
    if value & mask & DmaControl.start.mask:
        vgpu.findings.fault(
            "guc-firmware", f"DMA_CTRL ({offset:#x})", "a firmware upload was started, but a vGPU has no micro-controller; nothing is copied",
            value=value, nearest=f"{value & ~DmaControl.start.mask:#x}",
        )  # fmt: skip
    old = vgpu.registers.read32(offset)
    return (old & ~mask | value & mask) & 0xFFFF & ~DmaControl.start.mask
