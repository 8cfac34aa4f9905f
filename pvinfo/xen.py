"""Xen's records between a domain and who models its devices: I/O requests, and the types of a domain's memory.

A processor of the domain that touches a device fills in its own request of the shared page, tells so by its event channel,
and stands still until the answer is there.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .bits import Bits, choice, flag
from .units import PAGE_SIZE
from .wire import Codec, u8, u16, u32, u64

__all__ = (
    "IO_REQUEST",
    "REQUESTS_PER_PAGE",
    "IoRequest",
    "IoRequestFlags",
    "IoRequestState",
    "IoRequestType",
    "MemoryType",
    "PciConfigAddress",
)

SOURCE: Final = "xen:xen/include/public/hvm/ioreq.h"
MEMORY_SOURCE: Final = "xen:xen/include/public/hvm/hvm_op.h"


class IoRequestState(IntEnum):
    """Whose turn it is with a request. The order is that of a request's life, which then begins anew."""

    NONE = 0
    """the processor's: nothing is asked"""
    READY = 1
    """the server's: the processor waits"""
    IN_PROCESS = 2
    """the server has taken it up"""
    RESPONSE_READY = 3
    """the processor's: the answer is there"""


class IoRequestType(IntEnum):
    """What is accessed."""

    PIO = 0
    """I/O ports"""
    COPY = 1
    """memory of a device, or memory that the server watches"""
    PCI_CONFIG = 2
    """configuration space: the address is a PciConfigAddress"""
    TIMEOFFSET = 7
    INVALIDATE = 8
    """the server's cached maps of the domain's memory are void"""


class IoRequestFlags(Bits):
    """State and way of a request, one byte."""

    state = choice(0, 4, IoRequestState, "whose turn it is", source=SOURCE)
    data_is_ptr = flag(4, "the data are in the domain's memory, at the address that stands for them", source=SOURCE)
    read = flag(5, "the domain reads", source=SOURCE)
    down = flag(6, "repeated downwards", source=SOURCE)


class IoRequest(NamedTuple):
    """One access that a processor waits for."""

    addr: Annotated[int, u64("guest-physical address, I/O port, or a PciConfigAddress")]
    data: Annotated[int, u64("what is written, or the answer; or where in the domain's memory it is")]
    rep_count: Annotated[int, u32("repetitions")]
    size: Annotated[int, u32("width of one of them", unit="bytes")]
    vp_eport: Annotated[int, u32("the processor's event channel, by its port at the server's end")]
    pad0: Annotated[int, u16("0")]
    flags: Annotated[int, u8("an IoRequestFlags")]
    type: Annotated[int, u8("an IoRequestType")]


IO_REQUEST: Final = Codec(IoRequest, doc="one access of a processor to a device that is modelled elsewhere", source=SOURCE, size=32)
"""The shared page is a row of these, one for each processor."""

REQUESTS_PER_PAGE: Final = PAGE_SIZE // IO_REQUEST.size


class PciConfigAddress(NamedTuple):
    """A register of a PCI function as a request names it."""

    segment: int
    bus: int
    device: int
    function: int
    offset: int

    @property
    def packed(self) -> int:
        """As it stands in a request. Source: xen:xen/include/public/hvm/ioreq.h"""
        return self.segment << 48 | self.bus << 40 | self.device << 35 | self.function << 32 | self.offset

    @classmethod
    def unpack(cls, packed: int) -> PciConfigAddress:
        """What a request's address names."""
        return cls(packed >> 48 & 0xFFFF, packed >> 40 & 0xFF, packed >> 35 & 0x1F, packed >> 32 & 7, packed & 0xFFFFFFFF)


class MemoryType(IntEnum):
    """What a page of a domain is to its processors. Source: xen:xen/include/public/hvm/hvm_op.h"""

    RAM_RW = 0
    RAM_RO = 1
    """writes are dropped"""
    MMIO_DM = 2
    """reads and writes go to a server"""
    UNUSED = 3
    IOREQ_SERVER = 4
    """memory whose writes go to the server that has claimed the type; pages turn to it from RAM_RW and back alone"""
