"""Colour depths: how many bytes a pixel has, and which of its bits are one channel's."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ("BPP_8", "BPP_16_565", "BPP_16_1555", "BPP_32", "DEPTHS", "Channel", "Depth")


class Channel(NamedTuple):
    """Bits ``low`` to ``low + width - 1`` of a pixel."""

    low: int
    width: int


class Depth(NamedTuple):
    """Pixels as the 2D engine takes them."""

    name: str
    bytes_per_pixel: int
    colors: tuple[Channel, ...]
    """Red, green and blue, or the index of a palette."""
    alpha: Channel | None

    def pixel(self, color: int) -> bytes:
        """The bytes of a colour, which a command gives in a dword."""
        return color.to_bytes(4, "little")[: self.bytes_per_pixel]


BPP_8: Final = Depth("8 bits", 1, (Channel(0, 8),), None)
BPP_16_565: Final = Depth("16 bits, 565", 2, (Channel(11, 5), Channel(5, 6), Channel(0, 5)), None)
BPP_16_1555: Final = Depth("16 bits, 1555", 2, (Channel(10, 5), Channel(5, 5), Channel(0, 5)), Channel(15, 1))
BPP_32: Final = Depth("32 bits", 4, (Channel(16, 8), Channel(8, 8), Channel(0, 8)), Channel(24, 8))

DEPTHS: Final = (BPP_8, BPP_16_565, BPP_16_1555, BPP_32)
"""By the two bits of a command. Source: prm:snb:vol1part5 (BR13)"""
