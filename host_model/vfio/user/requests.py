"""What a client may ask for: the shape of every request, and the check that one has it."""

from __future__ import annotations

import errno
from typing import Any, Final, NamedTuple, TypeAlias

from pvinfo.errors import PeerError, WireError
from pvinfo.vfio_user import (
    DEVICE_FEATURE,
    DEVICE_INFO,
    DMA_MAP,
    DMA_UNMAP,
    HEADER,
    IRQ_INFO,
    IRQ_SET,
    MAX_DATA_SIZE,
    MAX_MESSAGE_FDS,
    MIGRATION_DATA,
    REGION_ACCESS,
    REGION_INFO,
    REGION_IO_FDS,
    WRITE_MULTI,
    WRITE_MULTI_ENTRY,
    Command,
    DeviceFeature,
    DeviceInfo,
    DmaMap,
    DmaUnmap,
    Header,
    IrqInfo,
    IrqSet,
    MigrationData,
    RegionAccess,
    RegionInfo,
    RegionIoFds,
    WriteMulti,
)
from pvinfo.wire import Codec

__all__ = ("Body", "Request", "command_of", "invalid", "parse_request")

_COMMANDS: Final = frozenset(int(command) for command in Command)
_FROM_SERVER: Final = frozenset({Command.DMA_READ, Command.DMA_WRITE})

Body: TypeAlias = (
    DeviceFeature | DeviceInfo | DmaMap | DmaUnmap | IrqInfo | IrqSet | MigrationData | RegionAccess | RegionInfo | RegionIoFds | WriteMulti
)


class Request(NamedTuple):
    """One request that is well-formed by itself. Its file descriptors belong to whoever takes it."""

    header: Header
    command: Command
    body: Body | None
    """None for DEVICE_RESET, which has none."""
    data: bytes
    """What stands behind the record."""
    fds: tuple[int, ...]


class _Shape(NamedTuple):
    """What the body of a request looks like."""

    codec: Codec[Any]
    argsz: bool
    """It says how long a reply may be; a longer body is one of a later version of VFIO, and its rest is passed over."""
    data: bool
    """Data stands behind the record."""
    fds: int
    """How many file descriptors may come along."""


_SHAPES: Final[dict[Command, _Shape]] = {
    Command.DMA_MAP: _Shape(DMA_MAP, argsz=True, data=False, fds=1),
    Command.DMA_UNMAP: _Shape(DMA_UNMAP, argsz=True, data=False, fds=0),
    Command.DEVICE_GET_INFO: _Shape(DEVICE_INFO, argsz=True, data=False, fds=0),
    Command.DEVICE_GET_REGION_INFO: _Shape(REGION_INFO, argsz=True, data=False, fds=0),
    Command.DEVICE_GET_REGION_IO_FDS: _Shape(REGION_IO_FDS, argsz=True, data=False, fds=0),
    Command.DEVICE_GET_IRQ_INFO: _Shape(IRQ_INFO, argsz=True, data=False, fds=0),
    Command.DEVICE_SET_IRQS: _Shape(IRQ_SET, argsz=True, data=True, fds=MAX_MESSAGE_FDS),
    Command.REGION_READ: _Shape(REGION_ACCESS, argsz=False, data=False, fds=0),
    Command.REGION_WRITE: _Shape(REGION_ACCESS, argsz=False, data=True, fds=0),
    Command.REGION_WRITE_MULTI: _Shape(WRITE_MULTI, argsz=False, data=True, fds=0),
    Command.DEVICE_FEATURE: _Shape(DEVICE_FEATURE, argsz=True, data=True, fds=0),
    Command.MIG_DATA_READ: _Shape(MIGRATION_DATA, argsz=True, data=False, fds=0),
    Command.MIG_DATA_WRITE: _Shape(MIGRATION_DATA, argsz=True, data=True, fds=0),
}


def invalid(rule: str) -> PeerError:
    """What is answered to a request that makes no sense."""
    return PeerError(errno.EINVAL, rule)


def command_of(header: Header) -> Command:
    """The command that ``header`` gives. Raises: PeerError when no client has one of that number."""
    if header.command not in _COMMANDS or header.command in _FROM_SERVER:
        raise invalid(f"command {header.command}: no such command goes from client to server")
    return Command(header.command)


def parse_request(header: Header, command: Command, data: bytes, fds: tuple[int, ...]) -> Request:
    """The request in the whole message ``data``.

    Raises: PeerError for one that is too short or too long, contradicts itself, or brings what it may not.
    """
    if command is Command.DEVICE_RESET:
        if len(data) > HEADER.size or fds:
            raise invalid("DEVICE_RESET is a header and nothing else")
        return Request(header, command, None, b"", ())
    shape = _SHAPES[command]
    try:
        body = shape.codec.unpack_from(data, HEADER.size)
    except WireError as error:
        raise invalid(f"{command.name}: {error}") from None
    rest = data[HEADER.size + shape.codec.size :]
    if shape.argsz and body.argsz < shape.codec.size:
        raise invalid(f"{command.name}.argsz {body.argsz}: the record alone has {shape.codec.size} bytes")
    if rest and not shape.data and not shape.argsz:
        raise invalid(f"{command.name}: {len(rest)} bytes behind a record of {shape.codec.size}")
    if len(fds) > shape.fds:
        raise invalid(f"{command.name} with {len(fds)} file descriptors: it carries {shape.fds} at most")
    _check_data(command, body, rest)
    return Request(header, command, body, rest if shape.data else b"", fds)


def _check_data(command: Command, body: Body, data: bytes) -> None:
    """Whether as much stands behind the record as it says. Raises: PeerError."""
    match body:
        case RegionAccess() if body.length > MAX_DATA_SIZE:
            raise invalid(f"{command.name} of {body.length} bytes: {MAX_DATA_SIZE} at most")
        case RegionAccess() if command is Command.REGION_WRITE and len(data) != body.length:
            raise invalid(f"REGION_WRITE of {body.length} bytes with {len(data)} bytes of data")
        case WriteMulti() if len(data) != body.wr_cnt * WRITE_MULTI_ENTRY.size:
            raise invalid(f"REGION_WRITE_MULTI of {body.wr_cnt} writes with {len(data)} bytes of data")
        case IrqSet() if len(data) != (body.number if body.flags.data_bool else 0):
            raise invalid(f"DEVICE_SET_IRQS of {body.number} interrupts with {len(data)} bytes of data")
        case _:
            pass
