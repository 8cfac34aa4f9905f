"""Pixel formats and layouts as Linux names them to whoever shows a picture: four letters, and a modifier for the tiling.

Source: linux:include/uapi/drm/drm_fourcc.h
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ("DrmFormat", "DrmModifier")


def _letters(code: str) -> int:
    return int.from_bytes(code.encode("ascii"), "little")


class DrmFormat(IntEnum):
    """A pixel format. Components are named from the highest bits of a little-endian pixel to the lowest."""

    C8 = _letters("C8  ")
    """A number of a palette."""
    RGB565 = _letters("RG16")
    XRGB8888 = _letters("XR24")
    XBGR8888 = _letters("XB24")
    ARGB8888 = _letters("AR24")
    ABGR8888 = _letters("AB24")
    XRGB2101010 = _letters("XR30")
    XBGR2101010 = _letters("XB30")
    XRGB16161616F = _letters("XR4H")
    XBGR16161616F = _letters("XB4H")
    ARGB16161616F = _letters("AR4H")
    ABGR16161616F = _letters("AB4H")
    YUYV = _letters("YUYV")
    """Two pixels with one colour, in the order of bytes in memory; so are the three below."""
    UYVY = _letters("UYVY")
    YVYU = _letters("YVYU")
    VYUY = _letters("VYUY")

    @property
    def letters(self) -> str:
        """The four letters, without spaces."""
        return self.to_bytes(4, "little").decode("ascii").rstrip()


class DrmModifier(IntEnum):
    """How rows lie in memory."""

    LINEAR = 0
    I915_X_TILED = 1 << 56 | 1
    I915_Y_TILED = 1 << 56 | 2
    I915_YF_TILED = 1 << 56 | 3
