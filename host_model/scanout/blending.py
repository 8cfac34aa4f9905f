"""Blending: what is seen where one row of pixels lies above another. All pixels are blue, green, red and alpha."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from ..gpu.surface.tiling import Buffer

__all__ = ("ColorKey", "blended")

_LANES: Final = 0x00FF


@lru_cache(maxsize=1)
def _scaled() -> bytes:
    """``component * alpha / 255``, rounded, by ``alpha << 8 | component``."""
    return bytes([(component * alpha + 127) // 255 for alpha in range(256) for component in range(256)])


@lru_cache(maxsize=1)
def _faded() -> bytes:
    """What shines through: ``component * (255 - alpha) / 255``."""
    return bytes([(component * (255 - alpha) + 127) // 255 for alpha in range(256) for component in range(256)])


@lru_cache(maxsize=64)
def _repeated(digit: int, width: int, count: int) -> int:
    return int.from_bytes(digit.to_bytes(width, "little") * count, "little")


def _looked_up(table: bytes, row: Buffer, alpha: bytes) -> bytes:
    pairs = bytearray(2 * len(row))
    pairs[0::2] = row
    for component in range(4):
        pairs[2 * component + 1 :: 8] = alpha
    return bytes(map(table.__getitem__, memoryview(pairs).cast("H")))


def _wide(row: Buffer) -> int:
    """Bytes as digits of 16 bits."""
    lanes = bytearray(2 * len(row))
    lanes[0::2] = row
    return int.from_bytes(lanes, "little")


def _sum(one: Buffer, other: Buffer) -> bytes:
    """Byte by byte, at most 255."""
    count = len(one)
    total = _wide(one) + _wide(other)
    over = total >> 8 & _repeated(1, 2, count)
    return (total & _repeated(_LANES, 2, count) | over * _LANES).to_bytes(2 * count, "little")[0::2]


def blended(below: Buffer, above: Buffer, *, straight: bool = False) -> Buffer:
    """One row above another, by its alpha. ``straight``: its colours are yet to be multiplied with it."""
    row = bytes(above)
    alpha = row[3::4]
    if alpha.count(255) == len(alpha):
        return row
    if straight:
        scaled = bytearray(_looked_up(_scaled(), row, alpha))
        scaled[3::4] = alpha
        row = bytes(scaled)
    if not any(row):
        return below
    return _sum(_looked_up(_faded(), below, alpha), row)


class ColorKey(NamedTuple):
    """A colour that decides, pixel by pixel, which of two planes is seen."""

    color: int
    """Red in bits 23:16, green in 15:8, blue in 7:0."""
    mask: int
    """Bits that count."""
    of_below: bool
    """The upper plane is seen only where the lower one has the colour; else, where the upper one does not have it."""

    def applied(self, below: Buffer, above: Buffer, own: Buffer) -> bytes:
        """One row above another. ``own`` is the upper one as it was before it was blended."""
        size = len(above)
        count = size // 4
        upper, lower = int.from_bytes(above, "little"), int.from_bytes(below, "little")
        judged = lower if self.of_below else int.from_bytes(own, "little")
        mask = self.mask & 0xFFFFFF
        differing = (judged ^ _repeated(self.color & mask, 4, count)) & _repeated(mask, 4, count)
        # A digit that differs from the key overflows into its fourth byte, which no digit uses.
        other = (differing + _repeated(0xFFFFFF, 4, count)) >> 24 & _repeated(1, 4, count)
        shown = (_repeated(1, 4, count) ^ other if self.of_below else other) * 0xFFFFFFFF
        return (upper & shown | lower & ~shown).to_bytes(size, "little")
