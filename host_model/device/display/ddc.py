"""A monitor's end of the display data channel: an I2C memory that holds its EDID.

The memory answers at 0x50. The first byte written there says where reading begins; it goes on from byte to byte, and back to
the first after 256. A byte written to 0x30 before, in the same transaction, chooses which 256 bytes are meant.

Source: vesa:E-DDC:1.2
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

__all__ = ("EDID_ADDRESS", "SEGMENT_ADDRESS", "DdcState", "EdidMemory")

EDID_ADDRESS: Final = 0x50
SEGMENT_ADDRESS: Final = 0x30
_SEGMENT_SIZE: Final = 256


class DdcState(NamedTuple):
    """Where the transaction with a memory stands."""

    address: int
    """-1: there is none."""
    reading: bool
    segment: int
    place: int
    expects_index: bool


@final
class EdidMemory:
    """The memory of one plugged-in monitor, as its I2C bus sees it: :meth:`start`, then bytes, then :meth:`stop`."""

    def __init__(self, edid: bytes) -> None:
        self._edid = edid
        self._address = -1
        self._reading = False
        self._segment = 0
        self._index = 0
        self._expects_index = False

    @property
    def state(self) -> DdcState:
        """Where the transaction stands."""
        return DdcState(self._address, self._reading, self._segment, self._index, self._expects_index)

    def take_over(self, state: DdcState) -> None:
        """Go on where another memory has stood."""
        self._address, self._reading, self._segment, self._index, self._expects_index = state

    @property
    def open(self) -> bool:
        """A transaction is under way."""
        return self._address >= 0

    def is_open_for(self, address: int, *, reading: bool) -> bool:
        """The transaction under way addresses this target in this direction."""
        return self._address == address and self._reading == reading

    def start(self, address: int, *, reading: bool) -> bool:
        """Begin a transaction, or go over to another address or direction within it. Whether anybody answers there."""
        if address != EDID_ADDRESS and (address != SEGMENT_ADDRESS or reading):
            self.stop()
            return False
        self._address = address
        self._reading = reading
        self._expects_index = not reading
        return True

    def write(self, byte: int) -> None:
        """Take a byte: the segment, or the index; the memory itself cannot be written."""
        if self._reading or not self._expects_index:
            return
        if self._address == SEGMENT_ADDRESS:
            self._segment = byte
        elif self._address == EDID_ADDRESS:
            self._index = byte
        self._expects_index = False

    def read(self) -> int:
        """The next byte; 0 past the last block."""
        place = self._segment * _SEGMENT_SIZE + self._index
        self._index = (self._index + 1) % _SEGMENT_SIZE
        return self._edid[place] if place < len(self._edid) else 0

    def stop(self) -> None:
        """End the transaction; the next one means the first segment again."""
        self._address = -1
        self._segment = 0
