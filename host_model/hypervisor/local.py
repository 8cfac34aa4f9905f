"""The in-process port: a virtual machine whose RAM is an anonymous mapping of this process."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable
from typing import final

from pvinfo.bus import PciDevice
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress, format_size

from ..clock import VirtualClock
from ..memory import HostMemory

__all__ = ("LocalMachine", "LocalPort", "Ram")


@final
class Ram:
    """Guest RAM from address 0. Untouched pages cost nothing."""

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise ValueError(f"{size} bytes of RAM: RAM is a positive number of {PAGE_SIZE}-byte pages")
        self.size = size
        self._view = memoryview(mmap.mmap(-1, size))

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.size:
            raise IndexError(f"{size} bytes at {address:#x}: RAM is [0, {self.size:#x}) ({format_size(self.size)})")

    def read(self, address: GuestAddress, size: int) -> bytes:
        self._check(address, size)
        return bytes(self._view[address : address + size])

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        self._check(address, len(data))
        self._view[address : address + len(data)] = data

    def page(self, offset: int, /) -> memoryview | None:
        return self._view[offset : offset + PAGE_SIZE] if 0 <= offset < self.size else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        return self._view[offset : offset + size] if 0 <= offset and offset + size <= self.size else None


@final
class LocalPort:
    """The mediator's way to a :class:`LocalMachine`."""

    can_track_writes = False

    def __init__(self, ram: Ram, host_memory: HostMemory) -> None:
        self._ram = ram
        self._host_memory = host_memory
        self._base = host_memory.attach(ram)
        self._pins: Counter[BusAddress] = Counter()
        self._msi_handler: Callable[[], None] | None = None

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        if address < 0 or address + size > self._ram.size:
            return None
        return self._ram.read(address, size)

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        if address < 0 or address + len(data) > self._ram.size:
            return False
        self._ram.write(address, data)
        return True

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        if not 0 <= address < self._ram.size:
            return None
        bus = BusAddress(self._base + (address & ~(PAGE_SIZE - 1)))
        self._pins[bus] += 1
        return bus

    def unmap_guest_page(self, address: BusAddress) -> None:
        if self._pins[address] > 1:
            self._pins[address] -= 1
        else:
            self._pins.pop(address, None)

    @property
    def mapped_pages(self) -> int:
        return len(self._pins)

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        self._msi_handler = handler

    def inject_msi(self) -> bool:
        if self._msi_handler is None:
            return False
        self._msi_handler()
        return True

    def close(self) -> None:
        """The machine is gone: its memory leaves the GPU's bus."""
        self._pins.clear()
        self._host_memory.detach(self._base)


@final
class LocalMachine:
    """A virtual PC in this process: RAM, the host's virtual clock, and a vGPU in its slot."""

    def __init__(self, gpu: PciDevice, memory: Ram, clock: VirtualClock) -> None:
        self.gpu = gpu
        self.memory = memory
        self.clock = clock
