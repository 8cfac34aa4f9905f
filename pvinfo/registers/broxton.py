"""Broxton's own: port clocks and physical layers, which other platforms do not let software see."""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = (
    "BroxtonDisplayPll",
    "BroxtonLaneControl",
    "BroxtonPhy",
    "BroxtonPhyChannel",
    "BroxtonPhyControl",
    "BroxtonPhyFamily",
    "BroxtonPhyFamilyControl",
    "BroxtonPhyLane",
    "BroxtonPhyPower",
    "BroxtonPll",
    "BroxtonPllDividers",
    "BroxtonPllEnable",
    "BroxtonPllOutput",
    "BroxtonPortPll",
    "BroxtonPower",
    "BroxtonPowerOn",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/bxt_dpio_phy_regs.h"
I915_SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class BroxtonDisplayPll(Bits):
    """The loop behind the core display clock."""

    frequency_ack = flag(22, "the new frequency is in effect", source=I915_SOURCE)
    frequency_request = flag(23, "change the frequency while running", source=I915_SOURCE)
    locked = flag(30, "the loop is stable; the mediator shows what enable asks for", source=I915_SOURCE)
    enable = flag(31, "the loop is to run", source=I915_SOURCE)


class BroxtonPortPll(Bits):
    """A port's loop."""

    power_state = flag(25, "the loop has power")
    power_enable = flag(26, "the loop is to have power")
    reference = flag(27, "reference without spread spectrum")
    locked = flag(30, "the loop is stable; the mediator shows what enable asks for")
    enable = flag(31, "the loop is to run")


class BroxtonPllEnable(RegisterBlock, source=SOURCE):
    """On and off of the loops."""

    de_pll = Register(
        0x46070, BroxtonDisplayPll,
        "the loop behind the core display clock",
        emulated=True, kernel_name="BXT_DE_PLL_ENABLE", source=I915_SOURCE,
    )  # fmt: skip
    port_pll = RegisterArray(0x46074, 3, BroxtonPortPll, "the loops of ports A to C", emulated=True, kernel_name="BXT_PORT_PLL_ENABLE")
    de_pll_ctl = Register(
        0x6D000, int,
        "multiplier of the loop behind the core display clock, in bits 7:0",
        kernel_name="BXT_DE_PLL_CTL", source=I915_SOURCE,
    )  # fmt: skip


class BroxtonPhyControl(Bits):
    """Power of a port's lanes."""

    lane_enabled = flag(8, "the lanes have power", source=I915_SOURCE)
    lane_powerdown_ack = flag(9, "the lanes are switched off", source=I915_SOURCE)
    common_powerdown_ack = flag(10, "what the lanes share is switched off", source=I915_SOURCE)


class BroxtonPhyFamilyControl(Bits):
    """Reset of a physical layer."""

    power_status = flag(30, "the layer runs; a vGPU starts with it set for the port that has its monitor", source="linux:drivers/gpu/drm/i915/gvt/display.c")
    common_reset_disable = flag(31, "let it run; the mediator shows its lanes with power then", source=I915_SOURCE)


class BroxtonPhyFamily(RegisterBlock, source=I915_SOURCE):
    """Power and reset of the physical layers, from the outside."""

    port = RegisterArray(0x64C00, 3, BroxtonPhyControl, "lanes of ports A to C", stride=0x10, kernel_name="BXT_PHY_CTL")
    family_edp = Register(0x64C80, BroxtonPhyFamilyControl, "reset of the layer of port A", emulated=True, kernel_name="BXT_PHY_CTL_FAMILY")
    family_ddi = Register(0x64C90, BroxtonPhyFamilyControl, "reset of the layer of ports B and C", emulated=True, kernel_name="BXT_PHY_CTL_FAMILY")


class BroxtonPhyPower(Bits):
    """Power of a physical layer."""

    reserved_7 = flag(7, "must read 0 for the layer to count as on")
    power_good = flag(16, "the layer has power")


PHYS: Final[dict[str, int]] = {"PHY0": 0x6C000, "PHY1": 0x162000}
"""The layer of ports B and C, and that of port A."""


class BroxtonPhy(RegisterBlock, bases=PHYS, source=SOURCE):
    """What the lanes of a physical layer share."""

    cl1cm_dw0 = Register(0x0, BroxtonPhyPower, "power of the layer", kernel_name="BXT_PORT_CL1CM_DW0")
    cl1cm_dw9 = Register(0x24, int, "offset of the first reference current, in bits 15:8", kernel_name="BXT_PORT_CL1CM_DW9")
    cl1cm_dw10 = Register(0x28, int, "offset of the second reference current, in bits 15:8", kernel_name="BXT_PORT_CL1CM_DW10")
    cl1cm_dw28 = Register(0x70, int, "power gating of the common lane", kernel_name="BXT_PORT_CL1CM_DW28")
    cl1cm_dw30 = Register(0x78, int, "power gating of the second common lane", kernel_name="BXT_PORT_CL1CM_DW30")
    ref_dw3 = Register(0x18C, int, "bit 22: calibration is done", kernel_name="BXT_PORT_REF_DW3")
    ref_dw6 = Register(0x198, int, "calibration code", kernel_name="BXT_PORT_REF_DW6")
    ref_dw8 = Register(0x1A0, int, "calibration by the other layer's code", kernel_name="BXT_PORT_REF_DW8")
    cl2cm_dw6 = Register(0x358, int, "power gating of the second channel", kernel_name="BXT_PORT_CL2CM_DW6")


class BroxtonPll(RegisterBlock, bases={"PHY0_CH0": 0x6C100, "PHY0_CH1": 0x6C380, "PHY1_CH0": 0x162100}, source=SOURCE):
    """Frequency of a port's loop."""

    word = RegisterArray(
        0x0, 11, int,
        "0 multiplier, 1 divider, 2 fraction of the multiplier, 3 its enable, 6 gain, 8 lock count, 9 lock threshold, 10 amplitude",
        kernel_name="BXT_PORT_PLL",
    )  # fmt: skip


class BroxtonPllOutput(Bits):
    """Dividers between a port's loop and its clock; five more stand behind them."""

    p2 = uint(8, 5, "second divider")
    p1 = uint(13, 3, "first divider")


class BroxtonPllDividers(RegisterBlock, bases={"PHY0_CH0": 0x6C034, "PHY0_CH1": 0x6C340, "PHY1_CH0": 0x162034}, source=SOURCE):
    """Output of a port's loop."""

    ebb0 = Register(0x0, BroxtonPllOutput, "dividers", kernel_name="BXT_PORT_PLL_EBB_0")
    ebb4 = Register(0x4, int, "bit 13: the clock of ten bits runs; bit 14: take the dividers over", kernel_name="BXT_PORT_PLL_EBB_4")


class BroxtonPhyLane(Bits):
    """How the emphasis of a lane is reached."""

    scale_method = flag(26, "scale the difference")
    unique_range_method = flag(27, "a range of its own; the mediator shows 0")


class BroxtonPhyChannel(RegisterBlock, bases={"PHY0_CH0": 0x6C400, "PHY0_CH1": 0x6C800, "PHY1_CH0": 0x162400}, source=SOURCE):
    """The lanes of a channel: each pair's coding, each lane's output, and the group registers that write them all."""

    pcs_dw10_ln01 = Register(0x28, int, "recalculation of the swing of lanes 0 and 1", kernel_name="BXT_PORT_PCS_DW10_LN01")
    pcs_dw12_ln01 = Register(0x30, int, "lane stagger of lanes 0 and 1", kernel_name="BXT_PORT_PCS_DW12_LN01")
    tx_dw2_ln0 = Register(0x108, int, "swing of lane 0, read back", kernel_name="BXT_PORT_TX_DW2_LN")
    tx_dw3_ln0 = Register(0x10C, BroxtonPhyLane, "how the emphasis of lane 0 is reached, read back", emulated=True, kernel_name="BXT_PORT_TX_DW3_LN")
    tx_dw4_ln0 = Register(0x110, int, "de-emphasis of lane 0, read back", kernel_name="BXT_PORT_TX_DW4_LN")
    tx_dw14_ln0 = Register(0x138, int, "latency optimisation of lane 0", kernel_name="BXT_PORT_TX_DW14_LN")
    tx_dw14_ln1 = Register(0x1B8, int, "latency optimisation of lane 1", kernel_name="BXT_PORT_TX_DW14_LN")
    pcs_dw12_ln23 = Register(0x230, int, "lane stagger of lanes 2 and 3", kernel_name="BXT_PORT_PCS_DW12_LN23")
    tx_dw14_ln2 = Register(0x338, int, "latency optimisation of lane 2", kernel_name="BXT_PORT_TX_DW14_LN")
    tx_dw14_ln3 = Register(0x3B8, int, "latency optimisation of lane 3", kernel_name="BXT_PORT_TX_DW14_LN")


class BroxtonLaneControl(RegisterBlock, bases={"PHY0_CH0": 0x6CC00, "PHY0_CH1": 0x6CE00, "PHY1_CH0": 0x162C00}, source=SOURCE):
    """Group registers: a write goes to all lanes of the channel."""

    pcs_dw10 = Register(0x28, int, "recalculation of the swing", kernel_name="BXT_PORT_PCS_DW10_GRP")
    pcs_dw12 = Register(0x30, int, "lane stagger; the mediator copies it to both pairs of lanes", emulated=True, kernel_name="BXT_PORT_PCS_DW12_GRP")
    tx_dw2 = Register(0x108, int, "swing", kernel_name="BXT_PORT_TX_DW2_GRP")
    tx_dw3 = Register(0x10C, BroxtonPhyLane, "how the emphasis is reached", kernel_name="BXT_PORT_TX_DW3_GRP")
    tx_dw4 = Register(0x110, int, "de-emphasis", kernel_name="BXT_PORT_TX_DW4_GRP")


class BroxtonPowerOn(Bits):
    """Power of the physical layers, as the GT asks for it."""

    phy0 = flag(0, "power for the layer of ports B and C", source=I915_SOURCE)
    phy1 = flag(1, "power for the layer of port A", source=I915_SOURCE)


class BroxtonPower(RegisterBlock, source=I915_SOURCE):
    """Power that other platforms need not be asked for."""

    gt_disp_pwron = Register(
        0x138090, BroxtonPowerOn,
        "power of the physical layers; the mediator shows it good at once",
        emulated=True, kernel_name="BXT_P_CR_GT_DISP_PWRON",
    )  # fmt: skip
    rp_state_cap = Register(0x138170, int, "range of frequencies, as FrequencyCapability", kernel_name="BXT_RP_STATE_CAP")
