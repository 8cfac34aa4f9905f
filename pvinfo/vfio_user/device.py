"""What a vfio-user device is made of: regions, interrupts, features.

The numbers are those of the kernel's VFIO.

Source: linux:include/uapi/linux/vfio.h
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag, uint
from ..pci import VENDOR_INTEL
from ..wire import Codec, reserved, u16, u32, u64

__all__ = (
    "CAPABILITY_HEADER",
    "FIRST_TYPED_REGION",
    "CapabilityHeader",
    "CapabilityId",
    "DEVICE_FEATURE",
    "DEVICE_INFO",
    "DeviceFeature",
    "DeviceFlags",
    "DeviceInfo",
    "FRAME_TYPE",
    "FeatureFlags",
    "GFX_EDID_TYPE",
    "GfxRegion",
    "IO_EVENT_FD",
    "IRQ_INFO",
    "IRQ_SET",
    "IntelRegion",
    "IoEventFd",
    "IoFdType",
    "IrqAction",
    "IrqFlags",
    "IrqIndex",
    "IrqInfo",
    "IrqSet",
    "IrqSetFlags",
    "MIGRATION_DATA",
    "MigrationData",
    "OPREGION_TYPE",
    "REGION_INFO",
    "REGION_IO_FDS",
    "RegionFlags",
    "RegionIndex",
    "RegionInfo",
    "RegionIoFds",
    "RegionType",
    "SPARSE_AREA",
    "SPARSE_MMAP",
    "SparseArea",
    "SparseMmap",
    "TYPED_REGION",
    "TypedRegion",
)

VFIO: Final = "linux:include/uapi/linux/vfio.h"


class DeviceFlags(Bits):
    """What the device is. Source: vfio-user:VFIO_USER_DEVICE_GET_INFO"""

    reset = flag(0, "it understands DEVICE_RESET")
    pci = flag(1, "it is a PCI function: regions and interrupts have PCI's numbers")


class DeviceInfo(NamedTuple):
    """The device as a whole."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    flags: Annotated[DeviceFlags, u32("what the device is")]
    num_regions: Annotated[int, u32("regions, numbered from 0")]
    num_irqs: Annotated[int, u32("kinds of interrupt, numbered from 0")]


class RegionIndex(IntEnum):
    """The regions of a PCI function. Source: linux:include/uapi/linux/vfio.h"""

    BAR0 = 0
    BAR1 = 1
    BAR2 = 2
    BAR3 = 3
    BAR4 = 4
    BAR5 = 5
    ROM = 6
    CONFIG = 7
    VGA = 8


class RegionFlags(Bits):
    """What a region allows. Source: vfio-user:VFIO_USER_DEVICE_GET_REGION_INFO"""

    read = flag(0, "REGION_READ is accepted")
    write = flag(1, "REGION_WRITE is accepted")
    mmap = flag(2, "exactly one file descriptor comes with the reply, by which the client maps the region")
    caps = flag(3, "capabilities follow the record")


class RegionInfo(NamedTuple):
    """One region: a base address register's window, the ROM, or configuration space."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    flags: Annotated[RegionFlags, u32("what the region allows")]
    region: Annotated[int, u32("which region: see RegionIndex")]
    cap_offset: Annotated[int, u32("where the first capability begins, from the start of this record", unit="bytes")]
    size: Annotated[int, u64("its length; 0: the device has no such region", unit="bytes")]
    offset: Annotated[int, u64("where it begins in the file that comes along", unit="bytes")]


class CapabilityId(IntEnum):
    """What a region capability says. Source: linux:include/uapi/linux/vfio.h"""

    SPARSE_MMAP = 1
    TYPE = 2


class CapabilityHeader(NamedTuple):
    """What every capability of a region begins with."""

    id: Annotated[int, u16("see CapabilityId")]
    version: Annotated[int, u16("form of what follows")]
    next: Annotated[int, u32("where the next one begins, from the start of the region record; 0: none", unit="bytes")]


class SparseMmap(NamedTuple):
    """Only parts of the region can be mapped: as many :class:`SparseArea` follow."""

    nr_areas: Annotated[int, u32("how many areas follow")]
    rsv: Annotated[bytes, reserved(4)]


class SparseArea(NamedTuple):
    """A part of a region that can be mapped."""

    offset: Annotated[int, u64("where it begins in the region", unit="bytes")]
    size: Annotated[int, u64("its length", unit="bytes")]


class RegionType(IntEnum):
    """Who has given a device-specific region its subtype. Source: linux:include/uapi/linux/vfio.h"""

    GFX = 1
    INTEL = 1 << 31 | VENDOR_INTEL


class GfxRegion(IntEnum):
    """Subtypes of RegionType.GFX. Source: linux:include/uapi/linux/vfio.h"""

    EDID = 1


class IntelRegion(IntEnum):
    """Subtypes of RegionType.INTEL. Source: linux:include/uapi/linux/vfio.h"""

    OPREGION = 1
    HOST_BRIDGE_CONFIG = 2
    LPC_BRIDGE_CONFIG = 3
    FRAME = int.from_bytes(b"GVTF", "little")
    """A picture of the screen, as pvinfo.frame says. This one is the kit's own; Linux counts from 1."""


class TypedRegion(NamedTuple):
    """What a device-specific region is for."""

    type: Annotated[int, u32("bit 31 set: the low half is a PCI vendor id; see RegionType")]
    subtype: Annotated[int, u32("what it is within the type; see GfxRegion, IntelRegion")]


FIRST_TYPED_REGION: Final = 9
"""Device-specific regions have the numbers from here on, in any order: their TYPE capability says which is which."""
OPREGION_TYPE: Final = TypedRegion(RegionType.INTEL, IntelRegion.OPREGION)
"""The region that shows a monitor the OpRegion, for a copy of it in the guest's memory."""
GFX_EDID_TYPE: Final = TypedRegion(RegionType.GFX, GfxRegion.EDID)
"""The region by which a monitor changes what its guest sees plugged in, see :mod:`pvinfo.gfx_edid`."""
FRAME_TYPE: Final = TypedRegion(RegionType.INTEL, IntelRegion.FRAME)
"""The region that holds the picture of the guest's screen, see :mod:`pvinfo.frame`."""


class RegionIoFds(NamedTuple):
    """File descriptors for parts of a region; in the reply as many :class:`IoEventFd` follow."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    flags: Annotated[int, u32("0")]
    region: Annotated[int, u32("which region: see RegionIndex")]
    parts: Annotated[int, u32("request: 0; reply: how many parts follow")]


class IoFdType(IntEnum):
    """How an access reaches the server. Source: vfio-user:VFIO_USER_DEVICE_GET_REGION_IO_FDS"""

    IOEVENTFD = 0
    IOREGIONFD = 1
    IOEVENTFD_SHADOW = 2


class IoEventFd(NamedTuple):
    """A part of a region whose accesses go through a file descriptor."""

    offset: Annotated[int, u64("where it begins in the region", unit="bytes")]
    size: Annotated[int, u64("its length; 0: accesses of any width", unit="bytes")]
    fd_index: Annotated[int, u32("which of the file descriptors that come along")]
    type: Annotated[IoFdType, u32("how an access reaches the server")]
    flags: Annotated[int, u32("the kernel's KVM_IOEVENTFD or KVM_IOREGION flags")]
    rsv: Annotated[bytes, reserved(4)]
    match: Annotated[int, u64("value that triggers, or the server's own mark")]


class IrqIndex(IntEnum):
    """The kinds of interrupt of a PCI function. Source: linux:include/uapi/linux/vfio.h"""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


class IrqFlags(Bits):
    """How a kind of interrupt behaves. Source: vfio-user:VFIO_USER_DEVICE_GET_IRQ_INFO"""

    eventfd = flag(0, "it is delivered through event descriptors")
    maskable = flag(1, "it can be masked and unmasked by DEVICE_SET_IRQS")
    automasked = flag(2, "it masks itself when it fires, and waits for an unmask")
    noresize = flag(3, "all of this kind are connected at once; to change their number, disconnect all first")


class IrqInfo(NamedTuple):
    """One kind of interrupt."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    flags: Annotated[IrqFlags, u32("how it behaves")]
    irq: Annotated[int, u32("which kind: see IrqIndex")]
    available: Annotated[int, u32("how many interrupts of this kind there are")]


class IrqAction(IntEnum):
    """What DEVICE_SET_IRQS does: one of bits 3 to 5 of its flags. Source: vfio-user:VFIO_USER_DEVICE_SET_IRQS"""

    MASK = 1
    UNMASK = 2
    TRIGGER = 4


class IrqSetFlags(Bits):
    """What is done, and what says to which interrupts: one bit of each group. Source: vfio-user:VFIO_USER_DEVICE_SET_IRQS"""

    data_none = flag(0, "to all of the range; a range of 0 with trigger disconnects the whole kind")
    data_bool = flag(1, "to those whose byte behind the record is not 0")
    data_eventfd = flag(2, "connects the event descriptors that come along to the action; without any, disconnects them")
    action = choice(3, 3, IrqAction, "what is done")


class IrqSet(NamedTuple):
    """An action on a range of interrupts of one kind. The reply has no body."""

    argsz: Annotated[int, u32("length of this record and the bytes behind it", unit="bytes")]
    flags: Annotated[IrqSetFlags, u32("what is done")]
    irq: Annotated[int, u32("which kind: see IrqIndex")]
    start: Annotated[int, u32("first interrupt of the range")]
    number: Annotated[int, u32("length of the range")]


DEVICE_INFO: Final = Codec(DeviceInfo, doc="body of DEVICE_GET_INFO and its reply", source="vfio-user:VFIO_USER_DEVICE_GET_INFO", size=16)
REGION_INFO: Final = Codec(
    RegionInfo, doc="body of DEVICE_GET_REGION_INFO and its reply", source="vfio-user:VFIO_USER_DEVICE_GET_REGION_INFO", size=32
)
CAPABILITY_HEADER: Final = Codec(CapabilityHeader, doc="start of a region capability", source=VFIO, size=8)
SPARSE_MMAP: Final = Codec(SparseMmap, doc="region capability SPARSE_MMAP", source=VFIO, size=8)
SPARSE_AREA: Final = Codec(SparseArea, doc="an area of SPARSE_MMAP", source=VFIO, size=16)
TYPED_REGION: Final = Codec(TypedRegion, doc="region capability TYPE", source=VFIO, size=8)
REGION_IO_FDS: Final = Codec(
    RegionIoFds, doc="body of DEVICE_GET_REGION_IO_FDS and its reply", source="vfio-user:VFIO_USER_DEVICE_GET_REGION_IO_FDS", size=16
)
IO_EVENT_FD: Final = Codec(
    IoEventFd, doc="a part of a region in that reply", source="vfio-user:VFIO_USER_DEVICE_GET_REGION_IO_FDS", size=40
)
IRQ_INFO: Final = Codec(IrqInfo, doc="body of DEVICE_GET_IRQ_INFO and its reply", source="vfio-user:VFIO_USER_DEVICE_GET_IRQ_INFO", size=16)
IRQ_SET: Final = Codec(IrqSet, doc="body of DEVICE_SET_IRQS", source="vfio-user:VFIO_USER_DEVICE_SET_IRQS", size=20)


class FeatureFlags(Bits):
    """Which feature, and what to do with it. Source: vfio-user:VFIO_USER_DEVICE_FEATURE"""

    feature = uint(0, 16, "which feature")
    get = flag(16, "read it")
    set = flag(17, "change it")
    probe = flag(18, "say whether the device has it")


class DeviceFeature(NamedTuple):
    """A feature of the device; its own data follows."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    flags: Annotated[FeatureFlags, u32("which feature, and what to do with it")]


class MigrationData(NamedTuple):
    """A piece of device state; it follows in the reply of a read and in the request of a write."""

    argsz: Annotated[int, u32("request: longest reply body the client takes; reply: length of the whole", unit="bytes")]
    size: Annotated[int, u32("length of the piece; a short one in a reply is the last", unit="bytes")]


DEVICE_FEATURE: Final = Codec(DeviceFeature, doc="body of DEVICE_FEATURE", source="vfio-user:VFIO_USER_DEVICE_FEATURE", size=8)
MIGRATION_DATA: Final = Codec(
    MigrationData, doc="start of the bodies of MIG_DATA_READ and MIG_DATA_WRITE", source="vfio-user:VFIO_USER_MIG_DATA_READ", size=8
)
