"""ACRN's records between its hypervisor and the service VM: the buffer of I/O requests, and regions of memory.

One page holds a slot for each processor of the user VM. The hypervisor fills one in and stops the processor; the service VM
finds it there, answers it, and says so by its state alone where the hypervisor polls for that.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .wire import Codec, raw, reserved, u32, u64

__all__ = (
    "ACRN_IO_REQUEST",
    "ACRN_MMIO_REQUEST",
    "ACRN_MSI_ENTRY",
    "ACRN_PCI_REQUEST",
    "ACRN_PIO_REQUEST",
    "ACRN_VM_MEMMAP",
    "CONFIG_ADDRESS_ENABLE",
    "CONFIG_ADDRESS_PORT",
    "CONFIG_DATA_PORT",
    "IO_REQUEST_MAX",
    "AcrnDirection",
    "AcrnIoRequest",
    "AcrnMmioRequest",
    "AcrnMsiEntry",
    "AcrnPciRequest",
    "AcrnPioRequest",
    "AcrnRequestState",
    "AcrnRequestType",
    "AcrnVmMemmap",
)

SOURCE: Final = "linux:include/uapi/linux/acrn.h"

IO_REQUEST_MAX: Final = 16
"""Slots of the buffer. Source: linux:include/uapi/linux/acrn.h"""

CONFIG_ADDRESS_PORT: Final = 0xCF8
"""Which register of configuration space is meant. Source: linux:drivers/virt/acrn/ioreq.c"""
CONFIG_DATA_PORT: Final = 0xCFC
"""Four ports at which it is read and written. Source: linux:drivers/virt/acrn/ioreq.c"""
CONFIG_ADDRESS_ENABLE: Final = 1 << 31
"""Set in the address for the data ports to mean configuration space. Source: linux:drivers/virt/acrn/ioreq.c"""


class AcrnRequestState(IntEnum):
    """Whose turn it is with a slot: free, pending, processing, complete, and free again. Source: linux:include/uapi/linux/acrn.h"""

    PENDING = 0
    """the service VM's"""
    COMPLETE = 1
    """the hypervisor's, with the answer"""
    PROCESSING = 2
    """the service VM's, which has found who is to answer"""
    FREE = 3
    """the hypervisor's"""


class AcrnRequestType(IntEnum):
    """What is accessed. Source: linux:include/uapi/linux/acrn.h"""

    PORTIO = 0
    MMIO = 1
    PCICFG = 2
    """what the service VM makes of an access to the data ports"""


class AcrnDirection(IntEnum):
    """Which way. Source: linux:include/uapi/linux/acrn.h"""

    READ = 0
    WRITE = 1


class AcrnMmioRequest(NamedTuple):
    """An access to a device's memory."""

    direction: Annotated[int, u32("an AcrnDirection")]
    reserved: Annotated[int, u32("0")]
    address: Annotated[int, u64("guest-physical address")]
    size: Annotated[int, u64("width", unit="bytes")]
    value: Annotated[int, u64("what is written, or the answer")]


class AcrnPioRequest(NamedTuple):
    """An access to an I/O port."""

    direction: Annotated[int, u32("an AcrnDirection")]
    reserved: Annotated[int, u32("0")]
    address: Annotated[int, u64("port")]
    size: Annotated[int, u64("width", unit="bytes")]
    value: Annotated[int, u32("what is written, or the answer")]


class AcrnPciRequest(NamedTuple):
    """An access to configuration space. It begins as an AcrnPioRequest does, of which it is made."""

    direction: Annotated[int, u32("an AcrnDirection")]
    reserved: Annotated[bytes, reserved(12, "where a port's address stood")]
    size: Annotated[int, u64("width", unit="bytes")]
    value: Annotated[int, u32("what is written, or the answer")]
    bus: Annotated[int, u32("bus")]
    dev: Annotated[int, u32("device")]
    func: Annotated[int, u32("function")]
    reg: Annotated[int, u32("offset of the register", unit="bytes")]


class AcrnIoRequest(NamedTuple):
    """A slot of the buffer."""

    type: Annotated[int, u32("an AcrnRequestType")]
    completion_polling: Annotated[int, u32("1: the hypervisor polls for the answer, and nobody need tell it")]
    reserved0: Annotated[bytes, reserved(56)]
    request: Annotated[bytes, raw(64, "an AcrnMmioRequest, AcrnPioRequest or AcrnPciRequest")]
    reserved1: Annotated[int, u32("0")]
    kernel_handled: Annotated[int, u32("1: a client in the service VM's kernel answers it, as the mediator does")]
    processed: Annotated[int, u32("an AcrnRequestState")]
    padding: Annotated[bytes, reserved(116, "up to the next slot")]


class AcrnVmMemmap(NamedTuple):
    """A region of a user VM's memory, and where the service VM has it."""

    type: Annotated[int, u32("0: RAM, 1: a device's memory")]
    attr: Annotated[int, u32("bit 0 readable, 1 writable, 2 executable; bit 6 write-back")]
    user_vm_pa: Annotated[int, u64("guest-physical address in the user VM", unit="bytes")]
    service_vm_pa: Annotated[int, u64("guest-physical address in the service VM", unit="bytes")]
    len: Annotated[int, u64("length", unit="bytes")]


class AcrnMsiEntry(NamedTuple):
    """An interrupt for a user VM, as the message that a device would send."""

    msi_addr: Annotated[int, u64("bits 19:12: the processor")]
    msi_data: Annotated[int, u64("bits 7:0: the vector")]


ACRN_MMIO_REQUEST: Final = Codec(AcrnMmioRequest, doc="an access to a device's memory", source=SOURCE, size=32)
ACRN_PIO_REQUEST: Final = Codec(AcrnPioRequest, doc="an access to an I/O port", source=SOURCE, size=28)
ACRN_PCI_REQUEST: Final = Codec(AcrnPciRequest, doc="an access to configuration space", source=SOURCE, size=44)
ACRN_IO_REQUEST: Final = Codec(AcrnIoRequest, doc="a slot of the buffer that hypervisor and service VM share", source=SOURCE, size=256)
"""The slot's number is the number of the processor that waits."""
ACRN_VM_MEMMAP: Final = Codec(AcrnVmMemmap, doc="a region of a user VM's memory", source=SOURCE, size=32)
ACRN_MSI_ENTRY: Final = Codec(AcrnMsiEntry, doc="an interrupt for a user VM", source=SOURCE, size=16)
