"""AUX channels: how the driver talks to a DisplayPort monitor.

A message of up to 20 bytes is written into the data registers, first byte in bits 31:24, and sent by writing
the control register with ``busy``; the reply comes into the same registers. A mediator or monitor must always
clear busy: with no monitor there, by ``done`` and ``timeout_error`` together.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterArray, RegisterBlock

__all__ = ("AUX_CHANNELS", "AuxChannel", "AuxControl", "AuxRequest", "AuxTimeout", "PchAuxChannel")

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_dp_aux_regs.h"

AUX_CHANNELS: Final[dict[str, int]] = {"AUX_A": 0x64010, "AUX_B": 0x64110, "AUX_C": 0x64210, "AUX_D": 0x64310}
"""Control register of each channel of the processor's display; gen8 has channel A only."""


class AuxRequest(IntEnum):
    """First four bits of a message. Source: linux:include/drm/display/drm_dp.h."""

    I2C_WRITE = 0x0
    I2C_READ = 0x1
    I2C_WRITE_STATUS_UPDATE = 0x2
    I2C_WRITE_MOT = 0x4
    """As I2C_WRITE, and the bus is not released (middle of transaction)."""
    I2C_READ_MOT = 0x5
    NATIVE_WRITE = 0x8
    NATIVE_READ = 0x9


class AuxTimeout(IntEnum):
    """How long to wait for a reply."""

    US_400 = 0
    US_600 = 1
    US_800 = 2
    LONGEST = 3


class AuxControl(Bits):
    """A message or its outcome."""

    bit_clock_2x = uint(0, 11, "gen8: divider to 2 MHz; gen9: lengths of the synchronisation pulses in bits 9:0")
    aksv_select = flag(15, "send the content protection key")
    precharge = uint(16, 4, "charge of the line before a message (gen8)", unit="2 us")
    message_size = uint(20, 5, "length of the message; after it is done, of the reply", unit="bytes")
    receive_error = flag(25, "the reply was garbled (write 1 to clear)")
    timeout = choice(26, 2, AuxTimeout, "how long to wait for a reply")
    timeout_error = flag(28, "no reply came (write 1 to clear)")
    interrupt = flag(29, "tell by interrupt that the transfer is over")
    done = flag(30, "the transfer is over (write 1 to clear)")
    busy = flag(31, "send; clears itself when the transfer is over, polled for at most 10 ms")


class AuxChannel(RegisterBlock, bases=AUX_CHANNELS, source=SOURCE):
    """One channel of the processor's display."""

    control = Register(0x0, AuxControl, "a message or its outcome", emulated=True, kernel_name="DP_AUX_CH_CTL")
    data = RegisterArray(
        0x4, 5, int,
        "the message, then the reply; first byte in bits 31:24 of the first",
        kernel_name="DP_AUX_CH_DATA",
    )  # fmt: skip


class PchAuxChannel(RegisterBlock, bases={"AUX_B": 0xE4110, "AUX_C": 0xE4210, "AUX_D": 0xE4310}, source=SOURCE):
    """One channel of the platform controller hub (gen8)."""

    control = Register(0x0, AuxControl, "a message or its outcome", emulated=True, kernel_name="PCH_DP_AUX_CH_CTL")
    data = RegisterArray(
        0x4, 5, int,
        "the message, then the reply; first byte in bits 31:24 of the first",
        kernel_name="PCH_DP_AUX_CH_DATA",
    )  # fmt: skip
