"""Address spaces of the GPU: what a command's graphics address leads to.

The global space is translated by the GGTT, a process's by tables in memory. Both are used alike: commands read and
write by address, bulk work asks for the memory behind a range.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol, final

__all__ = ("AddressSpace", "FaultReason", "TranslationFault")


class FaultReason(Enum):
    """Why an address leads nowhere."""

    NOT_PRESENT = "the entry is not present"
    NO_MEMORY = "there is no memory at the bus address"
    OUTSIDE = "the address is beyond the end of the space"


@final
class TranslationFault(Exception):
    """An access that the hardware cannot translate. It stays inside the GPU: the engine stops and reports it."""

    def __init__(self, address: int, level: int, reason: FaultReason, *, global_table: bool) -> None:
        self.address = address
        """Graphics address, without sign extension."""
        self.level = level
        """Of the table whose entry is at fault: 0 is the page table, or the GGTT."""
        self.reason = reason
        self.global_table = global_table
        space = "GGTT" if global_table else "PPGTT"
        super().__init__(f"{space} {address:#x}, level {level}: {reason.value}")


class AddressSpace(Protocol):
    """Memory by graphics address. Every method raises :class:`TranslationFault` for an address that leads nowhere.

    Addresses may be sign-extended from bit 47. ``read32`` and ``write32`` take dword addresses, ``read64`` and
    ``write64`` addresses of a dword too: the lowest two bits are ignored, as commands carry flags there. Values fit.
    A write to a page that may only be read is dropped.
    """

    def read(self, address: int, size: int) -> bytes:
        """A copy of ``size`` bytes."""

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Store ``data``."""

    def read32(self, address: int, /) -> int:
        """The dword at ``address``."""

    def write32(self, address: int, value: int, /) -> None:
        """Store a dword."""

    def read64(self, address: int, /) -> int:
        """The quadword at ``address``, low dword first."""

    def write64(self, address: int, value: int, /) -> None:
        """Store a quadword, low dword first."""

    def dwords(self, address: int, /) -> memoryview:
        """The whole 4 KiB page that holds ``address``, as 1024 dwords; for reading only."""

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        """The memory behind ``size`` bytes at ``address`` as few byte views as possible, in order.

        With ``write``, a page that may only be read is stood in for by a copy of it, so that what is stored there is
        lost. Views are good until the engine's next slice.
        """
