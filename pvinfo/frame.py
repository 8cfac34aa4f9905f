"""A picture of a vGPU's screen for other programs: a header, then rows of pixels, in a file, in memory that is shared, or in a region of
the device.

The same in all three: the header, and ``pitch * height`` bytes at ``pixels_offset``. In shared memory pictures follow each other
in the same place. While one is written ``sequence`` is odd; whoever reads takes it before and after the pixels, and
takes them again if it was odd or has changed. The region (type 0x80008086, subtype 0x46545647) is read by messages: a read that
begins at 0 takes a new picture, and every other read is of the one taken last; an equal ``sequence`` says that the picture is equal.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from .bits import Bits, flag
from .drm_format import DrmFormat
from .wire import Codec, raw, u32, u64

__all__ = ("FRAME_HEADER", "FRAME_MAGIC", "FRAME_VERSION", "NO_HOT_SPOT", "FrameFlags", "FrameHeader")

FRAME_MAGIC: Final = b"GVTFRAME"
FRAME_VERSION: Final = 1
NO_HOT_SPOT: Final = 0xFFFFFFFF
"""The guest has told none. Source: linux:include/uapi/linux/vfio.h"""


class FrameFlags(Bits):
    """What else is known of the picture. Source: pvinfo:frame"""

    cursor = flag(0, "there is a cursor in it, and its place is given")


class FrameHeader(NamedTuple):
    """What stands before the pixels."""

    magic: Annotated[bytes, raw(8, "GVTFRAME")]
    version: Annotated[int, u32("of this header: 1")]
    pixels_offset: Annotated[int, u32("where the pixels begin, from the start of this header", unit="bytes")]
    sequence: Annotated[int, u64("grows by two with each picture; odd while one is being written")]
    width: Annotated[int, u32("width; 0 where nothing is shown", unit="pixels")]
    height: Annotated[int, u32("height; 0 where nothing is shown", unit="lines")]
    pitch: Annotated[int, u32("distance of two rows", unit="bytes")]
    fourcc: Annotated[DrmFormat, u32("format of a pixel: XR24, which is blue, green, red and a byte without meaning", source="linux:include/uapi/drm/drm_fourcc.h")]
    size: Annotated[int, u32("length of all rows", unit="bytes")]
    flags: Annotated[FrameFlags, u32("what else is known")]
    cursor_x: Annotated[int, u32("left edge of the cursor, as a signed number", unit="pixels")]
    cursor_y: Annotated[int, u32("upper edge of the cursor, as a signed number", unit="lines")]
    x_hot: Annotated[int, u32("hot spot of the cursor from its left edge; all ones: never told", unit="pixels")]
    y_hot: Annotated[int, u32("hot spot of the cursor from its upper edge; all ones: never told", unit="lines")]


FRAME_HEADER: Final = Codec(FrameHeader, doc="a picture of a screen, before its pixels", source="pvinfo:frame", size=64)
