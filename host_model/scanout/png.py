"""Frames as PNG files.

Source: w3c:PNG (third edition)
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from .frame import Frame

__all__ = ("png",)

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOR: Final = 2
_NO_FILTER: Final = b"\0"


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def png(frame: Frame, *, level: int = 1) -> bytes:
    """The frame as a PNG file with 8 bits per colour. ``level`` is that of the compression, 0 to 9."""
    width, height = frame.width, frame.height
    pixels = frame.pixels
    if frame.pitch != 4 * width:
        pixels = bytearray().join([memoryview(pixels)[at : at + 4 * width] for at in range(0, height * frame.pitch, frame.pitch)])
    colors = bytearray(3 * width * height)
    for component in range(3):
        colors[component::3] = pixels[2 - component :: 4]
    view, length = memoryview(colors), 3 * width
    lines: list[bytes | memoryview] = []
    for at in range(0, len(colors), length):
        lines += (_NO_FILTER, view[at : at + length])
    header = struct.pack(">IIBBBBB", width, height, 8, _TRUE_COLOR, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"".join(lines), level)) + _chunk(b"IEND", b"")
