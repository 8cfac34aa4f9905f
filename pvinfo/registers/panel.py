"""Power and backlight of an embedded panel."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterBlock

__all__ = (
    "Backlight",
    "BacklightControl",
    "BacklightDuty",
    "PanelControl",
    "PanelDivisor",
    "PanelOffDelays",
    "PanelOnDelays",
    "PanelPort",
    "PanelPower",
    "PanelSequence",
    "PanelStatus",
    "PchBacklightControl",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_pps_regs.h"
BACKLIGHT_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_backlight_regs.h"


class PanelSequence(IntEnum):
    """What the sequencer is doing."""

    NONE = 0
    POWER_UP = 1
    POWER_DOWN = 2


class PanelStatus(Bits):
    """State of the panel's power."""

    state = uint(0, 4, "step of the sequence: 0 off, 8 on, between them on the way")
    cycle_delay_active = flag(27, "the panel must stay off a while yet")
    sequence = choice(28, 2, PanelSequence, "what the sequencer is doing")
    ready = flag(30, "all that the panel needs is on")
    on = flag(31, "the panel has power")


class PanelControl(Bits):
    """Power of the panel."""

    power_on = flag(0, "switch the panel on or off, with the delays")
    power_reset = flag(1, "switch it off before a reset")
    backlight = flag(2, "switch the backlight on")
    force_vdd = flag(3, "give it power for AUX transfers, without a picture")
    power_cycle_delay = uint(4, 5, "how long it must stay off (Broxton)", unit="100 ms")
    unlock = uint(16, 16, "0xabcd: the registers may be written")


class PanelPort(IntEnum):
    """Where the panel is."""

    LVDS = 0
    A = 1
    C = 2
    D = 3


class PanelOnDelays(Bits):
    """Delays when the panel is switched on."""

    light_on = uint(0, 13, "from a picture to backlight", unit="100 us")
    power_up = uint(16, 13, "from power to a picture", unit="100 us")
    port = choice(30, 2, PanelPort, "where the panel is")


class PanelOffDelays(Bits):
    """Delays when the panel is switched off."""

    light_off = uint(0, 13, "from no backlight to no picture", unit="100 us")
    power_down = uint(16, 13, "from no picture to no power", unit="100 us")


class PanelDivisor(Bits):
    """Clock of the delays."""

    power_cycle_delay = uint(0, 5, "how long the panel must stay off", unit="100 ms")
    reference_divider = uint(8, 24, "divider of the raw clock: 100 times its frequency in MHz, over two, minus one")


class PanelPower(RegisterBlock, source=SOURCE):
    """The power sequencer."""

    status = Register(
        0xC7200, PanelStatus,
        "state of the panel's power; the mediator follows power_on at once",
        Access.READ_ONLY, kernel_name="PP_STATUS",
    )  # fmt: skip
    control = Register(0xC7204, PanelControl, "power of the panel", emulated=True, kernel_name="PP_CONTROL")
    on_delays = Register(0xC7208, PanelOnDelays, "delays when it is switched on", kernel_name="PP_ON_DELAYS")
    off_delays = Register(0xC720C, PanelOffDelays, "delays when it is switched off", kernel_name="PP_OFF_DELAYS")
    divisor = Register(0xC7210, PanelDivisor, "clock of the delays", kernel_name="PP_DIVISOR")


class BacklightControl(Bits):
    """On and off of the backlight's modulation."""

    transcoder = uint(29, 2, "transcoder it goes with: A, B, C, embedded", source=BACKLIGHT_SOURCE)
    enable = flag(31, "modulate", source=BACKLIGHT_SOURCE)


class PchBacklightControl(Bits):
    """On and off of the modulation by the platform controller hub."""

    inverted = flag(29, "brightest at the shortest time on", source=BACKLIGHT_SOURCE)
    override = flag(30, "the hub's own values count, not those that the processor's display sends", source=BACKLIGHT_SOURCE)
    enable = flag(31, "modulate", source=BACKLIGHT_SOURCE)


class BacklightDuty(Bits):
    """Brightness."""

    duty = uint(0, 16, "time on per cycle", source=BACKLIGHT_SOURCE)
    period = uint(16, 16, "length of a cycle", source=BACKLIGHT_SOURCE)


class Backlight(RegisterBlock, source=BACKLIGHT_SOURCE):
    """Modulation of the backlight, by the processor's display and by the platform controller hub."""

    cpu_ctl2 = Register(0x48250, BacklightControl, "processor: on and off", kernel_name="BLC_PWM_CPU_CTL2")
    cpu_ctl = Register(0x48254, BacklightDuty, "processor: brightness", kernel_name="BLC_PWM_CPU_CTL")
    pch_ctl1 = Register(0xC8250, PchBacklightControl, "hub: on and off", kernel_name="BLC_PWM_PCH_CTL1")
    pch_ctl2 = Register(0xC8254, BacklightDuty, "hub: brightness", kernel_name="BLC_PWM_PCH_CTL2")
