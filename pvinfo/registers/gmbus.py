"""GMBUS: the I2C controller through which the driver reads a monitor's EDID over HDMI or VGA, and its bare pins.

One transfer: choose the pins (gmbus0), command (gmbus1), then four bytes at a time (gmbus3) while gmbus2 says
ready, wait for the wait phase, command a stop, wait until no longer active, let go of the pins. A monitor that
does not answer shows as NAK in gmbus2; the driver then tries the bare pins.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = (
    "Gmbus",
    "GmbusCommand",
    "GmbusCycle",
    "GmbusInterruptEnable",
    "GmbusPin",
    "GmbusRate",
    "GmbusSelect",
    "GmbusStatus",
    "GmbusWideIndex",
    "GpioPins",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_gmbus_regs.h"
PIN_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_gmbus.h"


class GpioPins(Bits):
    """Two bare pins, clock and data. An idle bus, with its pull-ups, reads 0x1010."""

    clock_direction_mask = flag(0, "clock_direction_out is meant")
    clock_direction_out = flag(1, "drive the clock")
    clock_value_mask = flag(2, "clock_value_out is meant")
    clock_value_out = flag(3, "level to drive the clock with")
    clock_value_in = flag(4, "level of the clock now")
    clock_pullup_disable = flag(5, "no pull-up on the clock")
    data_direction_mask = flag(8, "data_direction_out is meant")
    data_direction_out = flag(9, "drive the data")
    data_value_mask = flag(10, "data_value_out is meant")
    data_value_out = flag(11, "level to drive the data with")
    data_value_in = flag(12, "level of the data now")
    data_pullup_disable = flag(13, "no pull-up on the data")


class GmbusPin(IntEnum):
    """Pairs of pins, as wired on hubs before Cannon Point; there, and on Broxton, 1 is port B, 2 port C, 4 port D."""

    NONE = 0
    SSC = 1
    VGA = 2
    PANEL = 3
    PORT_C = 4
    PORT_B = 5
    PORT_D = 6


class GmbusRate(IntEnum):
    """Speed of the bus."""

    KHZ_100 = 0
    KHZ_50 = 1
    KHZ_400 = 2
    MHZ_1 = 3


class GmbusSelect(Bits):
    """Which pins, how fast. 0 lets go of the bus."""

    pin = choice(0, 3, GmbusPin, "pair of pins", source=PIN_SOURCE)
    byte_count_override = flag(6, "transfers may be longer than 256 bytes (gen9)")
    hold_300ns = flag(7, "hold data for 300 ns")
    rate = choice(8, 2, GmbusRate, "speed of the bus")
    aksv_select = flag(11, "send the content protection key instead of data")


class GmbusCycle(IntEnum):
    """What a command does: a sum of wait (1), index (2) and stop (4)."""

    NONE = 0
    WAIT = 1
    INDEX = 2
    INDEX_WAIT = 3
    STOP = 4
    STOP_WAIT = 5
    INDEX_STOP = 6
    INDEX_STOP_WAIT = 7


class GmbusCommand(Bits):
    """A transfer, or its end."""

    read = flag(0, "read from the target")
    address = uint(1, 7, "I2C address of the target; 0x50 is the EDID")
    index = uint(8, 8, "byte sent first, with an index cycle: where in the EDID to begin")
    byte_count = uint(16, 9, "length of the transfer", unit="bytes")
    cycle = choice(25, 3, GmbusCycle, "what to do: wait at the end, send an index first, stop")
    enable_timeout = flag(29, "give up on a target that holds the clock")
    software_ready = flag(30, "carry out the command")
    clear_interrupt = flag(31, "1, then 0: reset the controller after an error")


class GmbusStatus(Bits):
    """How the transfer goes."""

    byte_count = uint(0, 9, "bytes left", unit="bytes")
    active = flag(9, "the bus is in use by this controller")
    nak = flag(10, "the target did not answer (SATOER)")
    hardware_ready = flag(11, "four bytes can be read or written, or the transfer is over")
    interrupt = flag(12, "an interrupt was sent")
    stall_timeout = flag(13, "the target has held the clock for too long")
    wait_phase = flag(14, "the transfer is over and the bus is held for the next command")
    in_use = flag(15, "somebody uses the controller: set by the read that finds it clear, cleared by writing 1")


class GmbusInterruptEnable(Bits):
    """What raises the GMBUS interrupt."""

    hardware_ready = flag(0, "bytes can be read or written")
    wait_phase = flag(1, "the transfer is over")
    idle = flag(2, "the bus is free")
    nak = flag(3, "the target did not answer")
    timeout = flag(4, "the target has held the clock for too long")


class GmbusWideIndex(Bits):
    """An index of two bytes."""

    index = uint(0, 16, "the two bytes")
    enable = flag(31, "send two bytes as index")


class Gmbus(RegisterBlock, bases={"": 0xC0000}, source=SOURCE):
    """The I2C controller of the south display."""

    gpio = RegisterArray(0x5010, 6, GpioPins, "bare pins, one register per pair; 0 is VGA, 3 port C, 4 port B, 5 port D", emulated=True, kernel_name="GPIO")
    gmbus0 = Register(0x5100, GmbusSelect, "which pins, how fast", emulated=True, kernel_name="GMBUS0")
    gmbus1 = Register(0x5104, GmbusCommand, "a transfer, or its end", emulated=True, kernel_name="GMBUS1")
    gmbus2 = Register(0x5108, GmbusStatus, "how the transfer goes", emulated=True, kernel_name="GMBUS2")
    gmbus3 = Register(0x510C, int, "four bytes of the transfer, the first in bits 7:0", emulated=True, kernel_name="GMBUS3")
    gmbus4 = Register(0x5110, GmbusInterruptEnable, "what raises the interrupt", emulated=True, kernel_name="GMBUS4")
    gmbus5 = Register(0x5120, GmbusWideIndex, "an index of two bytes", kernel_name="GMBUS5")
