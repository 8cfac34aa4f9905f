"""The side-band interface: registers of the platform controller hub's clock unit, reached through a window (gen8)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Register, RegisterBlock

__all__ = ("SbiAddress", "SbiControl", "SbiDestination", "SbiOpcode", "SidebandInterface")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class SbiAddress(Bits):
    """Which register behind the window."""

    register = uint(16, 16, "its number")


class SbiOpcode(IntEnum):
    """What to do with it."""

    IO_READ = 0x2
    IO_WRITE = 0x3
    READ = 0x6
    WRITE = 0x7


class SbiDestination(IntEnum):
    """Which unit of the hub."""

    CLOCK = 0
    PHY = 1


class SbiControl(Bits):
    """Starts an access and tells how it went."""

    busy = flag(0, "write 1 to start; reads 1 until the access is over, which a driver awaits for 100 ms")
    failed = flag(1, "the access failed")
    opcode = choice(8, 8, SbiOpcode, "read or write")
    destination = choice(16, 1, SbiDestination, "unit of the hub")


class SidebandInterface(RegisterBlock, source=SOURCE):
    """The window. Broadwell's driver sets up the display's reference clocks through it."""

    address = Register(0xC6000, SbiAddress, "which register", kernel_name="SBI_ADDR")
    data = Register(0xC6004, int, "its value, to write or as read", kernel_name="SBI_DATA")
    control = Register(
        0xC6008, SbiControl,
        "starts the access and tells how it went; the mediator always succeeds at once",
        emulated=True, kernel_name="SBI_CTL_STAT",
    )  # fmt: skip
