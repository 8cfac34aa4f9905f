"""vfio-user messages as bytes, and a server driven with them: without a socket, or over a real one."""

from __future__ import annotations

import array
import errno
import gc
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from host_model.clock import RealClock
from host_model.hypervisor.guest_ram import GuestRam
from host_model.vfio.user.connection import MemoryReadReply, ServerConnection
from host_model.vfio.user.device_server import DeviceServer, MemoryWindow
from host_model.vfio.user.requests import Request
from host_model.vfio.user.serve import ServedDevice, VfioUserServer
from pvinfo.errors import PeerError
from pvinfo.finding import FindingLog
from pvinfo.vfio_user import (
    DMA_MAP,
    DMA_UNMAP,
    HEADER,
    IRQ_SET,
    REGION_ACCESS,
    Command,
    DmaMap,
    DmaMapFlags,
    DmaUnmap,
    DmaUnmapFlags,
    Header,
    HeaderFlags,
    IrqSet,
    IrqSetFlags,
    RegionAccess,
)

from support.plain_device import PlainDevice

NO_REPLY = 0x10
REPLY = 0x1
ERROR = 0x21
QEMU_CAPABILITIES = (
    b'{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, "max_data_xfer_size": 1048576,'
    b' "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "write_multiple": true}}\0'
)
"""What QEMU 11.1 opens with, byte for byte."""


def message(command: int, body: bytes = b"", *, number: int = 0, flags: int = 0, size: int | None = None) -> bytes:
    """A message; ``size`` is a lie about its length."""
    length = HEADER.size + len(body) if size is None else size
    return HEADER.pack(Header(number, command, length, HeaderFlags(flags), 0)) + body


def reply(command: int, body: bytes = b"", *, number: int = 0) -> bytes:
    """The reply a server gives."""
    return message(command, body, number=number, flags=REPLY)


def refusal(command: int, error: int, *, number: int = 0) -> bytes:
    """The error reply a server gives."""
    return HEADER.pack(Header(number, command, HEADER.size, HeaderFlags(ERROR), error))


def version(data: bytes = b"", *, major: int = 0, minor: int = 0, number: int = 0) -> bytes:
    """The opening."""
    return message(Command.VERSION, major.to_bytes(2, "little") + minor.to_bytes(2, "little") + data, number=number)


def region_read(region: int, offset: int, length: int, *, number: int = 0) -> bytes:
    return message(Command.REGION_READ, REGION_ACCESS.pack(RegionAccess(offset, region, length)), number=number)


def region_read_reply(region: int, offset: int, data: bytes, *, number: int = 0) -> bytes:
    return reply(Command.REGION_READ, REGION_ACCESS.pack(RegionAccess(offset, region, len(data))) + data, number=number)


def region_write(region: int, offset: int, data: bytes, *, number: int = 0, flags: int = 0) -> bytes:
    body = REGION_ACCESS.pack(RegionAccess(offset, region, len(data))) + data
    return message(Command.REGION_WRITE, body, number=number, flags=flags)


def region_write_reply(region: int, offset: int, length: int, *, number: int = 0) -> bytes:
    return reply(Command.REGION_WRITE, REGION_ACCESS.pack(RegionAccess(offset, region, length)), number=number)


def dma_map(address: int, size: int, *, offset: int = 0, flags: int = 3, argsz: int = 32, number: int = 0) -> bytes:
    body = DMA_MAP.pack(DmaMap(argsz, DmaMapFlags(flags), offset, address, size))
    return message(Command.DMA_MAP, body, number=number)


def dma_unmap(address: int, size: int, *, flags: int = 0, argsz: int = 24, number: int = 0) -> bytes:
    body = DMA_UNMAP.pack(DmaUnmap(argsz, DmaUnmapFlags(flags), address, size))
    return message(Command.DMA_UNMAP, body, number=number)


class Irq:
    """Flags of DEVICE_SET_IRQS."""

    NONE, BOOL, EVENTFD, MASK, UNMASK, TRIGGER = 1, 2, 4, 8, 16, 32


def set_irqs(irq: int, flags: int, *, start: int = 0, count: int = 0, data: bytes = b"", argsz: int | None = None) -> bytes:
    size = IRQ_SET.size + len(data) if argsz is None else argsz
    return message(Command.DEVICE_SET_IRQS, IRQ_SET.pack(IrqSet(size, IrqSetFlags(flags), irq, start, count)) + data)


def open_fds() -> int:
    """How many file descriptors this process has open, those of garbage apart."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def memfd(size: int, content: bytes = b"", *, at: int = 0) -> int:
    """An anonymous file of ``size`` bytes."""
    fd = os.memfd_create("test-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.pwrite(fd, content, at)
    return fd


class FdWatch:
    """A loop's part for interrupts: remembers what is watched."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        self.watched[fd] = ready

    def unwatch(self, fd: int) -> None:
        del self.watched[fd]


class Peer:
    """A device served without a socket: bytes in, bytes out."""

    def __init__(self, device: PlainDevice | None = None, *, opened: bool = True) -> None:
        self.device = device if device is not None else PlainDevice()
        self.ram = GuestRam()
        self.findings = FindingLog(1)
        self.watch = FdWatch()
        self.server = DeviceServer(self.device, self.ram, self.watch, self.findings)
        self.connection = ServerConnection()
        self.errors: list[PeerError] = []
        self.told: list[MemoryReadReply] = []
        if opened:
            assert self.ask(version()) == reply(Command.VERSION, bytes(4))

    def ask(self, data: bytes, fds: Sequence[int] = ()) -> bytes:
        """What the server sends in answer to ``data``, which comes in one piece with copies of ``fds``."""
        self.connection.receive(data, [os.dup(fd) for fd in fds])
        return self.work_off()

    def ask_bytewise(self, data: bytes, fds: Sequence[int] = ()) -> bytes:
        """The same, a byte at a time; the file descriptors come with the first."""
        out = self.ask(data[:1], fds)
        for index in range(1, len(data)):
            out += self.ask(data[index : index + 1])
        return out

    def work_off(self) -> bytes:
        while True:
            try:
                request = self.connection.next_request()
            except PeerError as error:
                self.errors.append(error)
                continue
            if request is None:
                return self.connection.data_to_send()
            if isinstance(request, MemoryReadReply):
                self.told.append(request)
            else:
                self._handle(request)

    def _handle(self, request: Request) -> None:
        try:
            body = self.server.handle(request)
        except PeerError as error:
            self.errors.append(error)
            self.connection.reject(request, error.errno)
        else:
            self.connection.reply(request, body)

    def close(self) -> None:
        self.connection.close()
        self.server.close()


class Received(NamedTuple):
    """What a raw client got before the server hung up, or fell silent."""

    data: bytes
    ended: bool


class Raw:
    """A raw client on a real socket, served by the same thread."""

    def __init__(self, path: Path, step: Callable[[], None], *, opened: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.socket.setblocking(False)
        self._step = step
        if opened:
            assert self.ask(version(), len(version())) == reply(Command.VERSION, bytes(4))

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        assert self.socket.sendmsg([data], ancillary) == len(data)

    def receive(self, length: int, *, timeout_s: float = 5.0) -> Received:
        """``length`` bytes, or what came until the server hung up."""
        data = bytearray()
        end = time.monotonic() + timeout_s
        while len(data) < length and time.monotonic() < end:
            self._step()
            try:
                more = self.socket.recv(length - len(data))
            except BlockingIOError:
                continue
            except ConnectionResetError:
                more = b""
            if not more:
                return Received(bytes(data), ended=True)
            data += more
        return Received(bytes(data), ended=False)

    def ask(self, data: bytes, length: int, fds: Sequence[int] = ()) -> bytes:
        """Send, and the ``length`` bytes that come back."""
        self.send(data, fds)
        return self.receive(length).data

    def close(self) -> None:
        self.socket.close()


class Served:
    """A server on a real socket in this thread. A context manager."""

    def __init__(self, folder: Path, device: PlainDevice | None = None, memory: MemoryWindow | None = None) -> None:
        self.device = device if device is not None else PlainDevice()
        self.ram = GuestRam()
        self.findings = FindingLog(1)
        self.clock = RealClock()
        self.selector = selectors.DefaultSelector()
        self.server = VfioUserServer(self.selector, self.clock)
        self.path = folder / "gpu"
        self.served: ServedDevice = self.server.listen(self.path, self.device, memory if memory is not None else self.ram, self.findings)
        self._clients: list[Raw] = []

    def step(self) -> None:
        self.server.step(0.005)

    def connect(self, *, opened: bool = True) -> Raw:
        client = Raw(self.path, self.step, opened=opened)
        self._clients.append(client)
        return client

    def until(self, condition: Callable[[], bool]) -> bool:
        """Serve until ``condition`` holds; False when it does not come to hold."""
        end = time.monotonic() + 5.0
        while not condition() and time.monotonic() < end:
            self.step()
        return condition()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.server.close()
        self.selector.close()


INVALID = errno.EINVAL
