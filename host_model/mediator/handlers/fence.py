"""Fence registers: a guest owns as many as the PVINFO page says. The others read 0 and keep nothing.

Where this differs from the kernel's mediator, on purpose: all 32 registers are guarded (the kernel lets a guest write the
upper 16 as plain storage).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (fence_mmio_read, fence_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.fence import FENCE_BASE, FenceRegister

from ..failsafe import FailsafeReason
from . import on_read, on_write

if TYPE_CHECKING:
    from ..vgpu import Vgpu


def _owned_number(vgpu: Vgpu, offset: int, value: int | None) -> int | None:
    """Which fence stands at ``offset``; None with a finding when it is not the guest's."""
    number = (offset - FENCE_BASE) >> 3
    if number < len(vgpu.fences):
        return number
    where = f"fence {number} ({offset:#x})"
    if not vgpu.pv.guest_is_aware:
        vgpu.failsafe.enter(FailsafeReason.UNSUPPORTED_GUEST, where, value)
    vgpu.findings.fault(
        "fence-not-owned", where, f"the vGPU has {len(vgpu.fences)} fences, as the PVINFO page says; this one reads 0 and keeps nothing",
        value=value, nearest=f"fence {len(vgpu.fences) - 1}",
    )  # fmt: skip
    return None


@on_read(FenceRegister.lo)
def fence_read(vgpu: Vgpu, offset: int) -> int:
    return 0 if _owned_number(vgpu, offset, None) is None else vgpu.registers.read32(offset)


on_read(FenceRegister.hi)(fence_read)


def fence_written(vgpu: Vgpu, offset: int, value: int) -> int:
    number = _owned_number(vgpu, offset, value)
    if number is None:
        return 0
    vgpu.fences.store(number, offset, value)
    return value


on_write(FenceRegister.lo)(fence_written)
on_write(FenceRegister.hi)(fence_written)
