"""Clocks of the display engine: the core display clock, the phase-locked loops behind the ports, and what limits them.

On gen9 a driver that finds the loop DPLL0 locked, its rate sensible and the software flag set by firmware keeps
the core clock as it is; else it switches the clock itself, with the power control unit's consent. Gen8 has one
register for it all.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "BroadwellClocks",
    "BroadwellLcpll",
    "CdclkControl",
    "CdclkLimit",
    "CdclkSelect",
    "DisplayFuses",
    "Dfsm",
    "DpllConfig1",
    "DpllConfig2",
    "DpllControl1",
    "DpllControl2",
    "DpllEnable",
    "DpllRate",
    "DpllStatus",
    "FuseStrap",
    "LcpllFrequency",
    "LcpllReference",
    "PortClock",
    "PortClockSelect",
    "RawClock",
    "SkylakeClocks",
    "SouthFuseStrap",
    "SpllControl",
    "SpllFrequency",
    "TranscoderClock",
    "TranscoderClockSelect",
    "WrpllControl",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


# ---- what limits the clocks ----


class CdclkLimit(IntEnum):
    """Highest core display clock of the part."""

    MHZ_675 = 0
    MHZ_540 = 1
    MHZ_450 = 2
    MHZ_337_5 = 3


class Dfsm(Bits):
    """What of the display the part lacks (gen9). With all pipes disabled the driver runs without any display."""

    pipe_b_disable = flag(21, "there is no pipe B")
    cdclk_limit = choice(23, 2, CdclkLimit, "highest core display clock")
    hdcp_disable = flag(25, "there is no content protection")
    power_management_disable = flag(27, "there is no frame buffer compression")
    pipe_c_disable = flag(28, "there is no pipe C")
    pipe_a_disable = flag(30, "there is no pipe A")


class FuseStrap(Bits):
    """What of the display the part lacks (gen8)."""

    cpu_ssc = flag(21, "the processor's own spread-spectrum reference is there")
    desktop = flag(23, "this is a desktop part")
    cdclk_limit = flag(24, "the core display clock is limited to 450 MHz")
    hdcp_disable = flag(25, "there is no content protection")
    pipe_c_disable = flag(28, "there is no pipe C")
    display_disable = flag(30, "there is no display at all")
    graphics_disable = flag(31, "there is no GPU at all")


class SouthFuseStrap(Bits):
    """What is wired up on the board (gen8), and fuses of the platform controller hub."""

    ddi_d_detected = flag(0, "port D is wired up")
    ddi_c_detected = flag(1, "port C is wired up")
    ddi_b_detected = flag(2, "port B is wired up")
    ddi_f_detected = flag(3, "port F is wired up")
    crt_disabled = flag(6, "there is no analogue port")
    display_disabled = flag(7, "there is no display at all")
    raw_frequency = flag(8, "the raw clock is 24 MHz, not 19.2 MHz (later hubs)")
    fuse_lock = flag(13, "the fuses cannot change any more")


class DisplayFuses(RegisterBlock, source=SOURCE):
    """What of the display the part has."""

    fuse_strap = Register(0x42014, FuseStrap, "what of the display the part lacks (gen8)", Access.READ_ONLY, kernel_name="FUSE_STRAP")
    dfsm = Register(0x51000, Dfsm, "what of the display the part lacks (gen9)", Access.READ_ONLY, kernel_name="SKL_DFSM")
    sfuse_strap = Register(0xC2014, SouthFuseStrap, "what is wired up on the board", Access.READ_ONLY, kernel_name="SFUSE_STRAP")


# ---- gen9 ----


class CdclkSelect(IntEnum):
    """Core display clock; the second figure is for the other rate of the loop behind it."""

    MHZ_450_OR_432 = 0
    MHZ_540 = 1
    MHZ_337_5_OR_308_57 = 2
    MHZ_675_OR_617_14 = 3


class CdclkControl(Bits):
    """The core display clock (gen9). 337.5 MHz is 0x080002a1."""

    decimal = uint(0, 11, "clock in units of 0.5 MHz, minus 1 MHz: (337500 - 1000) / 500", unit="0.5 MHz")
    divmux_override = flag(19, "hold the divider while the frequency changes")
    select = choice(26, 2, CdclkSelect, "frequency")


class DpllEnable(Bits):
    """A phase-locked loop, switched on and locked."""

    locked = flag(30, "the loop is stable (DPLL0; for the others see DPLL_STATUS)")
    enable = flag(31, "the loop runs")


class DpllRate(IntEnum):
    """Half the link rate that a loop is set to; the first four need a loop at 8100 MHz, the others one at 8640 MHz."""

    MHZ_2700 = 0
    MHZ_1350 = 1
    MHZ_810 = 2
    MHZ_1620 = 3
    MHZ_1080 = 4
    MHZ_2160 = 5


class DpllControl1(Bits):
    """How the four loops are set (gen9)."""

    dpll0_override = flag(0, "DPLL0: these bits count")
    dpll0_rate = choice(1, 3, DpllRate, "DPLL0: half the link rate")
    dpll0_ssc = flag(4, "DPLL0: spread spectrum")
    dpll0_hdmi = flag(5, "DPLL0: HDMI mode, set by its configuration registers")
    dpll1_override = flag(6, "DPLL1: these bits count")
    dpll1_rate = choice(7, 3, DpllRate, "DPLL1: half the link rate")
    dpll1_ssc = flag(10, "DPLL1: spread spectrum")
    dpll1_hdmi = flag(11, "DPLL1: HDMI mode, set by its configuration registers")
    dpll2_override = flag(12, "DPLL2: these bits count")
    dpll2_rate = choice(13, 3, DpllRate, "DPLL2: half the link rate")
    dpll2_ssc = flag(16, "DPLL2: spread spectrum")
    dpll2_hdmi = flag(17, "DPLL2: HDMI mode, set by its configuration registers")
    dpll3_override = flag(18, "DPLL3: these bits count")
    dpll3_rate = choice(19, 3, DpllRate, "DPLL3: half the link rate")
    dpll3_ssc = flag(22, "DPLL3: spread spectrum")
    dpll3_hdmi = flag(23, "DPLL3: HDMI mode, set by its configuration registers")


class DpllControl2(Bits):
    """Which loop feeds which port (gen9)."""

    ddi_a_override = flag(0, "port A: the choice counts")
    ddi_a_select = uint(1, 2, "port A: number of its loop")
    ddi_b_override = flag(3, "port B: the choice counts")
    ddi_b_select = uint(4, 2, "port B: number of its loop")
    ddi_c_override = flag(6, "port C: the choice counts")
    ddi_c_select = uint(7, 2, "port C: number of its loop")
    ddi_d_override = flag(9, "port D: the choice counts")
    ddi_d_select = uint(10, 2, "port D: number of its loop")
    ddi_e_override = flag(12, "port E: the choice counts")
    ddi_e_select = uint(13, 2, "port E: number of its loop")
    ddi_a_clock_off = flag(15, "port A has no clock")
    ddi_b_clock_off = flag(16, "port B has no clock")
    ddi_c_clock_off = flag(17, "port C has no clock")
    ddi_d_clock_off = flag(18, "port D has no clock")
    ddi_e_clock_off = flag(19, "port E has no clock")


class DpllStatus(Bits):
    """Which loops are stable (gen9); expected 5 ms after a loop was enabled."""

    dpll0_lock = flag(0, "DPLL0 is stable")
    dpll1_lock = flag(8, "DPLL1 is stable")
    dpll2_lock = flag(16, "DPLL2 is stable")
    dpll3_lock = flag(24, "DPLL3 is stable")


class DpllConfig1(Bits):
    """Frequency of a loop in HDMI mode (gen9)."""

    dco_integer = uint(0, 9, "multiple of the reference clock, whole part")
    dco_fraction = uint(9, 15, "multiple of the reference clock, fraction", unit="1/32768")
    enable = flag(31, "these registers count")


class DpllConfig2(Bits):
    """Dividers of a loop in HDMI mode (gen9)."""

    central_frequency = uint(0, 2, "middle of the range the loop works in: 0 is 9600, 1 is 9000, 3 is 8400 MHz")
    p_divider = uint(2, 3, "first divider: 0 by 1, 1 by 2, 2 by 3, 4 by 7")
    k_divider = uint(5, 2, "second divider: 0 by 5, 1 by 2, 2 by 3, 3 by 1")
    q_mode = flag(7, "there is a third divider")
    q_ratio = uint(8, 8, "third divider")


class SkylakeClocks(RegisterBlock, source=SOURCE):
    """Clocks of the display engine, gen9."""

    cdclk_ctl = Register(0x46000, CdclkControl, "the core display clock", kernel_name="CDCLK_CTL")
    lcpll1_ctl = Register(
        0x46010, DpllEnable,
        "DPLL0, which feeds the core display clock and embedded panels",
        emulated=True, kernel_name="LCPLL1_CTL",
    )  # fmt: skip
    lcpll2_ctl = Register(0x46014, DpllEnable, "DPLL1", emulated=True, kernel_name="LCPLL2_CTL")
    cdclk_freq = Register(0x46200, int, "core display clock in MHz, minus one, for audio", unit="MHz", kernel_name="CDCLK_FREQ")
    software_flags = RegisterArray(
        0x4F000, 36, int,
        "scratch registers in which firmware leaves word for the driver; number 0x18 must not be 0, else the driver sets the core clock anew",
        kernel_name="SWF_ILK",
    )  # fmt: skip
    dpll_cfgcr1 = RegisterArray(0x6C040, 3, DpllConfig1, "frequency of DPLL1, 2, 3 in HDMI mode", stride=8, kernel_name="DPLL_CFGCR1")
    dpll_cfgcr2 = RegisterArray(0x6C044, 3, DpllConfig2, "dividers of DPLL1, 2, 3 in HDMI mode", stride=8, kernel_name="DPLL_CFGCR2")
    dpll_ctrl1 = Register(0x6C058, DpllControl1, "how the loops are set", kernel_name="DPLL_CTRL1")
    dpll_ctrl2 = Register(0x6C05C, DpllControl2, "which loop feeds which port", kernel_name="DPLL_CTRL2")
    dpll_status = Register(
        0x6C060, DpllStatus,
        "which loops are stable; the mediator shows the enabled ones",
        Access.READ_ONLY, emulated=True, kernel_name="DPLL_STATUS",
    )  # fmt: skip


# ---- gen8, and what gen9 kept of it ----


class SpllFrequency(IntEnum):
    """Rate of the loop for spread-spectrum outputs."""

    MHZ_810 = 0
    MHZ_1350 = 1
    MHZ_2700 = 2


class SpllControl(Bits):
    """The loop for spread-spectrum outputs (gen8)."""

    frequency = choice(26, 2, SpllFrequency, "rate")
    reference = uint(28, 2, "reference clock: 0 bus clock, 1 processor's spread spectrum, 2 hub's, 3 LCPLL")
    enable = flag(31, "the loop runs")


class WrpllControl(Bits):
    """A loop of free choice (gen8). On gen9 the two registers switch DPLL2 and DPLL3 by the enable bit alone."""

    reference_divider = uint(0, 8, "divider of the reference clock")
    post_divider = uint(8, 6, "divider of the result")
    feedback_divider = uint(16, 8, "multiplier")
    reference = uint(28, 2, "reference clock: 0 bus clock, 1 hub's spread spectrum, 2 processor's, 3 LCPLL")
    enable = flag(31, "the loop runs")


class PortClock(IntEnum):
    """What feeds a port (gen8)."""

    LCPLL_2700 = 0
    LCPLL_1350 = 1
    LCPLL_810 = 2
    SPLL = 3
    WRPLL1 = 4
    WRPLL2 = 5
    NONE = 7


class PortClockSelect(Bits):
    """What feeds a port (gen8)."""

    clock = choice(29, 3, PortClock, "source of the port's clock")


class TranscoderClock(IntEnum):
    """Which port's clock drives a transcoder."""

    DISABLED = 0
    PORT_A = 1
    PORT_B = 2
    PORT_C = 3
    PORT_D = 4
    PORT_E = 5


class TranscoderClockSelect(Bits):
    """Which port's clock drives a transcoder."""

    clock = choice(29, 3, TranscoderClock, "the port")


class LcpllFrequency(IntEnum):
    """Core display clock of gen8."""

    MHZ_450 = 0
    MHZ_540 = 1
    MHZ_337_5 = 2
    MHZ_675 = 3


class LcpllReference(IntEnum):
    """Reference of the loop."""

    NON_SSC = 0
    BCLK = 2
    PCH_SSC = 3


class BroadwellLcpll(Bits):
    """The loop behind the core display clock (gen8). In good order is 0x40000000: on, locked, 450 MHz."""

    source_fclk_done = flag(19, "the core display clock does come from the fabric clock")
    source_fclk = flag(21, "take the core display clock from the fabric clock, while the frequency changes")
    power_down_allow = flag(22, "the loop may be switched off in deep sleep")
    cd2x_clock_disable = flag(23, "no double core display clock")
    root_cd_clock_disable = flag(24, "no core display clock at its root")
    cd_clock_disable = flag(25, "no core display clock")
    frequency = choice(26, 2, LcpllFrequency, "core display clock")
    reference = choice(28, 2, LcpllReference, "reference clock")
    locked = flag(30, "the loop is stable")
    disable = flag(31, "the loop stands still")


class RawClock(Bits):
    """The raw clock of the south display, which times panel power and backlight."""

    frequency = uint(0, 10, "frequency", unit="MHz")
    tp2_timer = uint(10, 2, "timer of the second training pattern")
    tp1_timer = uint(12, 2, "timer of the first training pattern")
    divider = uint(16, 10, "divider, on later hubs")


class BroadwellClocks(RegisterBlock, source=SOURCE):
    """Clocks of the display engine, gen8; the selection of clocks by ports and transcoders is gen9's as well."""

    spll_ctl = Register(0x46020, SpllControl, "the loop for spread-spectrum outputs", kernel_name="SPLL_CTL")
    wrpll_ctl = RegisterArray(0x46040, 2, WrpllControl, "the two loops of free choice; on gen9 DPLL2 and DPLL3", stride=0x20, kernel_name="WRPLL_CTL")
    port_clk_sel = RegisterArray(0x46100, 5, PortClockSelect, "what feeds ports A to E", kernel_name="PORT_CLK_SEL")
    trans_clk_sel = RegisterArray(0x46140, 3, TranscoderClockSelect, "which port's clock drives transcoders A to C", kernel_name="TRANS_CLK_SEL")
    pixclk_gate = Register(0xC6020, int, "bit 0: the pixel clock of the analogue port runs", kernel_name="PIXCLK_GATE")
    rawclk_freq = Register(0xC6204, RawClock, "the raw clock; 24 on hubs of gen8 and gen9", kernel_name="PCH_RAWCLK_FREQ")
    lcpll_ctl = Register(0x130040, BroadwellLcpll, "the loop behind the core display clock", emulated=True, kernel_name="LCPLL_CTL")
