"""How often a picture is sent: from the registers of loops, ports and transcoders to the pixel clock and the refresh period.

All of it is exact: clocks and periods are fractions, so that a counter of frames never drifts from what was programmed.

Source: linux:drivers/gpu/drm/i915/display/intel_dpll_mgr.c, linux:drivers/gpu/drm/i915/gvt/handlers.c (vgpu_update_refresh_rate)
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

from pvinfo.platform import Platform
from pvinfo.register import RegisterBus
from pvinfo.registers.broxton import BroxtonPll, BroxtonPllDividers, BroxtonPllEnable
from pvinfo.registers.clock import (
    BroadwellClocks,
    DpllRate,
    PortClock,
    SkylakeClocks,
    SpllFrequency,
)
from pvinfo.registers.transcoder import BitsPerColor, DdiMode, Interlace, Transcoder, TranscoderSwitch

__all__ = ("DEFAULT_PERIOD_NS", "LONGEST_PERIOD_NS", "SHORTEST_PERIOD_NS", "Timing", "pixel_clock_hz", "port_clock_hz", "timing_of")

DEFAULT_PERIOD_NS: Final = Fraction(1_000_000_000, 60)
"""What is taken where registers give no refresh rate: 60 Hz."""
SHORTEST_PERIOD_NS: Final = 1_000_000
"""1000 Hz, more than any monitor. A guest that programs less would have the host do nothing but count its frames."""
LONGEST_PERIOD_NS: Final = 1_000_000_000
"""1 Hz, less than any monitor: a guest that waits for a frame is not to wait for ever."""

_MHZ: Final = 1_000_000
_SYMBOLS: Final = 2
"""Link clocks, in symbols, are twice what the loops' registers name."""

# ---- Skylake and its successors: four loops, any of them for any port ----

_SKYLAKE_REFERENCE_HZ: Final = 24 * _MHZ
_LOOP_BITS: Final = 6
"""Bits of DPLL_CTRL1 for each loop."""
_LOOP_RATE_SHIFT: Final = 1
_LOOP_HDMI: Final = 1 << 5
_PORT_BITS: Final = 3
"""Bits of DPLL_CTRL2 for each port."""
_PORT_CLOCK_OFF: Final = 1 << 15
_RATES_HZ: Final[dict[int, int]] = {
    DpllRate.MHZ_2700: 2700 * _MHZ, DpllRate.MHZ_1350: 1350 * _MHZ, DpllRate.MHZ_810: 810 * _MHZ,
    DpllRate.MHZ_1620: 1620 * _MHZ, DpllRate.MHZ_1080: 1080 * _MHZ, DpllRate.MHZ_2160: 2160 * _MHZ,
}  # fmt: skip
_BITS_PER_SYMBOL: Final = 10
_P_DIVIDERS: Final = {0: 1, 1: 2, 2: 3, 4: 7, 5: 7}
"""5 is what a firmware in the field writes for 7. Source: linux:drivers/gpu/drm/i915/display/intel_dpll_mgr.c"""
_K_DIVIDERS: Final = {0: 5, 1: 2, 2: 3, 3: 1}
_FRACTION: Final = 1 << 15


def _skylake_clock(registers: RegisterBus, port: int) -> Fraction:
    clocks, shared = SkylakeClocks(registers), BroadwellClocks(registers)
    choice = clocks.dpll_ctrl2
    chosen = choice >> _PORT_BITS * port
    if choice & _PORT_CLOCK_OFF << port or not chosen & 1:
        return Fraction(0)
    loop = chosen >> 1 & 3
    running = (clocks.lcpll1_ctl.enable, clocks.lcpll2_ctl.enable, shared.wrpll_ctl[0].enable, shared.wrpll_ctl[1].enable)
    if not running[loop]:
        return Fraction(0)
    setting = clocks.dpll_ctrl1 >> _LOOP_BITS * loop
    if not setting & _LOOP_HDMI:
        return Fraction(_SYMBOLS * _RATES_HZ.get(setting >> _LOOP_RATE_SHIFT & 7, 0), _BITS_PER_SYMBOL)
    if not loop:
        return Fraction(0)  # the loop behind the core display clock has no configuration of its own
    frequency, dividers = clocks.dpll_cfgcr1[loop - 1], clocks.dpll_cfgcr2[loop - 1]
    q = dividers.q_ratio if dividers.q_mode else 1
    divider = 5 * _P_DIVIDERS.get(dividers.p_divider, 0) * q * _K_DIVIDERS[dividers.k_divider]
    return _SKYLAKE_REFERENCE_HZ * (frequency.dco_integer + Fraction(frequency.dco_fraction, _FRACTION)) / divider if divider else Fraction(0)


# ---- Broadwell: fixed rates, and two loops of free choice ----

_LCPLL_HZ: Final[dict[int, int]] = {PortClock.LCPLL_2700: 2700 * _MHZ, PortClock.LCPLL_1350: 1350 * _MHZ, PortClock.LCPLL_810: 810 * _MHZ}
_SPLL_HZ: Final[dict[int, int]] = {SpllFrequency.MHZ_810: 810 * _MHZ, SpllFrequency.MHZ_1350: 1350 * _MHZ, SpllFrequency.MHZ_2700: 2700 * _MHZ}
_WRPLL_REFERENCE_HZ: Final = {1: 135 * _MHZ, 2: 135 * _MHZ, 3: 2700 * _MHZ}
"""The hub's and the processor's spread-spectrum references, and LCPLL; nothing is said of the bus clock."""


def _broadwell_clock(registers: RegisterBus, port: int) -> Fraction:
    clocks = BroadwellClocks(registers)
    source = clocks.port_clk_sel[port].clock
    if source in (PortClock.WRPLL1, PortClock.WRPLL2):
        loop = clocks.wrpll_ctl[source - PortClock.WRPLL1]
        reference = _WRPLL_REFERENCE_HZ.get(loop.reference, 0) if loop.enable else 0
        divider = 5 * loop.reference_divider * loop.post_divider
        return Fraction(reference * loop.feedback_divider, divider) if divider else Fraction(0)
    if source == PortClock.SPLL:
        spll = clocks.spll_ctl
        rate = _SPLL_HZ.get(spll.frequency, 0) if spll.enable else 0
    else:
        rate = 0 if clocks.lcpll_ctl.disable else _LCPLL_HZ.get(source, 0)
    return Fraction(_SYMBOLS * rate, _BITS_PER_SYMBOL)


# ---- Broxton: a loop for each port ----

_BROXTON_REFERENCE_HZ: Final = 100 * _MHZ
_BROXTON_CHANNELS: Final = ("PHY1_CH0", "PHY0_CH0", "PHY0_CH1")
"""The channel of a physical layer that belongs to ports A, B and C."""
_M1: Final = 2
_M2_FRACTION_BITS: Final = 22


def _broxton_clock(registers: RegisterBus, port: int) -> Fraction:
    if port >= len(_BROXTON_CHANNELS) or not BroxtonPllEnable(registers).port_pll[port].enable:
        return Fraction(0)
    channel = _BROXTON_CHANNELS[port]
    word = BroxtonPll(registers, channel).word
    m2 = (word[0] & 0xFF) << _M2_FRACTION_BITS
    if word[3] >> 16 & 1:
        m2 |= word[2] & (1 << _M2_FRACTION_BITS) - 1
    dividers = BroxtonPllDividers(registers, channel).ebb0
    divider = (word[1] >> 8 & 0xF) * 5 * dividers.p1 * dividers.p2 << _M2_FRACTION_BITS
    return Fraction(_BROXTON_REFERENCE_HZ * _M1 * m2, divider) if divider else Fraction(0)


def port_clock_hz(platform: Platform, registers: RegisterBus, port: int) -> Fraction:
    """The clock that ``port`` (A is 0) gets from its loop: symbols of a DisplayPort lane, or TMDS characters. 0: none, or nonsense."""
    if port > 4:
        return Fraction(0)
    if platform.graphics_version == 8:
        return _broadwell_clock(registers, port)
    if platform.name == "bxt":
        return _broxton_clock(registers, port)
    return _skylake_clock(registers, port)


# ---- what a transcoder makes of it ----

_DEEP_COLOR: Final[dict[int, Fraction]] = {BitsPerColor.TEN: Fraction(8, 10), BitsPerColor.TWELVE: Fraction(8, 12)}
_BY_RATIO: Final = (DdiMode.DP_SST, DdiMode.DP_MST, DdiMode.FDI)
_EDP: Final = "TRANSCODER_EDP"


def pixel_clock_hz(platform: Platform, registers: RegisterBus, transcoder: str) -> Fraction:
    """Pixels that ``transcoder`` sends in a second: by the ratio of its link, or one for each TMDS character of 24 bits. 0: nonsense."""
    own = Transcoder(registers, transcoder)
    function = own.ddi_func_ctl
    clock = port_clock_hz(platform, registers, 0 if transcoder == _EDP else function.port)
    if function.mode in _BY_RATIO:
        ratio = own.link_n1.value
        clock = clock * own.link_m1.value / ratio if ratio else Fraction(0)
    elif function.mode == DdiMode.HDMI:
        clock *= _DEEP_COLOR.get(function.bits_per_color, Fraction(1))
    return clock if transcoder == _EDP else clock / ((own.mult & 3) + 1)


class Timing(NamedTuple):
    """A transcoder's frame, or field where the picture is interlaced."""

    width: int
    """Visible pixels of a line."""
    height: int
    """Visible lines of a frame, of both fields."""
    lines: int
    """All lines of a frame or field."""
    vblank_start: int
    """First line of the vertical blank, counted from the first visible one."""
    scan_line_lead: int
    """Lines by which the register of the scan line is behind."""
    interlaced: bool
    pixel_clock_hz: Fraction
    period_ns: Fraction
    remark: str
    """Why the period is not what was programmed; empty where it is."""


_LEAD_HDMI: Final = 2
_LEAD: Final = 1
"""Source: linux:drivers/gpu/drm/i915/display/intel_vblank.c (intel_crtc_scanline_offset)"""
_TMDS: Final = (DdiMode.HDMI, DdiMode.DVI)


def timing_of(platform: Platform, registers: RegisterBus, transcoder: str) -> Timing:
    """What ``transcoder`` is programmed to send. Whatever its registers hold, the period is between 1 ms and 1 s."""
    own = Transcoder(registers, transcoder)
    horizontal, vertical = own.htotal, own.vtotal
    htotal, vtotal = horizontal.total + 1, vertical.total + 1
    interlaced = TranscoderSwitch(registers, transcoder).conf.interlace != Interlace.PROGRESSIVE
    clock = pixel_clock_hz(platform, registers, transcoder)
    # The second field of an interlaced frame begins half a line later, which the register leaves out.
    pixels = htotal * Fraction(vtotal + 1, 2) if interlaced else Fraction(htotal * vtotal)
    period = pixels * 1_000_000_000 / clock if clock else DEFAULT_PERIOD_NS
    remark = ""
    if not clock or not SHORTEST_PERIOD_NS <= period <= LONGEST_PERIOD_NS:
        remark = f"{htotal} by {vtotal} pixels at {float(clock) / 1e6:.3f} MHz are no picture that is sent 1 to 1000 times a second; 60 Hz is taken"
        period = DEFAULT_PERIOD_NS
    lines, start = vtotal, own.vblank.start + 1
    if interlaced:
        lines, start = max(lines // 2, 1), (start + 1) // 2
    start = min(start, lines)
    lead = _LEAD_HDMI if own.ddi_func_ctl.mode in _TMDS else _LEAD
    return Timing(horizontal.active + 1, vertical.active + 1, lines, start, lead, interlaced, clock, period, remark)
