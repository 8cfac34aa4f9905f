"""What the display engine has only one of: the VGA plane, and the report of accesses that went nowhere.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.display import DisplayEngine, UnclaimedAccess, VgaControl

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(DisplayEngine.vga_control)
def vga_plane_switched(device: RegisterDevice, offset: int, value: VgaControl) -> int:
    if not value.disable:
        device.findings.not_modelled(
            "vga-plane", f"CPU_VGACNTRL ({offset:#x})", "the VGA plane was switched on; this one shows nothing", value=value
        )
    return value


@on_write(DisplayEngine.fpga_dbg)
def unclaimed_access_acknowledged(device: RegisterDevice, offset: int, value: UnclaimedAccess) -> int:
    latched = device.registers.read32(offset) & ~value & UnclaimedAccess.no_claim.mask
    return UnclaimedAccess.of(value, no_claim=bool(latched))
