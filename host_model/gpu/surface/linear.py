"""Windows onto linear surfaces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import final

from pvinfo.units import PAGE_SIZE

from .rectangle import Rectangle
from .stretch import Stretch, copy_pieces
from .surface import Space, Surface
from .tiling import Buffer

__all__ = ("LinearWindow",)


@final
class LinearWindow:
    """Rows of ``area``, columns counted in bytes. Raises: what the space raises for an address that leads nowhere.

    No page is translated in which there is no byte of the area.
    """

    def __init__(self, space: Space, surface: Surface, area: Rectangle, *, write: bool) -> None:
        self._width = area.width
        self._height = area.height
        pitch = surface.pitch
        first = surface.base + area.top * pitch + area.left
        self._stretches: list[Stretch] = []
        """One for all rows, or one for each."""
        self._offsets: range | None = None
        """Where each row begins in the only stretch; None where each row has its own."""
        self._seamless = pitch == area.width or area.height == 1
        if abs(pitch) - area.width >= PAGE_SIZE and area.height > 1:
            for row in range(area.height):
                self._stretches.append(Stretch(space.spans(first + row * pitch, area.width, write=write)))
            return
        extent = surface.extent(area)
        self._stretches.append(Stretch(space.spans(extent.start, extent.end - extent.start, write=write)))
        step = pitch or 1
        start = first - extent.start
        self._offsets = range(start, start + step * area.height, step) if pitch else None
        if not pitch:
            self._stretches *= area.height

    def _places(self, first: int, last: int) -> Iterator[tuple[Stretch, int]]:
        """Stretch and offset of each row."""
        if self._offsets is None:
            return zip(self._stretches[first:last], repeat(0), strict=False)
        return zip(repeat(self._stretches[0]), self._offsets[first:last], strict=False)

    def read(self, first: int, last: int) -> Buffer:
        width = self._width
        if self._seamless:
            return self._stretches[0].read(first * width, (last - first) * width)
        memory = self._stretches[0].single()
        if self._offsets is not None and memory is not None:
            return b"".join([memory[offset : offset + width] for offset in self._offsets[first:last]])
        return b"".join([stretch.read(offset, width) for stretch, offset in self._places(first, last)])

    def write(self, first: int, last: int, data: Buffer) -> None:
        width = self._width
        if self._seamless:
            self._stretches[0].write(first * width, data)
            return
        rows = memoryview(data)
        at = 0
        for stretch, offset in self._places(first, last):
            stretch.write(offset, rows[at : at + width])
            at += width

    def fill(self, pixel: bytes) -> None:
        if self._seamless:
            self._stretches[0].fill(0, self._width * self._height, pixel)
            return
        row = pixel * (self._width // len(pixel))
        for stretch, offset in self._places(0, self._height):
            stretch.write(offset, row)

    def copy_from(self, source: LinearWindow) -> None:
        """Take over all rows of a window of the same size that shares no byte with this one, without a copy between."""
        width = self._width
        if self._seamless and source._seamless:
            size = width * self._height
            copy_pieces(self._stretches[0].pieces(0, size), source._stretches[0].pieces(0, size))
            return
        for (stretch, offset), (other, start) in zip(self._places(0, self._height), source._places(0, self._height), strict=True):
            stretch.write(offset, other.read(start, width))
