"""Tiling: how the rows of a surface lie in memory.

A tile is a page. In an X tile it has 8 rows of 512 bytes, one after the other; in a Y tile 32 rows of 128 bytes, in
columns of 16 bytes. Source: prm:skl:vol5
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from pvinfo.errors import UsageError
from pvinfo.registers import FenceTiling
from pvinfo.units import PAGE_SIZE

__all__ = ("Tiling", "tiled_offset")

_COLUMN: Final = 16


class Tiling(Enum):
    """Layouts of a surface."""

    LINEAR = "linear"
    X = "X"
    Y = "Y"

    @property
    def fence(self) -> FenceTiling | None:
        """What a fence over it says; None: it needs none."""
        return {Tiling.X: FenceTiling.X, Tiling.Y: FenceTiling.Y}.get(self)

    @property
    def row_bytes(self) -> int:
        """What the pitch of a surface is a multiple of."""
        return _SHAPES[self].width

    @property
    def rows(self) -> int:
        """What the height of a surface is rounded up to."""
        return _SHAPES[self].height


class _Shape(NamedTuple):
    width: int
    height: int


_SHAPES: Final = {Tiling.LINEAR: _Shape(64, 1), Tiling.X: _Shape(512, 8), Tiling.Y: _Shape(128, 32)}


def tiled_offset(tiling: Tiling, pitch: int, x: int, y: int) -> int:
    """Byte of the memory of a surface at which byte ``x`` of row ``y`` lies. Raises: UsageError for a pitch that no such surface has."""
    width, height = _SHAPES[tiling]
    if pitch <= 0 or (tiling is not Tiling.LINEAR and pitch % width):
        raise UsageError(f"a pitch of {pitch} bytes: rows of a surface of tiling {tiling.value} are multiples of {width} bytes")
    if tiling is Tiling.LINEAR:
        return y * pitch + x
    tile = y // height * (pitch // width) + x // width
    x, y = x % width, y % height
    inside = y * width + x if tiling is Tiling.X else x // _COLUMN * _COLUMN * height + y * _COLUMN + x % _COLUMN
    return tile * PAGE_SIZE + inside
