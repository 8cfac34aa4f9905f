"""The mailbox to the power control unit's firmware.

Software waits until ``busy`` is clear, writes the data registers, writes the command with busy set, and polls
until busy is clear again (500 us spinning, then 20 ms); the low byte is then the result and the data registers
hold the reply.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterBlock

__all__ = ("MemoryLatency", "Pcode", "PcodeCommand", "PcodeError", "PcodeMailbox", "PcodeReply")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class PcodeCommand(IntEnum):
    """What the firmware can be asked."""

    WRITE_RC6VIDS = 0x04
    READ_RC6VIDS = 0x05
    """Voltages of the sleep states; on gen9 the same number loads the content protection keys."""
    READ_MEM_LATENCY = 0x06
    """Data 0: levels 0 to 3; data 1: levels 4 to 7. The reply is a MemoryLatency."""
    CDCLK_CONTROL = 0x07
    """Data 3: prepare for a change of the display clock, repeated until the reply has bit 0; else a voltage level."""
    WRITE_MIN_FREQ_TABLE = 0x08
    """Ring and memory frequency to go with a GPU frequency, one call per frequency."""
    READ_MIN_FREQ_TABLE = 0x09
    READ_OC_PARAMS = 0x0C
    READ_D_COMP = 0x10
    WRITE_D_COMP = 0x11
    DE_WRITE_FREQ_REQ = 0x17
    """Display clock that Broadwell's driver has chosen."""
    DISPLAY_FREQ_CHANGE_REQ = 0x18
    """Broadwell's driver is about to change the display clock."""
    DISPLAY_IPS_CONTROL = 0x19
    DYNAMIC_DUTY_CYCLE_CONTROL = 0x1A
    """Most efficient GPU frequency; a failure is ignored."""
    SAGV_CONTROL = 0x21
    """Memory frequency switching: data 0 disables (until the reply has bit 0), 3 enables."""


class PcodeError(IntEnum):
    """Result of a command; the meaning of 2 and 3 as on gen7 and later."""

    SUCCESS = 0x00
    ILLEGAL_COMMAND = 0x01
    TIMEOUT = 0x02
    ILLEGAL_DATA = 0x03
    MIN_FREQ_TABLE_RATIO_OUT_OF_RANGE = 0x10
    UNIMPLEMENTED_COMMAND = 0xFF


class PcodeMailbox(Bits):
    """A request, as software writes it; PcodeReply is the same register when the firmware is done."""

    command = choice(0, 8, PcodeCommand, "what is asked")
    param1 = uint(8, 8, "first parameter of the command")
    param2 = uint(16, 8, "second parameter of the command")
    busy = flag(31, "the firmware is at work; software sets it with the command")


class PcodeReply(Bits):
    """The mailbox after the firmware has cleared busy."""

    error = choice(0, 8, PcodeError, "result of the command")
    busy = flag(31, "the firmware is still at work, and the error means nothing yet")


class MemoryLatency(Bits):
    """Reply to READ_MEM_LATENCY: how long memory may take to answer in each power state."""

    level_0_4 = uint(0, 8, "level 0, or 4 in the second reply", unit="us")
    level_1_5 = uint(8, 8, "level 1, or 5 in the second reply", unit="us")
    level_2_6 = uint(16, 8, "level 2, or 6 in the second reply", unit="us")
    level_3_7 = uint(24, 8, "level 3, or 7 in the second reply", unit="us")


class Pcode(RegisterBlock, source=SOURCE):
    """Mailbox and data of the power control unit."""

    mailbox = Register(0x138124, PcodeMailbox, "command and result", emulated=True, kernel_name="GEN6_PCODE_MAILBOX")
    data = Register(0x138128, int, "parameter and reply, low half", kernel_name="GEN6_PCODE_DATA")
    data1 = Register(0x13812C, int, "parameter and reply, high half", kernel_name="GEN6_PCODE_DATA1")
