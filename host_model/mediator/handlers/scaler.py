"""Scalers: a vGPU scales whole pictures only.

Where this differs from the kernel's mediator, on purpose: the last scaler obeys the rule as well (the kernel forgets it).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (pf_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.scaler import Scaler, ScalerControl

from . import GEN9, on_write

if TYPE_CHECKING:
    from ..vgpu import Vgpu


@on_write(Scaler.ctrl, platforms=GEN9)
def scaler_set(vgpu: Vgpu, offset: int, value: ScalerControl) -> int:
    if not value.binding:
        return value
    vgpu.findings.not_modelled(
        "plane-scaling", f"PS_CTRL ({offset:#x})", f"the scaler was bound to plane {value.binding}; the write is dropped", value=value
    )
    return vgpu.registers.read32(offset)
