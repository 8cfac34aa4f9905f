"""A plane as VFIO tells a virtual machine monitor of it, so that it can show the guest's picture without a copy.

Source: linux:include/uapi/linux/vfio.h
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .bits import Bits, flag
from .wire import Codec, reserved, u32, u64

__all__ = ("GFX_PLANE_INFO", "DrmPlaneType", "GfxPlaneFlags", "GfxPlaneInfo")

VFIO: Final = "linux:include/uapi/linux/vfio.h"


class GfxPlaneFlags(Bits):
    """What is asked, and how the picture is to be had. Source: linux:include/uapi/linux/vfio.h"""

    probe = flag(0, "only say whether the way that the other bits name is known")
    dmabuf = flag(1, "the plane's own memory, as a shared buffer")
    region = flag(2, "a copy of the picture in a region of the device")


class DrmPlaneType(IntEnum):
    """Which plane. Source: linux:include/drm/drm_plane.h"""

    OVERLAY = 0
    PRIMARY = 1
    CURSOR = 2


class GfxPlaneInfo(NamedTuple):
    """The kernel's ``struct vfio_device_gfx_plane_info``: the first three fields are the question. All else is 0 where no such plane is shown."""

    argsz: Annotated[int, u32("length of this record", unit="bytes")]
    flags: Annotated[GfxPlaneFlags, u32("what is asked")]
    drm_plane_type: Annotated[int, u32("which plane, see DrmPlaneType")]
    drm_format: Annotated[int, u32("pixel format, see DrmFormat")]
    drm_format_mod: Annotated[int, u64("tiling, see DrmModifier")]
    width: Annotated[int, u32("width", unit="pixels")]
    height: Annotated[int, u32("height", unit="lines")]
    stride: Annotated[int, u32("distance of two rows", unit="bytes")]
    size: Annotated[int, u32("length of the buffer: whole rows of tiles", unit="bytes")]
    x_pos: Annotated[int, u32("left edge of a cursor, as a signed number", unit="pixels")]
    y_pos: Annotated[int, u32("upper edge of a cursor, as a signed number", unit="lines")]
    x_hot: Annotated[int, u32("hot spot of a cursor from its left edge; all ones: never told", unit="pixels")]
    y_hot: Annotated[int, u32("hot spot of a cursor from its upper edge; all ones: never told", unit="lines")]
    dmabuf_id: Annotated[int, u32("number by which the buffer is fetched; with a region, the region's")]
    rsv: Annotated[bytes, reserved(4)]


GFX_PLANE_INFO: Final = Codec(GfxPlaneInfo, doc="what a plane shows, and by which number its memory is had", source=VFIO, size=64)
