"""Rectangles in pixels, and what is left of one after clipping."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("Rectangle", "signed16")


def signed16(value: int) -> int:
    """The lowest 16 bits as a signed number."""
    return (value & 0xFFFF ^ 0x8000) - 0x8000


class Rectangle(NamedTuple):
    """Left and top are in it, right and bottom are not."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Columns; negative where right is left of left."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows; negative where bottom is above top."""
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        """Whether no pixel is in it."""
        return self.right <= self.left or self.bottom <= self.top

    def clipped(self, other: Rectangle) -> Rectangle:
        """What is in both."""
        return Rectangle(
            max(self.left, other.left), max(self.top, other.top), min(self.right, other.right), min(self.bottom, other.bottom)
        )

    def rows(self, first: int, last: int) -> Rectangle:
        """Rows ``first`` up to ``last``, counted from the top of this one."""
        return self._replace(top=self.top + first, bottom=self.top + last)
