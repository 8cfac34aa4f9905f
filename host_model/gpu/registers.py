"""The physical GPU's registers as a file of dwords."""

from __future__ import annotations

from typing import final

from pvinfo.registers.tracked import MMIO_SIZE

__all__ = ("RegisterFile",)


@final
class RegisterFile:
    """2 MiB of registers as one byte array seen as dwords; a :class:`~pvinfo.register.RegisterBus`."""

    def __init__(self) -> None:
        self.bytes = bytearray(MMIO_SIZE)
        self.dwords = memoryview(self.bytes).cast("I")

    def read32(self, offset: int, /) -> int:
        """The stored dword."""
        return self.dwords[offset >> 2]

    def write32(self, offset: int, value: int, /) -> None:
        """Store a dword of at most 32 bits."""
        self.dwords[offset >> 2] = value
