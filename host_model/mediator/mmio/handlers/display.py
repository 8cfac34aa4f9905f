"""What the display engine has only one of: the VGA plane, and the report of accesses that went nowhere.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.display import DisplayEngine, UnclaimedAccess, VgaControl

from ..handling import on_write

if TYPE_CHECKING:
    from ...vgpu import Vgpu


@on_write(DisplayEngine.vga_control)
def vga_plane_switched(vgpu: Vgpu, offset: int, value: VgaControl) -> int:
    if not value.disable:
        vgpu.findings.not_modelled(
            "vga-plane", f"CPU_VGACNTRL ({offset:#x})", "the VGA plane was switched on; a vGPU has none, nothing is shown", value=value
        )
    return value


@on_write(DisplayEngine.fpga_dbg)
def unclaimed_access_acknowledged(vgpu: Vgpu, offset: int, value: UnclaimedAccess) -> int:
    latched = vgpu.registers.read32(offset) & ~value & UnclaimedAccess.no_claim.mask
    return UnclaimedAccess.of(value, no_claim=bool(latched))
