"""Pixels of every format as four bytes each: blue, green, red, and one that means nothing or says how opaque they are.

Rows are converted many at a time, by operations on whole pieces of memory: slices, translations of bytes, and numbers as
long as the piece, of which each pixel is a digit. Nothing is done pixel by pixel but floating numbers and YUV.

Source: linux:include/uapi/drm/drm_fourcc.h
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from pvinfo.drm_format import DrmFormat

from ..gpu.surface.tiling import Buffer

__all__ = ("IDENTITY", "Colors", "ColorTables", "bytes_per_pixel", "corrected", "has_alpha", "is_slow", "is_yuv", "to_xrgb")

_CHUNK: Final = 1 << 16
"""Bytes that become one number: few enough to stay near the processor."""


class ColorTables(NamedTuple):
    """The pipe's palette: for each value of a component, or number of a colour, what is shown."""

    blue: bytes
    green: bytes
    red: bytes

    @classmethod
    def of_entries(cls, entries: list[int]) -> ColorTables:
        """From the 256 registers of the palette."""
        return cls(*(bytes([entry >> shift & 0xFF for entry in entries]) for shift in (0, 8, 16)))


IDENTITY: Final = ColorTables(*[bytes(range(256))] * 3)


class Colors(NamedTuple):
    """What beside the pixels decides on their colours."""

    palette: ColorTables = IDENTITY
    """For numbers of colours."""
    bt709: bool = False
    full_range: bool = False
    """YUV from 0 to 255, not from 16 to 235."""


def bytes_per_pixel(pixel_format: DrmFormat) -> int:
    """Size of a pixel; of YUV on the average of the two that share a colour."""
    return _LAYOUTS[pixel_format].size


def has_alpha(pixel_format: DrmFormat) -> bool:
    """Whether the fourth component says how opaque the pixel is."""
    return pixel_format in _WITH_ALPHA


def is_yuv(pixel_format: DrmFormat) -> bool:
    """Whether two pixels share a colour."""
    return pixel_format in _YUV_ORDERS


def is_slow(pixel_format: DrmFormat) -> bool:
    """Whether it is converted pixel by pixel, which takes fifty times as long as the others."""
    return is_yuv(pixel_format) or bytes_per_pixel(pixel_format) == 8


def to_xrgb(pixel_format: DrmFormat, rows: Buffer, colors: Colors) -> Buffer:
    """Whole pixels of ``pixel_format`` (of YUV: whole pairs) as blue, green, red, alpha. May be ``rows`` itself."""
    return _LAYOUTS[pixel_format].convert(rows, colors)


def corrected(pixels: Buffer, tables: ColorTables) -> bytearray:
    """Pixels, each component of which is looked up in ``tables``."""
    found = bytearray(pixels)
    for component, table in enumerate(tables):
        found[component::4] = found[component::4].translate(table)
    return found


# ---- 32 bits ----


def _unchanged(rows: Buffer, colors: Colors) -> Buffer:
    return rows


def _red_and_blue_swapped(rows: Buffer, colors: Colors) -> Buffer:
    found = bytearray(rows)
    found[0::4], found[2::4] = found[2::4], found[0::4]
    return found


@lru_cache(maxsize=16)
def _repeated(pixel: int, size: int) -> int:
    return int.from_bytes(pixel.to_bytes(4, "little") * (size // 4), "little")


def _ten_bits(blue_shift: int, green_shift: int, red_shift: int) -> Callable[[Buffer, Colors], Buffer]:
    """The upper eight of ten bits. A component is moved down by so many bits; up, where the number is negative."""

    def convert(rows: Buffer, colors: Colors) -> Buffer:
        view = memoryview(rows)
        found = bytearray()
        for start in range(0, len(view), _CHUNK):
            piece = view[start : start + _CHUNK]
            size = len(piece)
            number = int.from_bytes(piece, "little")
            total = number >> blue_shift & _repeated(0xFF, size) | number >> green_shift & _repeated(0xFF00, size)
            red = number << -red_shift if red_shift < 0 else number >> red_shift
            total |= red & _repeated(0xFF0000, size)
            found += total.to_bytes(size, "little")
        return found

    return convert


# ---- 16 and 8 bits ----

_BLUE_OF_LOW: Final = bytes([(low & 31) << 3 | (low & 31) >> 2 for low in range(256)])
_GREEN_OF_LOW: Final = bytes([low >> 5 << 2 for low in range(256)])
_GREEN_OF_HIGH: Final = bytes([(high & 7) << 5 | (high & 7) >> 1 for high in range(256)])
_RED_OF_HIGH: Final = bytes([high >> 3 << 3 | high >> 5 for high in range(256)])
"""Five or six bits are stretched to eight by repeating their highest ones: all ones stay all ones."""


def _rgb565(rows: Buffer, colors: Colors) -> Buffer:
    pixels = bytes(rows)
    low, high = pixels[0::2], pixels[1::2]
    count = len(low)
    green = int.from_bytes(low.translate(_GREEN_OF_LOW), "little") | int.from_bytes(high.translate(_GREEN_OF_HIGH), "little")
    found = bytearray(4 * count)
    found[0::4] = low.translate(_BLUE_OF_LOW)
    found[1::4] = green.to_bytes(count, "little")
    found[2::4] = high.translate(_RED_OF_HIGH)
    return found


def _indexed(rows: Buffer, colors: Colors) -> Buffer:
    numbers = bytes(rows)
    found = bytearray(4 * len(numbers))
    for component, table in enumerate(colors.palette):
        found[component::4] = numbers.translate(table)
    return found


# ---- 64 bits ----


@lru_cache(maxsize=1)
def _half_floats() -> bytes:
    """Eight bits for each floating number of 16: 0.0 to 1.0, anything else cut off."""
    found = bytearray(1 << 16)
    for bits in range(1 << 15):
        exponent, fraction = bits >> 10, bits & 0x3FF
        if exponent == 31:
            found[bits] = 0 if fraction else 255
        else:
            value = (fraction | 1 << 10) * 2.0 ** (exponent - 25) if exponent else fraction * 2.0**-24
            found[bits] = min(int(value * 255 + 0.5), 255)
    return bytes(found)


def _floats(order: tuple[int, int, int]) -> Callable[[Buffer, Colors], Buffer]:
    """``order``: which of the four numbers are blue, green and red."""

    def convert(rows: Buffer, colors: Colors) -> Buffer:
        values = bytes(map(_half_floats().__getitem__, memoryview(rows).cast("B").cast("H")))
        found = bytearray(len(values))
        for component, place in enumerate((*order, 3)):
            found[component::4] = values[place::4]
        return found

    return convert


# ---- YUV ----


class _YuvOrder(NamedTuple):
    """Places of the components in the four bytes of a pair."""

    first: int
    u: int
    second: int
    v: int


_YUV_ORDERS: Final = {
    DrmFormat.YUYV: _YuvOrder(0, 1, 2, 3),
    DrmFormat.UYVY: _YuvOrder(1, 0, 3, 2),
    DrmFormat.YVYU: _YuvOrder(0, 3, 2, 1),
    DrmFormat.VYUY: _YuvOrder(1, 2, 3, 0),
}

_FRACTION: Final = 16
_LOWEST: Final = -512
"""No sum of the terms below is smaller."""
_LIMITED: Final = bytes([min(max(value, 0), 255) for value in range(_LOWEST, 1024)])


class _YuvTables(NamedTuple):
    """Terms of the sums, as fixed-point numbers; those of luminance begin at :data:`_LOWEST`, and are rounded."""

    luminance: list[int]
    red_of_v: list[int]
    green_of_u: list[int]
    green_of_v: list[int]
    blue_of_u: list[int]


@lru_cache(maxsize=4)
def _yuv_tables(bt709: bool, full_range: bool) -> _YuvTables:
    """Source: itu:BT.601 (2.5.1), itu:BT.709 (3.2)"""
    red_weight, blue_weight = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    green_weight = 1 - red_weight - blue_weight
    black, luminance_range, color_range = (0, 255, 255) if full_range else (16, 219, 224)
    one = 255 * (1 << _FRACTION)

    def terms(factor: float, zero: int, add: int = 0) -> list[int]:
        return [round(factor * (value - zero)) + add for value in range(256)]

    color = 2 * one / color_range
    return _YuvTables(
        terms(one / luminance_range, black, (1 << _FRACTION - 1) - (_LOWEST << _FRACTION)),
        terms(color * (1 - red_weight), 128),
        terms(-color * blue_weight * (1 - blue_weight) / green_weight, 128),
        terms(-color * red_weight * (1 - red_weight) / green_weight, 128),
        terms(color * (1 - blue_weight), 128),
    )


def _yuv(order: _YuvOrder) -> Callable[[Buffer, Colors], Buffer]:
    def convert(rows: Buffer, colors: Colors) -> Buffer:
        tables = _yuv_tables(colors.bt709, colors.full_range)
        pairs = bytes(rows)
        u, v = pairs[order.u :: 4], pairs[order.v :: 4]
        blues = list(map(tables.blue_of_u.__getitem__, u))
        reds = list(map(tables.red_of_v.__getitem__, v))
        greens = [tables.green_of_u[a] + tables.green_of_v[b] for a, b in zip(u, v, strict=True)]
        found = bytearray(2 * len(pairs))
        for number, place in enumerate((order.first, order.second)):
            light = list(map(tables.luminance.__getitem__, pairs[place::4]))
            for component, color in enumerate((blues, greens, reds)):
                found[4 * number + component :: 8] = bytes([_LIMITED[a + b >> _FRACTION] for a, b in zip(light, color, strict=True)])
        return found

    return convert


# ---- all of them ----


class _Layout(NamedTuple):
    size: int
    convert: Callable[[Buffer, Colors], Buffer]


_LAYOUTS: Final = {
    DrmFormat.C8: _Layout(1, _indexed),
    DrmFormat.RGB565: _Layout(2, _rgb565),
    DrmFormat.XRGB8888: _Layout(4, _unchanged),
    DrmFormat.ARGB8888: _Layout(4, _unchanged),
    DrmFormat.XBGR8888: _Layout(4, _red_and_blue_swapped),
    DrmFormat.ABGR8888: _Layout(4, _red_and_blue_swapped),
    DrmFormat.XRGB2101010: _Layout(4, _ten_bits(2, 4, 6)),
    DrmFormat.XBGR2101010: _Layout(4, _ten_bits(22, 4, -14)),
    DrmFormat.XRGB16161616F: _Layout(8, _floats((0, 1, 2))),
    DrmFormat.ARGB16161616F: _Layout(8, _floats((0, 1, 2))),
    DrmFormat.XBGR16161616F: _Layout(8, _floats((2, 1, 0))),
    DrmFormat.ABGR16161616F: _Layout(8, _floats((2, 1, 0))),
    **{pixel_format: _Layout(2, _yuv(order)) for pixel_format, order in _YUV_ORDERS.items()},
}
_WITH_ALPHA: Final = frozenset((DrmFormat.ARGB8888, DrmFormat.ABGR8888, DrmFormat.ARGB16161616F, DrmFormat.ABGR16161616F))
