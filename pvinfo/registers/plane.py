"""Planes: rectangles of graphics memory that a pipe blends.

On gen9 all planes of a pipe are alike. On gen8 plane 1 is the *primary* plane and plane 2 the *sprite*: the
registers stand at the same places, but the control words differ (BroadwellPlaneControl, BroadwellSpriteControl), the stride is in
bytes, the primary plane has no size of its own, and there are no water marks here.

Most registers are latched at the next vblank after ``surf`` was written.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "PLANES_PER_PIPE",
    "AuxiliarySurface",
    "BroadwellPlaneControl",
    "BroadwellPlaneFormat",
    "BroadwellSpriteControl",
    "BroadwellSpriteFormat",
    "BufferAllocation",
    "FlipKind",
    "FlipTarget",
    "Plane",
    "PlaneAlpha",
    "PlaneControl",
    "PlaneFlip",
    "PlaneFormat",
    "PlaneKey",
    "PlaneRotation",
    "PlaneStride",
    "PlaneSurface",
    "PlaneTiling",
    "Point",
    "Size",
    "WaterMark",
    "YuvOrder",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/skl_universal_plane_regs.h"
SPRITE_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_sprite_regs.h"
I9XX_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/i9xx_plane_regs.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/reg.h"

PLANES_PER_PIPE: Final = 4


class PlaneRotation(IntEnum):
    """Turn of the picture, clockwise; the kernel's own constants count the other way.

    A surface that is shown turned by 90 or 270 degrees is mapped with its tiles turned clockwise already: the stride counts
    the tiles of a column, and place and size in the surface are those of the turned one.
    """

    DEGREES_0 = 0
    DEGREES_90 = 1
    DEGREES_180 = 2
    DEGREES_270 = 3


class PlaneAlpha(IntEnum):
    """What the fourth component means."""

    IGNORED = 0
    PREMULTIPLIED = 2
    STRAIGHT = 3
    """The hardware multiplies."""


class PlaneTiling(IntEnum):
    """Layout of the surface."""

    LINEAR = 0
    X = 1
    Y = 4
    YF = 5


class YuvOrder(IntEnum):
    """Order of components in memory."""

    YUYV = 0
    UYVY = 1
    YVYU = 2
    VYUY = 3


class PlaneKey(IntEnum):
    """What the colour key applies to."""

    NONE = 0
    SOURCE = 1
    DESTINATION = 2


class PlaneFormat(IntEnum):
    """Pixel format (gen9)."""

    YUV422 = 0x0
    NV12 = 0x1
    XRGB2101010 = 0x2
    P010 = 0x3
    XRGB8888 = 0x4
    P012 = 0x5
    XRGB16161616F = 0x6
    P016 = 0x7
    XYUV = 0x8
    INDEXED = 0xC
    RGB565 = 0xE


class PlaneControl(Bits):
    """What a plane shows and how (gen9)."""

    rotation = choice(0, 2, PlaneRotation, "turn of the picture")
    alpha = choice(4, 2, PlaneAlpha, "what the fourth component means")
    flip_horizontal = flag(8, "mirror the picture")
    async_flip = flag(9, "a new surface is shown at once, not at the next vblank")
    tiling = choice(10, 3, PlaneTiling, "layout of the surface")
    gamma_disable = flag(13, "no gamma correction of the plane's own")
    trickle_feed_disable = flag(14, "fetch in bursts")
    render_decompression = flag(15, "the surface is compressed")
    yuv_order = choice(16, 2, YuvOrder, "order of components in memory")
    yuv_bt709 = flag(18, "YUV as in BT.709, not BT.601")
    yuv420_y_plane = flag(19, "this plane holds the Y of a planar picture")
    order_rgbx = flag(20, "red in the lowest bits, not blue")
    key = choice(21, 2, PlaneKey, "what the colour key applies to")
    pipe_csc = flag(23, "colours go through the pipe's conversion")
    pixel_format = choice(24, 4, PlaneFormat, "pixel format")
    yuv_range_correction_disable = flag(28, "YUV is full range already")
    pipe_gamma = flag(30, "colours go through the pipe's gamma correction")
    enable = flag(31, "the plane is shown")


class BroadwellPlaneFormat(IntEnum):
    """Pixel format of the primary plane (gen8), by the bytes of a pixel from the lowest."""

    INDEXED8 = 0x2
    BGRX565 = 0x5
    BGRX8888 = 0x6
    RGBX101010 = 0x8
    BGRX101010 = 0xA
    RGBX161616F = 0xC
    RGBX8888 = 0xE


class BroadwellPlaneControl(Bits):
    """What the primary plane shows and how (gen8)."""

    async_flip = flag(9, "a new surface is shown at once, not at the next vblank", source=I9XX_SOURCE)
    tiled_x = flag(10, "the surface is X-tiled, not linear", source=I9XX_SOURCE)
    trickle_feed_disable = flag(14, "fetch in bursts", source=I9XX_SOURCE)
    rotate_180 = flag(15, "turn the picture upside down", source=I9XX_SOURCE)
    pipe_csc = flag(24, "colours go through the pipe's conversion", source=I9XX_SOURCE)
    pixel_format = choice(26, 4, BroadwellPlaneFormat, "pixel format", source=I9XX_SOURCE)
    pipe_gamma = flag(30, "colours go through the pipe's gamma correction", source=I9XX_SOURCE)
    enable = flag(31, "the plane is shown", source=I9XX_SOURCE)


class BroadwellSpriteFormat(IntEnum):
    """Pixel format of the sprite (gen8)."""

    YUV422 = 0
    RGBX101010 = 1
    RGBX888 = 2
    RGBX161616F = 3
    YUV444 = 4
    XR_BGR101010 = 5
    """Of extended range."""


class BroadwellSpriteControl(Bits):
    """What the sprite shows and how (gen8)."""

    key_destination = flag(2, "the sprite is shown only where the primary plane has the key's colour", source=SPRITE_SOURCE)
    tiled_x = flag(10, "the surface is X-tiled, not linear", source=SPRITE_SOURCE)
    gamma_disable = flag(13, "no gamma correction of the sprite's own", source=SPRITE_SOURCE)
    trickle_feed_disable = flag(14, "fetch in bursts", source=SPRITE_SOURCE)
    rotate_180 = flag(15, "turn the picture upside down", source=SPRITE_SOURCE)
    yuv_order = choice(16, 2, YuvOrder, "order of components in memory", source=SPRITE_SOURCE)
    yuv_bt709 = flag(18, "YUV as in BT.709, not BT.601", source=SPRITE_SOURCE)
    yuv_to_rgb_disable = flag(19, "YUV is not converted", source=SPRITE_SOURCE)
    order_rgbx = flag(20, "red in the lowest bits, not blue", source=SPRITE_SOURCE)
    key_source = flag(22, "pixels of the key's colour are not shown", source=SPRITE_SOURCE)
    pipe_csc = flag(24, "colours go through the pipe's conversion", source=SPRITE_SOURCE)
    pixel_format = choice(25, 3, BroadwellSpriteFormat, "pixel format", source=SPRITE_SOURCE)
    yuv_range_correction_disable = flag(28, "YUV is full range already", source=SPRITE_SOURCE)
    pipe_gamma = flag(30, "colours go through the pipe's gamma correction", source=SPRITE_SOURCE)
    enable = flag(31, "the sprite is shown", source=SPRITE_SOURCE)


class PlaneStride(Bits):
    """Distance of two rows (gen9); on gen8 the register holds bytes."""

    stride = uint(0, 12, "distance of two rows: in 64 bytes when linear, else in tiles (X 512 bytes, Y 128 bytes)", unit="64 bytes or tiles")


class Point(Bits):
    """A place in pixels."""

    x = uint(0, 16, "from the left", unit="pixels")
    y = uint(16, 16, "from the top", unit="lines")


class Size(Bits):
    """A size in pixels, minus one."""

    width = uint(0, 16, "width minus one", unit="pixels")
    height = uint(16, 16, "height minus one", unit="lines")


class PlaneSurface(Bits):
    """Where the picture is."""

    decrypt = flag(2, "the surface is encrypted")
    page = uint(12, 20, "graphics address", unit="4 KiB pages")


class AuxiliarySurface(Bits):
    """Where the second half of a planar or compressed picture is."""

    stride = uint(0, 12, "distance of two rows", unit="tiles")
    distance = uint(12, 20, "distance from the first half", unit="4 KiB pages")


class WaterMark(Bits):
    """How much of its buffer a plane must have filled for a power state of memory to be entered."""

    blocks = uint(0, 12, "filled part of the buffer", unit="512 bytes")
    lines = uint(14, 13, "filled part of the buffer, in lines", unit="lines")
    ignore_lines = flag(30, "only blocks count")
    enable = flag(31, "the power state may be entered")


class BufferAllocation(Bits):
    """A plane's share of the display buffer."""

    start = uint(0, 12, "first block", unit="512 bytes")
    end = uint(16, 12, "last block", unit="512 bytes")


def _plane_bases() -> dict[str, int]:
    return {
        f"PIPE_{pipe}_PLANE_{plane + 1}": 0x70180 + 0x1000 * index + 0x100 * plane
        for index, pipe in enumerate("ABC")
        for plane in range(PLANES_PER_PIPE)
    }


class Plane(RegisterBlock, bases=_plane_bases(), source=SOURCE):
    """One plane."""

    ctl = Register(0x0, PlaneControl, "what the plane shows and how; on gen8 BroadwellPlaneControl or BroadwellSpriteControl", kernel_name="PLANE_CTL")
    linear_offset = Register(0x4, int, "start of the picture in the surface (gen8)", unit="bytes", kernel_name="DSPLINOFF", source=I9XX_SOURCE)
    stride = Register(0x8, PlaneStride, "distance of two rows", kernel_name="PLANE_STRIDE")
    pos = Register(0xC, Point, "place on the screen", kernel_name="PLANE_POS")
    size = Register(0x10, Size, "size on the screen", kernel_name="PLANE_SIZE")
    keyval = Register(0x14, int, "colour key", kernel_name="PLANE_KEYVAL")
    keymsk = Register(0x18, int, "which bits of the key count", kernel_name="PLANE_KEYMSK")
    surf = Register(
        0x1C, PlaneSurface,
        "where the picture is; the write makes all the others take effect at the next vblank",
        emulated=True, kernel_name="PLANE_SURF",
    )  # fmt: skip
    keymax = Register(0x20, int, "upper end of a range of key colours", kernel_name="PLANE_KEYMAX")
    offset = Register(0x24, Point, "start of the picture in the surface", kernel_name="PLANE_OFFSET")
    surflive = Register(0x2C, PlaneSurface, "where the picture being shown is", Access.READ_ONLY, emulated=True, kernel_name="PLANE_SURFLIVE")
    aux_dist = Register(0x40, AuxiliarySurface, "where the second half of a planar or compressed picture is", kernel_name="PLANE_AUX_DIST")
    aux_offset = Register(0x44, Point, "start of the second half in the surface", kernel_name="PLANE_AUX_OFFSET")
    wm = RegisterArray(0xC0, 8, WaterMark, "water marks for power states 0 to 7 of memory", kernel_name="PLANE_WM")
    wm_trans = Register(0xE8, WaterMark, "water mark for changes of the memory frequency", kernel_name="PLANE_WM_TRANS")
    nv12_buf_cfg = Register(0xF8, BufferAllocation, "share of the display buffer for the Y of a planar picture", kernel_name="PLANE_NV12_BUF_CFG")
    buf_cfg = Register(0xFC, BufferAllocation, "share of the display buffer", kernel_name="PLANE_BUF_CFG")


class FlipKind(IntEnum):
    """When a flip takes effect."""

    SYNCHRONOUS = 0
    ASYNCHRONOUS = 1


class FlipTarget(Bits):
    """A new surface for a plane."""

    kind = choice(0, 2, FlipKind, "when it takes effect", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")
    page = uint(12, 20, "graphics address", unit="4 KiB pages", source="linux:drivers/gpu/drm/i915/gvt/handlers.c")


class PlaneFlip(
    RegisterBlock,
    bases={
        "PIPE_A_PLANE_1": 0x50080, "PIPE_B_PLANE_1": 0x50088, "PIPE_C_PLANE_1": 0x5008C,
        "PIPE_A_PLANE_2": 0x50090, "PIPE_B_PLANE_2": 0x50098, "PIPE_C_PLANE_2": 0x5009C,
    },
    source=GVT_SOURCE,
):  # fmt: skip
    """The way a flip by ring command reaches the display: the surface of plane 1 or 2 changes, the flip counter grows."""

    target = Register(0x0, FlipTarget, "a new surface for the plane", Access.WRITE_ONLY, emulated=True, kernel_name="REG_50080")
