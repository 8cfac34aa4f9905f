"""Digital ports: their buffers and the DisplayPort protocol on them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = (
    "PORT_BASES",
    "BufferTranslation",
    "DdiBufferControl",
    "DdiBufferTranslation",
    "DdiPortRegisters",
    "DisplayPortControl",
    "DisplayPortMode",
    "DisplayPortStatus",
    "TrainingPattern",
    "TransmitterBoost",
    "TransmitterBoostRegister",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"

PORT_BASES: Final[dict[str, int]] = {"PORT_A": 0x64000, "PORT_B": 0x64100, "PORT_C": 0x64200, "PORT_D": 0x64300, "PORT_E": 0x64400}
"""First register of each port in BAR0."""


class DdiBufferControl(Bits):
    """On and off of a port's output."""

    detected = flag(0, "something was connected at start-up; port A of gen8 exists only if it is set")
    width = uint(1, 3, "lanes: 0 one, 1 two, 3 four")
    port_a_four_lanes = flag(4, "port A has four lanes and port E none (port A only)")
    idle = flag(7, "the output is quiet: cleared when it is enabled, expected 8 us after it was disabled")
    reversal = flag(16, "lanes in reverse order")
    translation_select = uint(24, 4, "entry of the port's table of voltages")
    enable = flag(31, "the output is on")


class DisplayPortMode(IntEnum):
    """One stream on the link, or several."""

    SST = 0
    MST = 1


class TrainingPattern(IntEnum):
    """What the port sends."""

    PATTERN_1 = 0
    PATTERN_2 = 1
    IDLE = 2
    NORMAL = 3
    PATTERN_3 = 4


class DisplayPortControl(Bits):
    """The DisplayPort protocol on a port."""

    scramble_disable = flag(7, "send unscrambled, as training patterns are")
    link_train = choice(8, 3, TrainingPattern, "what the port sends")
    fdi_autotrain = flag(15, "port E: train the link to the platform controller hub by itself")
    enhanced_frame = flag(18, "enhanced framing")
    force_act = flag(25, "send the sign that stream shares have changed")
    mode = choice(27, 1, DisplayPortMode, "one stream on the link, or several")
    enable = flag(31, "the protocol runs")


class DisplayPortStatus(Bits):
    """What has come of it."""

    payload_mapping_vc0 = uint(0, 2, "stream of the first share")
    payload_mapping_vc1 = uint(4, 2, "stream of the second share")
    payload_mapping_vc2 = uint(8, 2, "stream of the third share")
    autotrain_done = flag(12, "port E: the link to the hub is trained")
    mode_mst = flag(23, "several streams are on the link")
    act_sent = flag(24, "the sign that stream shares have changed was sent (write 1 to clear)")
    idle_done = flag(25, "five idle patterns were sent; awaited for 2 ms after training")
    latched_26 = flag(26, "a latched state that the kernel has no name for (write 1 to clear)", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")
    latched_27 = flag(27, "a latched state that the kernel has no name for (write 1 to clear)", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")


class DdiPortRegisters(RegisterBlock, bases=PORT_BASES, source=SOURCE):
    """One port."""

    buf_ctl = Register(0x0, DdiBufferControl, "on and off of the output", reset=0x80, emulated=True, kernel_name="DDI_BUF_CTL")
    tp_ctl = Register(0x40, DisplayPortControl, "the DisplayPort protocol", emulated=True, kernel_name="DP_TP_CTL")
    tp_status = Register(0x44, DisplayPortStatus, "what has come of it", emulated=True, kernel_name="DP_TP_STATUS")


class BufferTranslation(Bits):
    """First half of an entry: emphasis of the output."""

    balance_leg = flag(31, "drive with more current")


class DdiBufferTranslation(
    RegisterBlock,
    bases={"PORT_A": 0x64E00, "PORT_B": 0x64E60, "PORT_C": 0x64EC0, "PORT_D": 0x64F20, "PORT_E": 0x64F80},
    source=SOURCE,
):
    """A port's table of voltages, ten entries: DisplayPort uses the first nine by training level, HDMI the last."""

    lo = RegisterArray(0x0, 10, BufferTranslation, "emphasis", stride=8, kernel_name="DDI_BUF_TRANS_LO")
    hi = RegisterArray(0x4, 10, int, "swing", stride=8, kernel_name="DDI_BUF_TRANS_HI")


class TransmitterBoost(Bits):
    """More current for a port's output (gen9)."""

    port_a = uint(8, 3, "port A")
    port_b = uint(11, 3, "port B")
    port_c = uint(14, 3, "port C")
    port_d = uint(17, 3, "port D")
    port_e = uint(20, 3, "port E")
    disable = uint(23, 5, "one bit per port that gets none")


class TransmitterBoostRegister(RegisterBlock, source=SOURCE):
    """More current for the ports' outputs (gen9)."""

    boost = Register(0x6C00C, TransmitterBoost, "more current for each port", kernel_name="DISPIO_CR_TX_BMU_CR0")
