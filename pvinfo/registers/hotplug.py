"""Hot-plug: which ports watch for monitors, and what they saw.

A *long* pulse means that something was plugged in or out, a *short* one that a connected DisplayPort monitor
wants to be asked. Whether something is plugged in at all shows the state register of the SDE interrupt group.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag
from ..register import Access, Register, RegisterBlock

__all__ = ("DigitalPortHotplug", "Hotplug", "HotplugPulse", "PchHotplug", "PchHotplug2", "SouthErrors")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class HotplugPulse(IntEnum):
    """What a port saw."""

    NONE = 0
    SHORT = 1
    LONG = 2
    BOTH = 3


class DigitalPortHotplug(Bits):
    """Port A on the processor's side (gen8)."""

    port_a = choice(0, 2, HotplugPulse, "what port A saw (write 1 to clear)")
    port_a_enable = flag(4, "port A watches")


class PchHotplug(Bits):
    """Ports of the platform controller hub, or of the processor where it has none (Broxton)."""

    port_b = choice(0, 2, HotplugPulse, "what port B saw (write 1 to clear)")
    port_b_enable = flag(4, "port B watches")
    port_c = choice(8, 2, HotplugPulse, "what port C saw (write 1 to clear)")
    port_c_enable = flag(12, "port C watches")
    port_d = choice(16, 2, HotplugPulse, "what port D saw (write 1 to clear)")
    port_d_enable = flag(20, "port D watches")
    port_a = choice(24, 2, HotplugPulse, "what port A saw (gen9; write 1 to clear)")
    port_a_enable = flag(28, "port A watches (gen9)")


class PchHotplug2(Bits):
    """One more port (gen9)."""

    port_e = choice(0, 2, HotplugPulse, "what port E saw (write 1 to clear)")
    port_e_enable = flag(4, "port E watches")


class SouthErrors(Bits):
    """Errors of the south display."""

    transcoder_a_underrun = flag(0, "transcoder A of the hub ran out of pixels")
    transcoder_b_underrun = flag(3, "transcoder B of the hub ran out of pixels")
    transcoder_c_underrun = flag(6, "transcoder C of the hub ran out of pixels")
    poison = flag(31, "data marked as broken came in")


class Hotplug(RegisterBlock, source=SOURCE):
    """Which ports watch for monitors, and what they saw."""

    digital_port = Register(0x44030, DigitalPortHotplug, "port A on the processor's side (gen8)", emulated=True, kernel_name="DIGITAL_PORT_HOTPLUG_CNTRL")
    pch = Register(0xC4030, PchHotplug, "ports of the platform controller hub", emulated=True, kernel_name="PCH_PORT_HOTPLUG")
    pch2 = Register(0xC403C, PchHotplug2, "one more port (gen9)", emulated=True, kernel_name="PCH_PORT_HOTPLUG2")
    filter_count = Register(0xC4038, int, "how long a level must last to count", unit="cycles", kernel_name="SHPD_FILTER_CNT")
    serr_int = Register(0xC4040, SouthErrors, "errors of the south display", Access.WRITE_1_CLEARS, kernel_name="SERR_INT")
