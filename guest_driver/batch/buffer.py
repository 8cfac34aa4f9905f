"""What every kind of command has in common: a growing row of dwords."""

from __future__ import annotations

import builtins
import struct
from collections.abc import Iterable, Iterator

from pvinfo.errors import StateError, UsageError
from pvinfo.gtt_entry import canonical

__all__ = ("CommandBuffer", "place")


def place(address: int, alignment: int) -> int:
    """``address`` as commands carry it. Raises: UsageError when it is no 48-bit address, or not a multiple of ``alignment``."""
    low = address & (1 << 48) - 1
    if address not in (low, canonical(low)):
        raise UsageError(f"{address:#x} is no virtual address: those have 48 bits, of which the highest may be repeated above")
    if low % alignment:
        raise UsageError(f"{address:#x} is not a multiple of {alignment}, as this command needs it")
    return canonical(low)


def _packed(words: tuple[int, ...]) -> builtins.bytes:
    for word in words:
        if not 0 <= word <= 0xFFFF_FFFF:
            raise UsageError(f"{word:#x} is no dword")
    return struct.pack(f"<{len(words)}I", *words)


class CommandBuffer:
    """Commands, one after the other.

    A method that has no command for what it is given leaves the row as it was and raises a ValueError: a UsageError for what
    cannot be, a WireError or a plain one for a value that does not fit its bits.

    ``address`` is where the first one will stand, for whoever knows it: then :attr:`here` can be jumped to.
    """

    def __init__(self, address: int | None = None) -> None:
        self.address = address
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Dwords so far."""
        return len(self._bytes) // 4

    def __iter__(self) -> Iterator[int]:
        return iter(self.words)

    @property
    def words(self) -> tuple[int, ...]:
        """The dwords."""
        return struct.unpack(f"<{len(self)}I", self._bytes)

    @property
    def bytes(self) -> builtins.bytes:
        """The dwords as they stand in memory."""
        return builtins.bytes(self._bytes)

    @property
    def position(self) -> int:
        """Byte at which the next command will stand."""
        return len(self._bytes)

    @property
    def here(self) -> int:
        """Address at which the next command will stand. Raises: StateError when nobody has said where the first one does."""
        if self.address is None:
            raise StateError("the address of a command", "a batch without an address", "a batch made with one")
        return canonical(self.address + self.position)

    def add(self, command: builtins.bytes) -> None:
        """Append a command as it stands in memory. Raises: UsageError when it is not made of whole dwords."""
        if len(command) % 4:
            raise UsageError(f"a command of {len(command)} bytes: commands are made of dwords")
        self._bytes += command

    def raw(self, words: Iterable[int]) -> None:
        """Append dwords as they are: commands that have no method here, or no right to be executed.

        Raises: UsageError for what is no dword.
        """
        self.add(_packed(tuple(words)))

    def rewrite(self, position: int, words: Iterable[int]) -> None:
        """Replace the dwords at byte ``position``. Raises: UsageError where there are none yet, or for what is no dword."""
        row = tuple(words)
        if position % 4 or position < 0 or position + 4 * len(row) > len(self._bytes):
            raise UsageError(f"{len(row)} dwords at byte {position}: there are {len(self)} dwords")
        self._bytes[position : position + 4 * len(row)] = _packed(row)
