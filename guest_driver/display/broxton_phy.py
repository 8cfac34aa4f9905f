"""Broxton's physical layers, which must be powered and calibrated before its ports can be used.

Source: linux:drivers/gpu/drm/i915/display/intel_dpio_phy.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.register import Register
from pvinfo.registers import BroxtonPhy, BroxtonPhyFamily, BroxtonPhyFamilyControl, BroxtonPhyPower, BroxtonPower, BroxtonPowerOn

from ..uncore import Uncore

__all__ = ("power_up_layers",)

_POWER_TIMEOUT_NS: Final = 1_000_000
_CALIBRATION_TIMEOUT_NS: Final = 10_000_000
_REFERENCE_MASK: Final = 0xFF00
_REFERENCE: Final = 0xE4 << 8
_POWER_GATING: Final = 0xC0_0003
_SECOND_GATING: Final = 1 << 28
_CALIBRATED: Final = 1 << 22
_OTHERS_CODE: Final = 1 << 15 | 1 << 1


def _power_up(uncore: Uncore, layer: str, wanted: BroxtonPowerOn) -> None:
    """Raises: WaitTimeout when the layer gets no power."""
    if uncore.read(BroxtonPhy.cl1cm_dw0, layer).power_good and uncore.read(_family(layer)).common_reset_disable:
        return
    uncore.modify(BroxtonPower.gt_disp_pwron, 0, wanted)
    ready = BroxtonPhyPower.power_good.mask
    uncore.wait_for(BroxtonPhy.cl1cm_dw0, ready | BroxtonPhyPower.reserved_7.mask, ready, _POWER_TIMEOUT_NS, layer)
    uncore.modify(BroxtonPhy.cl1cm_dw9, _REFERENCE_MASK, _REFERENCE, layer)
    uncore.modify(BroxtonPhy.cl1cm_dw10, _REFERENCE_MASK, _REFERENCE, layer)
    uncore.modify(BroxtonPhy.cl1cm_dw28, 0, _POWER_GATING, layer)
    if layer == "PHY0":
        uncore.modify(BroxtonPhy.cl2cm_dw6, 0, _SECOND_GATING, layer)
        _calibrate(uncore)
    uncore.modify(_family(layer), 0, BroxtonPhyFamilyControl.common_reset_disable.mask)


def _family(layer: str) -> Register[BroxtonPhyFamilyControl]:
    return BroxtonPhyFamily.family_ddi if layer == "PHY0" else BroxtonPhyFamily.family_edp


def _calibrate(uncore: Uncore) -> None:
    """The layer of ports B and C has no resistor to calibrate itself by: it takes the other's code.

    Raises: WaitTimeout when the other is never calibrated.
    """
    uncore.wait_for(BroxtonPhy.ref_dw3, _CALIBRATED, _CALIBRATED, _CALIBRATION_TIMEOUT_NS, "PHY1")
    code = uncore.read(BroxtonPhy.ref_dw6, "PHY1") >> 24
    uncore.write(BroxtonPhy.ref_dw6, code << 16 | code << 8 | code, "PHY0")
    uncore.modify(BroxtonPhy.ref_dw8, 0, _OTHERS_CODE, "PHY0")


def power_up_layers(uncore: Uncore) -> None:
    """Power and calibrate both layers, unless firmware has (``bxt_dpio_phy_init``). Raises: WaitTimeout."""
    _power_up(uncore, "PHY1", BroxtonPowerOn.of(phy1=1))
    _power_up(uncore, "PHY0", BroxtonPowerOn.of(phy0=1))
