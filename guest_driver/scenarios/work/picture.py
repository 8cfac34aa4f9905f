"""Pictures as rows of bytes, worked out here without the driver's or the GPU's own idea of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from pvinfo.units import PAGE_SIZE

from ...batch import Rectangle
from ...buffer import BufferObject
from ...tiling import Tiling
from ..stage import Stage

__all__ = ("DEPTHS", "Picture", "any_part")

DEPTHS = (8, 16, 32)


def _pieces(tiling: Tiling, pitch: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Where memory belongs, from its first byte on: row, first byte of the row, how many bytes.

    A tile is a page: in X tiles 8 rows of 512 bytes, one below the other; in Y tiles 8 columns of 32 rows of 16 bytes.
    """
    if tiling is Tiling.LINEAR:
        yield from ((at // pitch, 0, min(pitch, size - at)) for at in range(0, size, pitch))
        return
    columns, rows, width = (1, 8, 512) if tiling is Tiling.X else (8, 32, 16)
    across = pitch // (columns * width)
    for tile in range(size // PAGE_SIZE):
        down, right = divmod(tile, across)
        for column in range(columns):
            for row in range(rows):
                yield down * rows + row, (right * columns + column) * width, width


def any_part(stage: Stage, width: int, height: int) -> Rectangle:
    """A rectangle within a surface of this size; chance says which."""
    x, y = stage.random.randrange(width), stage.random.randrange(height)
    return Rectangle(x, y, stage.random.randrange(width - x) + 1, stage.random.randrange(height - y) + 1)


@final
class Picture:
    """What the rows of a surface should hold, whatever its tiling."""

    def __init__(self, pitch: int, bits_per_pixel: int, content: bytes) -> None:
        self.pitch = pitch
        self.pixel = bits_per_pixel // 8
        self.rows = [bytearray(content[at : at + pitch]) for at in range(0, len(content), pitch)]

    @classmethod
    def noise(cls, stage: Stage, surface: BufferObject) -> Picture:
        """A picture of no meaning, and what lies in the memory of ``surface`` from now on."""
        picture = cls(surface.pitch, surface.bits_per_pixel, stage.random.randbytes(surface.size))
        surface.write(0, b"".join(picture.rows[row][at : at + count] for row, at, count in _pieces(surface.tiling, surface.pitch, surface.size)))
        return picture

    @classmethod
    def of(cls, surface: BufferObject) -> Picture:
        """The picture that lies in the memory of ``surface``."""
        memory = surface.read(0, surface.size)
        picture = cls(surface.pitch, surface.bits_per_pixel, bytes(surface.size))
        taken = 0
        for row, at, count in _pieces(surface.tiling, surface.pitch, surface.size):
            picture.rows[row][at : at + count] = memory[taken : taken + count]
            taken += count
        return picture

    def _span(self, x: int, width: int) -> slice:
        return slice(x * self.pixel, (x + width) * self.pixel)

    def fill(self, area: Rectangle, value: int) -> None:
        """Fill ``area`` with pixels of ``value``."""
        for row in self.rows[area.y : area.y + area.height]:
            row[self._span(area.x, area.width)] = value.to_bytes(self.pixel, "little") * area.width

    def copy(self, source: Picture, area: Rectangle, to: tuple[int, int]) -> None:
        """Copy ``area`` of ``source``, which may be this very picture, to the place ``to``."""
        taken = [bytes(row[source._span(area.x, area.width)]) for row in source.rows[area.y : area.y + area.height]]
        for row, pixels in zip(self.rows[to[1] :], taken, strict=False):
            row[self._span(to[0], area.width)] = pixels

    def differing(self, other: Picture) -> list[tuple[int, int]]:
        """Column and row of each pixel in which ``other`` is different."""
        return [
            (x, y)
            for y, (mine, theirs) in enumerate(zip(self.rows, other.rows, strict=True)) if mine != theirs
            for x in range(len(mine) // self.pixel) if mine[self._span(x, 1)] != theirs[self._span(x, 1)]
        ]  # fmt: skip
