"""The display part of the platform controller hub, apart from what has its own module: clock gates, and the analogue port with its link."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "Adpa",
    "AdpaMonitor",
    "AnaloguePort",
    "FdiPattern",
    "FdiReceiver",
    "FdiReceiverControl",
    "FdiReceiverEvents",
    "PchTranscoder",
    "PchTranscoderConfig",
    "PchUnnamed",
    "SouthChicken2",
    "SouthClockGate",
    "SouthDisplay",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
FDI_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_fdi_regs.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/handlers.c"


class SouthChicken2(Bits):
    """Work-arounds of the south display."""

    panel_power_fix_disable = flag(0, "no repair of panel power")
    pwm_granularity = flag(5, "backlight steps of 16 cycles instead of 128 (gen8)")
    phy_reset = flag(12, "reset the physical layer of the link to the analogue port")
    phy_reset_status = flag(13, "it is being reset; the mediator shows what phy_reset asks for")


class SouthClockGate(Bits):
    """Clocks of the south display that keep running."""

    partition_disable = flag(12, "no gating of a whole part (gen8)")
    pwm = flag(13, "backlight (later hubs)")
    panel = flag(14, "panel")
    dpmg = flag(15, "message unit")
    dpls = flag(29, "panel power; gen8 and gen9 keep it running")
    dpl = flag(30, "loops")
    gmbus = flag(31, "I2C controller, for the length of a transfer")


class SouthDisplay(RegisterBlock, source=SOURCE):
    """Work-arounds of the south display."""

    chicken1 = Register(0xC2000, int, "work-arounds of the link to the analogue port", kernel_name="SOUTH_CHICKEN1")
    chicken2 = Register(0xC2004, SouthChicken2, "more work-arounds", emulated=True, kernel_name="SOUTH_CHICKEN2")
    dspclk_gate_d = Register(0xC2020, SouthClockGate, "clocks that keep running", kernel_name="SOUTH_DSPCLK_GATE_D")
    trans_chicken1 = RegisterArray(
        0xF0060, 3, int,
        "clock gates of the hub's transcoders: bit 4 kept running on gen8",
        stride=0x1000, kernel_name="TRANS_CHICKEN1",
    )  # fmt: skip
    trans_chicken2 = RegisterArray(0xF0064, 3, int, "timing override of the hub's transcoders", stride=0x1000, kernel_name="TRANS_CHICKEN2")


class PchTranscoderConfig(Bits):
    """On and off of a transcoder of the hub."""

    interlace = uint(21, 3, "how frames are shown: 0 progressive, 3 interlaced")
    state = flag(30, "it runs; the mediator shows what enable asks for")
    enable = flag(31, "it is to run")


class PchTranscoder(RegisterBlock, bases={"TRANSCODER_A": 0xF0008, "TRANSCODER_B": 0xF1008}, source=SOURCE):
    """A transcoder of the hub; gen8 has one, for the analogue port."""

    conf = Register(0x0, PchTranscoderConfig, "on and off", emulated=True, kernel_name="PCH_TRANSCONF")


class FdiPattern(IntEnum):
    """What the receiver expects."""

    PATTERN_1 = 0
    PATTERN_2 = 1
    IDLE = 2
    NORMAL = 3


class FdiReceiverControl(Bits):
    """The hub's end of the link to the analogue port."""

    pixel_clock = flag(4, "take the clock from the processor's side", source=FDI_SOURCE)
    enhanced_frame = flag(6, "enhanced framing", source=FDI_SOURCE)
    pattern = choice(8, 2, FdiPattern, "what it expects", source=FDI_SOURCE)
    auto_training = flag(10, "train by itself", source=FDI_SOURCE)
    pll_enable = flag(13, "its loop runs", source=FDI_SOURCE)
    width = uint(19, 3, "lanes, minus one", source=FDI_SOURCE)
    enable = flag(31, "receive", source=FDI_SOURCE)


class FdiReceiverEvents(Bits):
    """What the receiver saw."""

    symbol_queue_overflow = flag(0, "too many symbols", source=FDI_SOURCE)
    cross_clock_overflow = flag(1, "the two clocks are too far apart", source=FDI_SOURCE)
    pixel_fifo_overflow = flag(2, "too many pixels", source=FDI_SOURCE)
    hdcp_link_fail = flag(3, "content protection has lost the link", source=FDI_SOURCE)
    symbol_error_rate = flag(4, "too many wrong symbols", source=FDI_SOURCE)
    frame_end_error = flag(5, "wrong code at the end of a frame", source=FDI_SOURCE)
    frame_start_error = flag(6, "wrong code at the start of a frame", source=FDI_SOURCE)
    pattern2_fail = flag(7, "training pattern 2 failed", source=FDI_SOURCE)
    bit_lock = flag(8, "training pattern 1 is understood", source=FDI_SOURCE)
    symbol_lock = flag(9, "training pattern 2 is understood", source=FDI_SOURCE)
    lane_align = flag(10, "lanes are aligned", source=FDI_SOURCE)


class FdiReceiver(RegisterBlock, bases={"PIPE_A": 0xF000C, "PIPE_B": 0xF100C, "PIPE_C": 0xF200C}, source=FDI_SOURCE):
    """The hub's end of a link. The mediator plays a receiver that understands at once."""

    ctl = Register(0x0, FdiReceiverControl, "on and off, training", emulated=True, kernel_name="FDI_RX_CTL")
    misc = Register(0x4, int, "delays of training", kernel_name="FDI_RX_MISC")
    iir = Register(0x8, FdiReceiverEvents, "what it saw", Access.WRITE_1_CLEARS, emulated=True, kernel_name="FDI_RX_IIR")
    imr = Register(0xC, FdiReceiverEvents, "what it does not report", emulated=True, kernel_name="FDI_RX_IMR")
    tusize1 = Register(0x24, int, "length of a transfer unit", kernel_name="FDI_RX_TUSIZE1")


class AdpaMonitor(IntEnum):
    """What a look at the analogue port found."""

    NONE = 0
    MONOCHROME = 2
    COLOR = 3


class Adpa(Bits):
    """The analogue port (gen8)."""

    hsync_active_high = flag(3, "level of the horizontal pulse")
    vsync_active_high = flag(4, "level of the vertical pulse")
    vsync_disable = flag(10, "no vertical pulse")
    hsync_disable = flag(11, "no horizontal pulse")
    force_trigger = flag(16, "look now whether a monitor is there; clears itself")
    hotplug_enable = flag(23, "look from time to time")
    monitor = choice(24, 2, AdpaMonitor, "what the last look found (write 1 to clear)")
    dac_enable = flag(31, "the port is on")


class AnaloguePort(RegisterBlock, source=SOURCE):
    """The analogue (VGA) port (gen8)."""

    adpa = Register(0xE1100, Adpa, "the port", emulated=True, kernel_name="PCH_ADPA")


class PchUnnamed(RegisterBlock, source=GVT_SOURCE):
    """Registers of the hub without a public name, which some guests wait on. The mediator answers with constants."""

    constant_e651c = RegisterArray(0xE651C, 4, int, "four registers that read 0x20000", Access.READ_ONLY, stride=0x100, reset=0x20000, emulated=True)
    constant_e6c04 = Register(0xE6C04, int, "reads 3, always", Access.READ_ONLY, reset=0x3, emulated=True)
    constant_e6e1c = Register(0xE6E1C, int, "reads 0x2f0000, always", Access.READ_ONLY, reset=0x2F0000, emulated=True)
