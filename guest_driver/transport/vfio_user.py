"""A machine whose GPU is served by another process over vfio-user.

::

    with connect(Path("vgpu.sock"), 64 * MIB) as machine:
        machine.gpu.bar(0).read32(0x78000)

Nothing of the guest driver knows the difference: :class:`VfioUserMachine` is a :class:`~pvinfo.bus.Machine`. Its RAM is
shared with the server, its interrupts come by an event descriptor, and its time is real.
"""

from __future__ import annotations

import errno
import math
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, final

from pvinfo.bus import ConfigSpace, Region
from pvinfo.errors import PeerError, SetupError, UsageError, WireError
from pvinfo.vfio_user import (
    DEVICE_INFO,
    DMA_MAP,
    IRQ_SET,
    REGION_INFO,
    Command,
    DeviceFlags,
    DeviceInfo,
    DmaMap,
    DmaMapFlags,
    IrqAction,
    IrqIndex,
    IrqSet,
    IrqSetFlags,
    RegionFlags,
    RegionIndex,
    RegionInfo,
)

from .client import VfioUserClient
from .memory import SharedRam

__all__ = ("VfioUserMachine", "connect")

_REPLY_TIMEOUT_S: Final = 10.0
_MILLISECOND_NS: Final = 1_000_000


@final
class RemoteConfig:
    """Configuration space behind the connection; a :class:`~pvinfo.bus.ConfigSpace`."""

    def __init__(self, client: VfioUserClient) -> None:
        self._client = client

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(_read(self._client, RegionIndex.CONFIG, offset, size), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        _write(self._client, RegionIndex.CONFIG, offset, size, value)


@final
class RemoteRegion:
    """A base address register's window behind the connection; a :class:`~pvinfo.bus.Region`.

    Writes are posted, as on a bus: they are done before any later read is answered.
    """

    def __init__(self, client: VfioUserClient, index: int, size: int) -> None:
        self.size = size
        self._client = client
        self._index = index

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(_read(self._client, self._index, offset, size), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self._client.write(self._index, offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"), posted=True)

    def read32(self, offset: int, /) -> int:
        try:
            return self._client.read_dword(self._index, offset)
        except PeerError as error:
            return _all_ones(error, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self._client.post_dword(self._index, offset, value & 0xFFFF_FFFF)


def _all_ones(error: PeerError, size: int) -> int:
    """What a machine reads where nothing answers. Raises: ``error``, when it was something else."""
    if error.errno != errno.EINVAL:
        raise error
    return (1 << 8 * size) - 1


def _read(client: VfioUserClient, region: int, offset: int, size: int) -> bytes:
    try:
        return client.read(region, offset, size)
    except PeerError as error:
        return _all_ones(error, size).to_bytes(size, "little")


def _write(client: VfioUserClient, region: int, offset: int, size: int, value: int) -> None:
    try:
        client.write(region, offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
    except PeerError as error:
        _all_ones(error, size)


@final
class RemoteGpu:
    """The served device; a :class:`~pvinfo.bus.PciDevice`. Interrupts are handed over while the machine's clock waits."""

    def __init__(self, client: VfioUserClient) -> None:
        self._client = client
        self._config = RemoteConfig(client)
        self._handler: Callable[[], None] | None = None
        self._event: int | None = None
        self._bars = {index: RemoteRegion(client, index, size) for index in range(RegionIndex.ROM) if (size := self._size_of(index))}

    def _size_of(self, index: int) -> int:
        asked = RegionInfo(REGION_INFO.size, RegionFlags(0), index, 0, 0, 0)
        told = REGION_INFO.unpack_from(self._client.call(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(asked)))
        return told.size if told.flags.read and told.flags.write else 0

    @property
    def config(self) -> ConfigSpace:
        return self._config

    def bar(self, index: int) -> Region | None:
        return self._bars.get(index)

    def reset(self) -> None:
        self._client.call(Command.DEVICE_RESET)

    # ---- interrupts ----

    @property
    def event(self) -> int | None:
        """The event descriptor by which interrupts come, while somebody listens."""
        return self._event

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._handler = handler
        if handler is not None and self._event is None:
            event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            try:
                self._set_message_interrupt(IrqSetFlags.of(data_eventfd=True, action=IrqAction.TRIGGER), 1, (event,))
            except BaseException:
                os.close(event)
                raise
            self._event = event
        elif handler is None and self._event is not None:
            self._set_message_interrupt(IrqSetFlags.of(data_none=True, action=IrqAction.TRIGGER), 0, ())
            self.forget_event()

    def _set_message_interrupt(self, flags: IrqSetFlags, number: int, fds: tuple[int, ...]) -> None:
        request = IrqSet(IRQ_SET.size, flags, IrqIndex.MSI, 0, number)
        self._client.call(Command.DEVICE_SET_IRQS, IRQ_SET.pack(request), fds)

    def deliver(self) -> None:
        """Call the handler if interrupts have come. Several at once are one, as for any edge that nobody has looked at."""
        if self._event is None:
            return
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return
        if self._handler is not None:
            self._handler()

    def forget_event(self) -> None:
        """Nothing comes any more."""
        if self._event is not None:
            os.close(self._event)
            self._event = None


@final
class RealTime:
    """Real time since the machine was made, ``slower`` times as slow; a :class:`~pvinfo.bus.Clock`. While it waits, interrupts are delivered."""

    def __init__(self, client: VfioUserClient, gpu: RemoteGpu, slower: int = 1) -> None:
        self._client = client
        self._gpu = gpu
        self._slower = slower
        self._start_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // self._slower

    def wait_ns(self, duration_ns: int) -> None:
        """Wait. Raises: PeerError when the server ends meanwhile."""
        end_ns = time.monotonic_ns() + duration_ns * self._slower
        self._look(0)
        while (left_ns := end_ns - time.monotonic_ns()) > 0:
            if left_ns < _MILLISECOND_NS:
                # Finer than a descriptor can be waited for; what comes meanwhile is looked for afterwards.
                time.sleep(left_ns / 1e9)
                self._look(0)
            else:
                self._look(left_ns // _MILLISECOND_NS)

    def _look(self, timeout_ms: int) -> None:
        """Deal with what comes within ``timeout_ms``; returns after the first."""
        poll = select.poll()
        if self._client.fileno() >= 0:
            poll.register(self._client.fileno(), select.POLLIN)
        if self._gpu.event is not None:
            poll.register(self._gpu.event, select.POLLIN)
        for fd, _ in poll.poll(timeout_ms):
            if fd == self._gpu.event:
                self._gpu.deliver()
            elif fd == self._client.fileno():
                self._client.serve_pending()


@final
class VfioUserMachine:
    """A virtual PC of this process with a GPU of another; made by :func:`connect`. A context manager."""

    def __init__(self, client: VfioUserClient, memory: SharedRam, gpu: RemoteGpu, slower: int = 1) -> None:
        self.client = client
        """The monitor's side of the GPU, with regions that no driver sees."""
        self.gpu = gpu
        self.memory = memory
        self.clock = RealTime(client, gpu, slower)

    def __enter__(self) -> VfioUserMachine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up, and let go of memory and every descriptor."""
        self.client.close()
        self.gpu.forget_event()
        self.memory.close()


def connect(path: Path, memory_bytes: int, *, timeout_s: float = _REPLY_TIMEOUT_S, slower: int = 1) -> VfioUserMachine:
    """Plug the GPU that is served at ``path`` into a new machine with ``memory_bytes`` of RAM, and power it on.

    ``timeout_s`` bounds the wait for each answer. ``slower`` is how many times as slowly as real time the machine's clock goes: a driver
    gives up on a GPU that has not done its first work after 200 ms, which a server with many clients may well not have.

    Raises: SetupError when no vfio-user server listens there, it refuses us, or what it serves is no PCI device;
    UsageError for a size of RAM that is no number of pages, or a clock that is not slower.
    """
    if slower < 1:
        raise UsageError(f"a clock {slower} times as slow as real time: it is a whole number from 1 on")
    if not math.isfinite(timeout_s) or timeout_s <= 0:
        raise SetupError(f"a timeout of {timeout_s} s: it is a positive number of seconds")
    memory = SharedRam(memory_bytes)
    try:
        client = VfioUserClient(path, memory, timeout_s=timeout_s)
        try:
            return VfioUserMachine(client, memory, _plug(client, memory), slower)
        except (PeerError, WireError) as error:
            client.close()
            raise SetupError(f"the server at {path} does not serve a GPU: {error}") from None
        except BaseException:
            client.close()
            raise
    except BaseException:
        memory.close()
        raise


def _plug(client: VfioUserClient, memory: SharedRam) -> RemoteGpu:
    """Tell the server about RAM, learn what it serves, and reset that. Raises: PeerError, WireError, SetupError."""
    asked = DeviceInfo(DEVICE_INFO.size, DeviceFlags(0), 0, 0)
    told = DEVICE_INFO.unpack_from(client.call(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(asked)))
    if not told.flags.pci or told.num_regions <= RegionIndex.CONFIG or told.num_irqs <= IrqIndex.MSI:
        raise SetupError(f"the server at {client.path} serves no PCI device: {told.num_regions} regions, {told.num_irqs} kinds of interrupt")
    ram = DmaMap(DMA_MAP.size, DmaMapFlags.of(readable=True, writable=True), 0, 0, memory.size)
    client.call(Command.DMA_MAP, DMA_MAP.pack(ram), (memory.fd,))
    gpu = RemoteGpu(client)
    if told.flags.reset:
        gpu.reset()
    return gpu
