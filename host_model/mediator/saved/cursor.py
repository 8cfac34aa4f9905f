"""A section's contents, read from the first byte to the last."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar, final

from pvinfo.errors import RestoreRefused
from pvinfo.wire import Codec

__all__ = ("Cursor",)

R = TypeVar("R", bound=tuple[Any, ...])


@final
class Cursor:
    """What is left to read of one section. All methods raise RestoreRefused when it does not hold what is asked for."""

    def __init__(self, section: str, data: bytes) -> None:
        self.section = section
        self._data = data
        self._at = 0

    def bytes(self, size: int) -> bytes:
        """So many bytes."""
        end = self._at + size
        self.require(end <= len(self._data), "length", len(self._data), f"{end} bytes at least")
        taken, self._at = self._data[self._at : end], end
        return taken

    def record(self, codec: Codec[R]) -> R:
        """One record. Raises also: WireError for a value outside its closed set."""
        return codec.unpack_from(self.bytes(codec.size))

    def records(self, codec: Codec[R], count: int) -> list[R]:
        """So many records."""
        data = self.bytes(codec.size * count)
        return [codec.unpack_from(data, codec.size * number) for number in range(count)]

    def rest(self, codec: Codec[R]) -> list[R]:
        """Records up to the end."""
        left = len(self._data) - self._at
        self.require(left % codec.size == 0, "length", len(self._data), f"whole records of {codec.size} bytes")
        return self.records(codec, left // codec.size)

    def end(self) -> None:
        """There is nothing more."""
        self.require(self._at == len(self._data), "length", len(self._data), f"{self._at} bytes")

    def require(self, holds: bool, what: str, value: object, wanted: str) -> None:
        """A rule of the contents."""
        if not holds:
            raise RestoreRefused("malformed", f"{what} of section {self.section!r}", value, wanted)

    def member(self, value: str, known: Collection[str], what: str) -> str:
        """A name out of a closed set."""
        self.require(value in known, what, repr(value), f"one of {', '.join(map(repr, known))}")
        return value
