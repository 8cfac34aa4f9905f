"""Broxton's loops and physical layers: powered, locked and calibrated at once.

Where this differs from the kernel's mediator, on purpose: the layer of port A behaves as the other does (the kernel has
handlers for it, but a block of plain storage hides them).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.broxton import (
    BroxtonDisplayPll,
    BroxtonLaneControl,
    BroxtonPhy,
    BroxtonPhyChannel,
    BroxtonPhyControl,
    BroxtonPhyFamily,
    BroxtonPhyFamilyControl,
    BroxtonPhyLane,
    BroxtonPhyPower,
    BroxtonPllEnable,
    BroxtonPortPll,
    BroxtonPower,
    BroxtonPowerOn,
)

from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_BXT: Final = ("bxt",)


@on_write(BroxtonPllEnable.de_pll, platforms=_BXT)
def core_clock_loop_switched(device: RegisterDevice, offset: int, value: BroxtonDisplayPll) -> int:
    return BroxtonDisplayPll.of(value, locked=value.enable, frequency_ack=value.frequency_request)


@on_write(BroxtonPllEnable.port_pll, platforms=_BXT)
def port_loop_switched(device: RegisterDevice, offset: int, value: BroxtonPortPll) -> int:
    return BroxtonPortPll.of(value, locked=value.enable, power_state=value.power_enable)


_PORTS: Final = {BroxtonPhyFamily.family_edp.at(): (0,), BroxtonPhyFamily.family_ddi.at(): (1, 2)}
"""Ports of each physical layer, counted from A."""


@on_write(BroxtonPhyFamily.family_edp, platforms=_BXT)
def layer_reset(device: RegisterDevice, offset: int, value: BroxtonPhyFamilyControl) -> int:
    lanes = BroxtonPhyControl.of(lane_enabled=value.common_reset_disable)
    family = BroxtonPhyFamily(device.registers)
    for port in _PORTS[offset]:
        family.port[port] = lanes
    return value


on_write(BroxtonPhyFamily.family_ddi, platforms=_BXT)(layer_reset)


@on_write(BroxtonPower.gt_disp_pwron, platforms=_BXT)
def layers_powered(device: RegisterDevice, offset: int, value: BroxtonPowerOn) -> int:
    for wanted, name in ((value.phy0, "PHY0"), (value.phy1, "PHY1")):
        if wanted:
            layer = BroxtonPhy(device.registers, name)
            layer.cl1cm_dw0 = BroxtonPhyPower.of(layer.cl1cm_dw0, power_good=True, reserved_7=False)
    return value


_GROUPS: Final = {base + BroxtonLaneControl.pcs_dw12.offset: name for name, base in BroxtonLaneControl.bases.items()}


@on_write(BroxtonLaneControl.pcs_dw12, platforms=_BXT)
def lane_stagger_written(device: RegisterDevice, offset: int, value: int) -> int:
    """A group register writes each pair of lanes."""
    channel = BroxtonPhyChannel(device.registers, _GROUPS[offset])
    channel.pcs_dw12_ln01 = value
    channel.pcs_dw12_ln23 = value
    return value


@on_read(BroxtonPhyChannel.tx_dw3_ln0, platforms=_BXT)
def lane_emphasis_read(device: RegisterDevice, offset: int) -> int:
    return BroxtonPhyLane.of(device.registers.read32(offset), unique_range_method=False)
