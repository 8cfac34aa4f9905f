"""What every vfio-user message begins with.

Source: vfio-user:Header
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag
from ..units import MIB
from ..wire import Codec, u16, u32

__all__ = (
    "COMMAND_DOC",
    "Command",
    "HEADER",
    "Header",
    "HeaderFlags",
    "MAX_DATA_SIZE",
    "MAX_MESSAGE_FDS",
    "MAX_MESSAGE_SIZE",
    "MessageType",
)

MAX_DATA_SIZE: Final = 1 * MIB
"""Bytes that one message may transfer unless the peer says otherwise. Source: vfio-user:VFIO_USER_VERSION"""
MAX_MESSAGE_SIZE: Final = MAX_DATA_SIZE + 32
"""Header, the longest record before data, and the data: the longest message that this kit sends or accepts."""
MAX_MESSAGE_FDS: Final = 16
"""File descriptors beside one message; QEMU accepts no larger announcement. Source: qemu:hw/vfio-user/proxy.h"""


class Command(IntEnum):
    """What a message is about. Number 14 was given back (it tracked dirty pages). Source: vfio-user:Commands"""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    REGION_WRITE_MULTI = 15
    DEVICE_FEATURE = 16
    MIG_DATA_READ = 17
    MIG_DATA_WRITE = 18


COMMAND_DOC: Final[dict[Command, str]] = {
    Command.VERSION: "the first message: proposes a version and capabilities, as JSON behind the record",
    Command.DMA_MAP: "the device may now reach this guest memory; a file descriptor comes along when it can be mapped",
    Command.DMA_UNMAP: "this guest memory is about to go; the server has let go of it when it replies",
    Command.DEVICE_GET_INFO: "what the device is, and how many regions and interrupts it has",
    Command.DEVICE_GET_REGION_INFO: "size and properties of one region, capabilities behind the record",
    Command.DEVICE_GET_REGION_IO_FDS: "file descriptors through which accesses reach the server without the client",
    Command.DEVICE_GET_IRQ_INFO: "count and properties of one kind of interrupt",
    Command.DEVICE_SET_IRQS: "connects, masks, unmasks or fires interrupts; event descriptors come along",
    Command.REGION_READ: "reads a region; the data stands behind the record in the reply",
    Command.REGION_WRITE: "writes a region; the data stands behind the record in the request",
    Command.DMA_READ: "server to client: reads guest memory that cannot be mapped",
    Command.DMA_WRITE: "server to client: writes guest memory that cannot be mapped",
    Command.DEVICE_RESET: "puts the device into the state after power-on; nothing but the header",
    Command.REGION_WRITE_MULTI: "several small writes in one message, in order",
    Command.DEVICE_FEATURE: "asks for, reads or sets a feature; all known ones serve migration",
    Command.MIG_DATA_READ: "reads the device state that is to be migrated",
    Command.MIG_DATA_WRITE: "writes the device state that was migrated",
}


class MessageType(IntEnum):
    """Which way a message goes. Source: vfio-user:Header"""

    COMMAND = 0
    REPLY = 1


class HeaderFlags(Bits):
    """Properties of a message. Source: vfio-user:Header"""

    type = choice(0, 4, MessageType, "command or reply")
    no_reply = flag(4, "in a command: it must not be answered")
    error = flag(5, "in a reply: the command failed, errno says why, and nothing follows the header")


class Header(NamedTuple):
    """What every message begins with."""

    id: Annotated[int, u16("chosen by who sends the command, echoed in the reply; may repeat")]
    command: Annotated[int, u16("see Command; echoed in the reply")]
    size: Annotated[int, u32("length of the message, header included", unit="bytes")]
    flags: Annotated[HeaderFlags, u32("properties of the message")]
    errno: Annotated[int, u32("in an error reply: the system's error number, or 0")]


HEADER: Final = Codec(Header, doc="the first 16 bytes of every message", source="vfio-user:Header", size=16)
