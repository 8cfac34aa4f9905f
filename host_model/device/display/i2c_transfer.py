"""What the I2C controller is doing: one transfer to a target, four bytes at a time."""

from __future__ import annotations

from typing import Final, final

from .ddc import EdidMemory

__all__ = ("I2cTransfer",)

_DWORD: Final = 4


@final
class I2cTransfer:
    """The controller's transfer, if one is under way: bytes still to go, and what happens after the last one."""

    def __init__(self) -> None:
        self._memory: EdidMemory | None = None
        self.left = 0
        """Bytes still to go."""
        self.reading = False
        self.stops = False
        """The bus is let go of after the last byte."""
        self.waits = False
        """The bus is held after the last byte, and the controller says so."""

    @property
    def active(self) -> bool:
        """The bus is in use."""
        return self._memory is not None

    def take_over(self, memory: EdidMemory | None, left: int, *, reading: bool, stops: bool, waits: bool) -> None:
        """Go on where another controller has stood; without a ``memory`` nothing is under way."""
        self._memory = memory
        self.left, self.reading, self.stops, self.waits = left, reading, stops, waits

    def begin(self, memory: EdidMemory, address: int, index: bytes, count: int, *, reading: bool, stops: bool, waits: bool) -> bool:
        """Address the target, send ``index`` if there is any, and be ready for ``count`` bytes. Whether the target answered."""
        self._memory = None
        self.left = 0
        if index or not reading:
            if not memory.start(address, reading=False):
                return False
            for byte in index:
                memory.write(byte)
        if reading and not memory.start(address, reading=True):
            return False
        self._memory = memory
        self.left, self.reading, self.stops, self.waits = count, reading, stops, waits
        self._end_if_over()
        return True

    def read(self) -> int:
        """The next bytes, at most four, the first in bits 7:0."""
        value = 0
        if self._memory is not None:
            for position in range(min(self.left, _DWORD)):
                value |= self._memory.read() << 8 * position
        self._count()
        return value

    def write(self, value: int) -> None:
        """The next bytes, at most four, the first in bits 7:0."""
        if self._memory is not None:
            for position in range(min(self.left, _DWORD)):
                self._memory.write(value >> 8 * position & 0xFF)
        self._count()

    def _count(self) -> None:
        self.left -= min(self.left, _DWORD)
        self._end_if_over()

    def _end_if_over(self) -> None:
        if not self.left and self.stops:
            self.stop()

    def stop(self) -> None:
        """Let go of the bus; what was under way is over."""
        if self._memory is not None:
            self._memory.stop()
        self._memory = None
        self.left = 0
