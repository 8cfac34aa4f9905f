"""Colour expansion: each bit of a monochrome picture becomes a pixel. The first pixel of a byte is its highest bit.

Source: prm:skl:vol11 (Monochrome Source Data), prm:snb:vol1part5 (Monochrome Pattern Memory Format)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from ..surface.tiling import Buffer

__all__ = ("expand", "mask_of")


@lru_cache(maxsize=64)
def _table(zero: bytes, one: bytes) -> Callable[[int], bytes]:
    return [b"".join([one if byte << bit & 0x80 else zero for bit in range(8)]) for byte in range(256)].__getitem__


def expand(bits: Buffer, zero: bytes, one: bytes) -> bytes:
    """Eight pixels for each byte: ``one`` where a bit is set, else ``zero``."""
    return b"".join(map(_table(zero, one), bits))


def mask_of(bits: Buffer, bytes_per_pixel: int) -> bytes:
    """Eight pixels for each byte: all bits set where the bit is set, else none."""
    return expand(bits, bytes(bytes_per_pixel), b"\xff" * bytes_per_pixel)
