"""Frames as PNG files.

Source: w3c:PNG (third edition)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from .frame import Frame

__all__ = ("png", "png_pieces")

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOR: Final = 2
_NO_FILTER: Final = b"\0"
_PIECE: Final = 1 << 18
"""Bytes of a frame that a piece stands for."""


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def png(frame: Frame, *, level: int = 1) -> bytes:
    """The frame as a PNG file with 8 bits per colour. ``level`` is that of the compression, 0 to 9."""
    return b"".join(png_pieces(frame, level=level, rows=frame.height))


def png_pieces(frame: Frame, *, level: int = 1, rows: int | None = None) -> Iterator[bytes]:
    """The same file in pieces, each of them some milliseconds of work: for who has other things to do in between.

    ``rows`` is how many a piece stands for; by default it depends on their length.
    """
    width, height = frame.width, frame.height
    yield _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _TRUE_COLOR, 0, 0, 0))
    if rows is None:
        rows = max(_PIECE // frame.pitch, 1)
    compressor = zlib.compressobj(level)
    pixels, length = memoryview(frame.pixels), 4 * width
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        if frame.pitch == length:
            band = bytes(pixels[top * length : bottom * length])
        else:
            band = b"".join([pixels[row * frame.pitch : row * frame.pitch + length] for row in range(top, bottom)])
        data = compressor.compress(_lines(band, width))
        if data:
            yield _chunk(b"IDAT", data)
    yield _chunk(b"IDAT", compressor.flush()) + _chunk(b"IEND", b"")


def _lines(band: bytes, width: int) -> bytes:
    """Rows of pixels as the file has them: red, green, blue, and the filter in front."""
    colors = bytearray(len(band) // 4 * 3)
    for component in range(3):
        colors[component::3] = band[2 - component :: 4]
    view, length = memoryview(colors), 3 * width
    lines: list[bytes | memoryview] = []
    for at in range(0, len(colors), length):
        lines += (_NO_FILTER, view[at : at + length])
    return b"".join(lines)
