"""Patterns: eight by eight pixels, repeated over the destination.

Which pixel of the pattern a pixel of the destination gets depends on the destination's coordinates and on two seeds.

Source: prm:skl:vol11 (Pattern Data), prm:snb:vol1part5 (XY_PAT_BLT, BR13)
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..surface.rectangle import Rectangle
from ..surface.tiling import Buffer
from .depth import Depth
from .expansion import expand, mask_of

__all__ = ("FIXED_PATTERNS", "Pattern", "color_pattern", "mono_pattern", "solid_pattern")


class Pattern(NamedTuple):
    """The pattern operand of a drawing."""

    lines: tuple[bytes, ...]
    """Eight pixels each; one line is repeated down the rows, else there are eight."""
    masks: tuple[bytes, ...] | None = None
    """As the lines, all bits set where a pixel is written; None: everywhere."""
    seed_x: int = 0
    """The pixel of a line that belongs to column 0 of the destination."""
    seed_y: int = 0
    """The line that belongs to row 0."""
    solid: bytes | None = None
    """The only colour, where there is only one."""

    def rows(self, area: Rectangle, lines: tuple[bytes, ...]) -> bytes:
        """The operand, or its mask, over ``area``."""
        pixel = len(lines[0]) // 8
        start = (area.left + self.seed_x) % 8 * pixel
        width = area.width * pixel
        repeats = -(-(start + width) // (8 * pixel))
        wide = [(line * repeats)[start : start + width] for line in lines]
        if len(wide) == 1:
            return wide[0] * area.height
        first = (area.top + self.seed_y) % 8
        block = b"".join(wide[first:] + wide[:first])
        whole, rest = divmod(area.height, 8)
        return block * whole + block[: rest * width]


def solid_pattern(depth: Depth, color: int) -> Pattern:
    """One colour everywhere."""
    pixel = depth.pixel(color)
    return Pattern((pixel * 8,), solid=pixel)


def color_pattern(depth: Depth, data: Buffer, seed_x: int, seed_y: int) -> Pattern:
    """A pattern of the destination's own depth, line by line."""
    size = 8 * depth.bytes_per_pixel
    return Pattern(tuple(bytes(data[line * size : (line + 1) * size]) for line in range(8)), None, seed_x, seed_y)


def mono_pattern(
    depth: Depth, data: bytes, background: int, foreground: int, seed_x: int = 0, seed_y: int = 0, *, transparent: bool = False
) -> Pattern:
    """A pattern of one byte a line; with ``transparent``, pixels of clear bits are not written."""
    zero, one = depth.pixel(background), depth.pixel(foreground)
    lines = tuple(expand(data[line : line + 1], zero, one) for line in range(8))
    masks = tuple(mask_of(data[line : line + 1], depth.bytes_per_pixel) for line in range(8)) if transparent else None
    return Pattern(lines, masks, seed_x, seed_y)


FIXED_PATTERNS: Final[dict[int, bytes]] = {
    0x0: bytes((0x00, 0x00, 0x00, 0xFF, 0x00, 0x00, 0x00, 0x00)),
    0x1: bytes((0x08,) * 8),
    0x2: bytes((0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01)),
    0x3: bytes((0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80)),
    0x4: bytes((0x08, 0x08, 0x08, 0xFF, 0x08, 0x08, 0x08, 0x08)),
    0x5: bytes((0x81, 0x42, 0x24, 0x18, 0x18, 0x24, 0x42, 0x81)),
    0x8: bytes((0x55, 0xAA) * 4),
    0x9: bytes((0xCC, 0x33) * 4),
    0xA: bytes((0x88, 0x44, 0x22, 0x11) * 2),
    0xB: bytes((0x77, 0xBB, 0xDD, 0xEE) * 2),
}
"""By the number in XY_MONO_PAT_FIXED_BLT: horizontal, vertical, two diagonals, both crosses, two screen doors, walking bits."""
