"""Surfaces: rows of pixels in graphics memory, and windows onto a rectangle of them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from .rectangle import Rectangle
from .tiling import Buffer, Tiling

__all__ = ("Extent", "Space", "Surface", "Window")


class Space(Protocol):
    """The part of an address space that bulk work needs."""

    def spans(self, address: int, size: int, *, write: bool) -> list[memoryview]:
        """The memory behind a range of graphics addresses, in order."""


class Extent(NamedTuple):
    """Graphics addresses from ``start`` up to ``end``."""

    start: int
    end: int

    def meets(self, other: Extent) -> bool:
        """Whether an address is in both."""
        return self.start < other.end and other.start < self.end


class Surface(NamedTuple):
    """Where the pixel at column 0, row 0 is, and how to get from there to any other."""

    base: int
    pitch: int
    """Bytes from a row to the next; may be negative."""
    tiling: Tiling | None
    """None: linear."""

    def extent(self, area: Rectangle) -> Extent:
        """The addresses among which all bytes of ``area`` are, columns counted in bytes."""
        if self.tiling is None:
            first = self.base + area.top * self.pitch + area.left
            last = first + (area.height - 1) * self.pitch
            return Extent(min(first, last), max(first, last) + area.width)
        tiling = self.tiling
        first = self.base + area.top // tiling.height * tiling.height * self.pitch
        last = self.base + (area.bottom - 1) // tiling.height * tiling.height * self.pitch
        left, right = area.left // tiling.width, -(-area.right // tiling.width)
        return Extent(min(first, last) + left * tiling.size, max(first, last) + right * tiling.size)

    def rows_overlap(self, area: Rectangle) -> bool:
        """Whether two rows of ``area``, columns counted in bytes, share a byte of memory."""
        if self.tiling is None:
            return area.height > 1 and abs(self.pitch) < area.width
        tiling = self.tiling
        tiles = -(-area.right // tiling.width) - area.left // tiling.width
        tile_rows = -(-area.bottom // tiling.height) - area.top // tiling.height
        return tile_rows > 1 and abs(self.pitch) < tiles * tiling.width


class Window(Protocol):
    """A rectangle of a surface, already translated. Rows are counted from its top and have no gaps between them."""

    def read(self, first: int, last: int) -> Buffer:
        """Rows ``first`` up to ``last``; may be the memory itself, which changes with it."""

    def write(self, first: int, last: int, data: Buffer) -> None:
        """Store rows."""

    def fill(self, pixel: bytes) -> None:
        """Store ``pixel`` everywhere."""
