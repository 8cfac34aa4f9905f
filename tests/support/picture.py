"""PNG files read by the letter of their standard (ISO/IEC 15948), to hold what we write against: 8-bit RGB, not interlaced."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

__all__ = ("Picture", "read_png")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = 3


class Picture(NamedTuple):
    """Rows of red, green and blue bytes."""

    width: int
    height: int
    rows: list[bytes]

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        red, green, blue = self.rows[y][_CHANNELS * x : _CHANNELS * (x + 1)]
        return red, green, blue

    def cell(self, column: int, row: int, width: int, height: int) -> bytes:
        """The pixels of one cell of a grid: what a character of a text console looks like."""
        start, end = _CHANNELS * column * width, _CHANNELS * (column + 1) * width
        return b"".join(line[start:end] for line in self.rows[row * height : (row + 1) * height])


def _paeth(left: int, above: int, corner: int) -> int:
    estimate = left + above - corner
    distances = abs(estimate - left), abs(estimate - above), abs(estimate - corner)
    return (left, above, corner)[distances.index(min(distances))]


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    if kind == 0:
        return line
    known = bytearray(line)
    for at, value in enumerate(line):
        left, corner = (known[at - _CHANNELS], above[at - _CHANNELS]) if at >= _CHANNELS else (0, 0)
        predicted = {1: left, 2: above[at], 3: (left + above[at]) // 2, 4: _paeth(left, above[at], corner)}[kind]
        known[at] = (value + predicted) & 0xFF
    return bytes(known)


def read_png(data: bytes) -> Picture:
    """The picture in ``data``; an AssertionError where it breaks the standard, or is of another kind."""
    assert data.startswith(_SIGNATURE)
    at, packed, header = len(_SIGNATURE), b"", b""
    kind = b""
    while kind != b"IEND":
        (length,) = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + content), kind
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            packed += content
        at += 12 + length
    assert at == len(data)
    width, height, depth, color, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, color, compression, filtering, interlace) == (8, 2, 0, 0, 0)
    raw = zlib.decompress(packed)
    size = 1 + _CHANNELS * width
    assert len(raw) == size * height
    rows: list[bytes] = []
    above = bytes(size - 1)
    for y in range(height):
        above = _unfiltered(raw[y * size], raw[y * size + 1 : (y + 1) * size], above)
        rows.append(above)
    return Picture(width, height, rows)
