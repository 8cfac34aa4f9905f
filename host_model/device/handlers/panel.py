"""Power of an embedded panel: on or off at once, without the delays of a real one.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (pch_pp_control_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.panel import PanelControl, PanelPower, PanelStatus

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_ON: Final = PanelStatus.of(on=True, state=8)


@on_write(PanelPower.control)
def panel_switched(device: RegisterDevice, offset: int, value: PanelControl) -> int:
    PanelPower(device.registers).status = _ON if value.power_on else PanelStatus(0)
    return value
