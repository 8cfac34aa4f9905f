"""Power of the display engine: what is requested is there at once.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.power import DbufControl, DisplayPower, PowerWellControl

from . import GEN8, GEN9, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_BIG_CORE_WELLS: Final = (
    PowerWellControl.misc_io_request.mask
    | PowerWellControl.ddi_a_e_request.mask
    | PowerWellControl.ddi_b_request.mask
    | PowerWellControl.ddi_c_request.mask
    | PowerWellControl.ddi_d_request.mask
    | PowerWellControl.pw1_request.mask
    | PowerWellControl.pw2_request.mask
)
_BROXTON_WELLS: Final = PowerWellControl.pw1_request.mask | PowerWellControl.pw2_request.mask


@on_write(DisplayPower.well_driver, platforms=GEN9)
def wells_requested(device: RegisterDevice, offset: int, value: PowerWellControl) -> int:
    """Each well's state bit stands below its request bit."""
    requests = value & (_BROXTON_WELLS if device.platform.name == "bxt" else _BIG_CORE_WELLS)
    return requests | requests >> 1


def display_well_requested(device: RegisterDevice, offset: int, value: int) -> int:
    """Broadwell has the one well, and the same bits in every requester's register."""
    return PowerWellControl.of(value, pw2_state=bool(value & PowerWellControl.pw2_request.mask))


on_write(DisplayPower.well_driver, platforms=GEN8)(display_well_requested)
on_write(DisplayPower.well_bios, platforms=GEN8)(display_well_requested)
on_write(DisplayPower.well_kvmr, platforms=GEN8)(display_well_requested)
on_write(DisplayPower.well_debug, platforms=GEN8)(display_well_requested)
on_write(DisplayPower.well_override, platforms=GEN8)(display_well_requested)
on_write(DisplayPower.well_ctl6, platforms=GEN8)(display_well_requested)


@on_write(DisplayPower.dbuf_ctl, platforms=GEN9)
def display_buffer_requested(device: RegisterDevice, offset: int, value: DbufControl) -> int:
    return DbufControl.of(value, power_state=value.power_request)
