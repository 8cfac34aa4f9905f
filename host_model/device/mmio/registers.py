"""A device's registers as memory."""

from __future__ import annotations

from typing import final

from pvinfo.registers.tracked import MMIO_SIZE

__all__ = ("RegisterPage",)


@final
class RegisterPage:
    """2 MiB of registers as one byte array seen as dwords; what software reads where no handler steps in.

    It is the device's side of a :class:`~pvinfo.register.RegisterBus`: handlers use the same typed blocks as a driver,
    without any policy in between.
    """

    def __init__(self) -> None:
        self.bytes = bytearray(MMIO_SIZE)
        self.dwords = memoryview(self.bytes).cast("I")

    def read32(self, offset: int, /) -> int:
        """The stored dword."""
        return self.dwords[offset >> 2]

    def write32(self, offset: int, value: int, /) -> None:
        """Store a dword of at most 32 bits."""
        self.dwords[offset >> 2] = value

    def load(self, image: bytes | memoryview, start: int = 0, end: int = MMIO_SIZE) -> None:
        """Take the bytes ``[start, end)`` of a whole register image."""
        self.bytes[start:end] = image[start:end]
