"""The GGTT's entries as the physical GPU's BAR0 shows them: 64-bit entries, written whole or by halves."""

from __future__ import annotations

import mmap
from typing import final

__all__ = ("HardwareTable",)


@final
class HardwareTable:
    """The global graphics translation table.

    ``entries`` is the table itself.
    """

    def __init__(self, pages: int) -> None:
        # Fresh pages of a mapping read as zeroes, and cost nothing where no entry is ever written.
        self._bytes = memoryview(mmap.mmap(-1, 8 * pages))
        self.entries = self._bytes.cast("Q")
        self.window_size = 8 * pages
        self.entry_writes = 0
        """Writes by the host's driver, halves included."""

    def guest_read(self, offset: int, size: int) -> int:
        """``size`` bytes at ``offset`` of the window."""
        return int.from_bytes(self._bytes[offset : offset + size], "little")

    def guest_write(self, offset: int, size: int, value: int) -> None:
        """Store ``size`` bytes at ``offset`` of the window."""
        self._bytes[offset : offset + size] = value.to_bytes(size, "little")
        self.entry_writes += 1
