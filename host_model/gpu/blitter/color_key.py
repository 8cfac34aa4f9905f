"""Colour keys: which pixels are written goes by a range of colours, channel by channel, in source or destination.

Rows are taken apart into planes, one for each byte of a pixel, and compared a plane at a time: a channel that has bits in
two bytes is compared as two digits are.

Source: prm:snb:vol1part5 (BR00, Transparency Range Mode)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, final

from ..surface.tiling import Buffer
from .depth import Channel, Depth

__all__ = ("ColorKey", "KeyMode")


class KeyMode(IntEnum):
    """What is compared. Modes with bit 0 clear compare nothing."""

    SOURCE = 1
    """pixels whose source colour is outside the range are written"""
    SOURCE_AND_ALPHA = 3
    """the same, and alpha counts as a channel"""
    DESTINATION_AND_ALPHA = 5
    """pixels whose old colour is within the range are written, and alpha counts"""
    DESTINATION = 7
    """the same without alpha"""


@lru_cache(maxsize=256)
def _where(mask: int, low: int, high: int) -> bytes:
    """All bits set for each byte whose bits under ``mask`` are at least ``low`` and at most ``high``."""
    return bytes([0xFF if low <= byte & mask <= high else 0 for byte in range(256)])


class _Digits(NamedTuple):
    """A channel's bits in one byte of the pixel."""

    plane: int
    shift: int
    """From the bit in the byte to the bit in the pixel."""
    mask: int


def _digits(channel: Channel) -> list[_Digits]:
    """The channel's bits in each byte that has some, highest first."""
    bits = (1 << channel.width) - 1 << channel.low
    return [_Digits(plane, 8 * plane, bits >> 8 * plane & 0xFF) for plane in (3, 2, 1, 0) if bits >> 8 * plane & 0xFF]


def _compare(planes: list[bytes], digits: list[_Digits], bound: int, table: Callable[[int, int], bytes]) -> int:
    """Pixels whose channel is beyond ``bound`` or equal to it; ``table(mask, digit)`` says what is beyond in one byte."""
    beyond, equal = 0, -1
    for digit in digits:
        value = bound >> digit.shift & digit.mask
        plane = planes[digit.plane]
        beyond |= equal & int.from_bytes(plane.translate(table(digit.mask, value)), "little")
        equal &= int.from_bytes(plane.translate(_where(digit.mask, value, value)), "little")
    return beyond | equal


def _above(mask: int, digit: int) -> bytes:
    return _where(mask, digit + 1, 0xFF)


def _below(mask: int, digit: int) -> bytes:
    return _where(mask, 0, digit - 1)


@final
class ColorKey:
    """A range of colours, from ``low`` to ``high`` in every channel that counts."""

    def __init__(self, mode: KeyMode, low: int, high: int, depth: Depth) -> None:
        self.of_source = mode in (KeyMode.SOURCE, KeyMode.SOURCE_AND_ALPHA)
        """The source's colours are compared, and those within the range are not written."""
        channels = list(depth.colors)
        if depth.alpha is not None and mode in (KeyMode.SOURCE_AND_ALPHA, KeyMode.DESTINATION_AND_ALPHA):
            channels.append(depth.alpha)
        self._channels = [_digits(channel) for channel in channels]
        self._low = low
        self._high = high
        self._bytes_per_pixel = depth.bytes_per_pixel

    def writable(self, pixels: Buffer) -> int:
        """A number with all bits of the pixels set that may be written, by the colours compared."""
        size = self._bytes_per_pixel
        data = bytes(pixels)
        planes = [data[plane::size] for plane in range(size)]
        count = len(planes[0])
        ones = (1 << 8 * count) - 1
        within = ones
        for digits in self._channels:
            within &= _compare(planes, digits, self._low, _above) & _compare(planes, digits, self._high, _below)
        if self.of_source:
            within ^= ones
        plane = within.to_bytes(count, "little")
        mask = bytearray(count * size)
        for number in range(size):
            mask[number::size] = plane
        return int.from_bytes(mask, "little")
