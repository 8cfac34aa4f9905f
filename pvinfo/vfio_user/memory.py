"""Guest memory as vfio-user announces it to the device.

Source: vfio-user:VFIO_USER_DMA_MAP
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from ..bits import Bits, flag
from ..wire import Codec, u32, u64

__all__ = (
    "DMA_ACCESS",
    "DMA_MAP",
    "DMA_UNMAP",
    "DmaAccess",
    "DmaMap",
    "DmaMapFlags",
    "DmaUnmap",
    "DmaUnmapFlags",
    "MAX_DMA_MAPS",
)

MAX_DMA_MAPS: Final = 0xFFFF
"""Memory maps at one time unless the peer says otherwise. Source: vfio-user:VFIO_USER_VERSION"""


class DmaMapFlags(Bits):
    """How the device may use mapped memory. Source: vfio-user:VFIO_USER_DMA_MAP"""

    readable = flag(0, "the device may read it")
    writable = flag(1, "the device may write it")
    mmap = flag(2, "it is to be mapped by the file descriptor that comes along")
    file_io = flag(3, "it is to be read and written through the file descriptor that comes along")


class DmaMap(NamedTuple):
    """Guest memory that the device may now reach. The reply has no body."""

    argsz: Annotated[int, u32("length of this record", unit="bytes")]
    flags: Annotated[DmaMapFlags, u32("how the device may use it")]
    offset: Annotated[int, u64("where it begins in the file that comes along", unit="bytes")]
    address: Annotated[int, u64("its guest-physical address")]
    size: Annotated[int, u64("its length", unit="bytes")]


class DmaUnmapFlags(Bits):
    """Unused in the protocol; the kernel's VFIO and older peers know two. Source: linux:include/uapi/linux/vfio.h"""

    get_dirty_bitmap = flag(0, "answer with the pages that the device wrote")
    all = flag(1, "every map; address and size are 0")


class DmaUnmap(NamedTuple):
    """Guest memory that is about to go: exactly one earlier map. The reply repeats this record."""

    argsz: Annotated[int, u32("longest reply body that the client takes", unit="bytes")]
    flags: Annotated[DmaUnmapFlags, u32("0")]
    address: Annotated[int, u64("its guest-physical address")]
    size: Annotated[int, u64("its length", unit="bytes")]


class DmaAccess(NamedTuple):
    """An access of the device to guest memory by message. Data stands behind a read's reply and a write's request."""

    address: Annotated[int, u64("guest-physical address")]
    length: Annotated[int, u64("length of the data", unit="bytes")]


DMA_MAP: Final = Codec(DmaMap, doc="body of DMA_MAP", source="vfio-user:VFIO_USER_DMA_MAP", size=32)
DMA_UNMAP: Final = Codec(DmaUnmap, doc="body of DMA_UNMAP and of its reply", source="vfio-user:VFIO_USER_DMA_UNMAP", size=24)
DMA_ACCESS: Final = Codec(DmaAccess, doc="body of DMA_READ, DMA_WRITE and their replies", source="vfio-user:VFIO_USER_DMA_READ", size=16)
