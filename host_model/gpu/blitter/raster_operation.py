"""Raster operations: what is stored, bit by bit, from pattern, source and destination.

The code of an operation is its truth table: bit ``4p + 2s + d`` of it is the result for these three bits. Operands are
whole rows taken as numbers, so that one operation on numbers does the work of as many pixels as the rows have.

Source: prm:skl:vol11 (Bit-Wise Operations)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

__all__ = ("COPY_SOURCE", "OPERATIONS", "RasterOperation")

COPY_SOURCE: Final = 0xCC

_OF_TWO: Final[tuple[Callable[[int, int, int], int], ...]] = (
    lambda s, d, ones: 0,
    lambda s, d, ones: (s | d) ^ ones,
    lambda s, d, ones: d ^ s & d,
    lambda s, d, ones: s ^ ones,
    lambda s, d, ones: s ^ s & d,
    lambda s, d, ones: d ^ ones,
    lambda s, d, ones: s ^ d,
    lambda s, d, ones: s & d ^ ones,
    lambda s, d, ones: s & d,
    lambda s, d, ones: s ^ d ^ ones,
    lambda s, d, ones: d,
    lambda s, d, ones: (s ^ s & d) ^ ones,
    lambda s, d, ones: s,
    lambda s, d, ones: (d ^ s & d) ^ ones,
    lambda s, d, ones: s | d,
    lambda s, d, ones: ones,
)
"""By truth table of two bits: bit ``2s + d``."""


@final
class RasterOperation:
    """One of the 256 operations."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.needs_pattern = code >> 4 != code & 0x0F
        self.needs_source = code >> 2 & 0x33 != code & 0x33
        self.needs_destination = code >> 1 & 0x55 != code & 0x55
        # Without the pattern's bit the result is one function of the two others; where the bit is set, it differs from
        # that in what another function says.
        self._without = _OF_TWO[code & 0x0F]
        self._difference = _OF_TWO[code & 0x0F ^ code >> 4]

    def __repr__(self) -> str:
        return f"<raster operation {self.code:#04x}>"

    def without_source(self) -> RasterOperation:
        """The operation where there is no source: its bits are clear."""
        code = self.code & 0x33
        return OPERATIONS[code | code << 2]

    def without_pattern(self) -> RasterOperation:
        """The operation where there is no pattern: its bits are clear."""
        code = self.code & 0x0F
        return OPERATIONS[code | code << 4]

    def apply(self, pattern: int, source: int, destination: int, ones: int) -> int:
        """The result; ``ones`` is a number of as many bits, all set."""
        result = self._without(source, destination, ones)
        if self.needs_pattern:
            result ^= pattern & self._difference(source, destination, ones)
        return result


OPERATIONS: Final = tuple(RasterOperation(code) for code in range(256))
"""All of them, by code."""
