"""Sources: the pixels that a drawing takes from elsewhere, from a surface or from bits that become colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..surface.rectangle import Rectangle
from ..surface.surface import Surface
from ..surface.tiling import Buffer
from .expansion import expand

__all__ = ("MonoSource", "SurfaceSource")


class SurfaceSource(NamedTuple):
    """Pixels of a surface of the destination's depth."""

    surface: Surface
    shift_x: int
    """From a column of the destination to that of the source."""
    shift_y: int

    def area(self, target: Rectangle) -> Rectangle:
        """The source's pixels for the destination's."""
        x, y = self.shift_x, self.shift_y
        return Rectangle(target.left + x, target.top + y, target.right + x, target.bottom + y)


class MonoSource(NamedTuple):
    """Bits, line after line, of which each becomes a pixel of one of two colours."""

    fetch: Callable[[int, int], Buffer]
    """Gives the bytes from the first up to the second offset."""
    left: int
    """Column of the destination that the first pixel of each line belongs to."""
    top: int
    """Row of the destination that the first line belongs to."""
    start: int
    """Bit at which the first line begins, counted from the highest of the first byte."""
    stride: int
    """Bits from a line to the next."""
    zero: bytes
    one: bytes
    transparent: bool
    """Pixels of clear bits are not written."""

    def rows(self, area: Rectangle, zero: bytes, one: bytes) -> bytes:
        """The pixels of ``area``, in the given colours."""
        pixel, width, stride = len(zero), area.width, self.stride
        first = (area.top - self.top) * stride + self.start + area.left - self.left
        if 2 * width < stride:
            lines = []
            for start in range(first, first + area.height * stride, stride):
                pixels = expand(self.fetch(start >> 3, start + width + 7 >> 3), zero, one)
                lines.append(pixels[(start & 7) * pixel : ((start & 7) + width) * pixel])
            return b"".join(lines)
        last = first + (area.height - 1) * stride + width
        pixels = expand(self.fetch(first >> 3, last + 7 >> 3), zero, one)
        begin, size = (first & 7) * pixel, width * pixel
        return b"".join([pixels[at : at + size] for at in range(begin, begin + area.height * stride * pixel, stride * pixel)])
