"""The in-process port: a virtual machine whose RAM is an anonymous mapping of this process."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from pvinfo.bus import GuestMemory, PciDevice
from pvinfo.system_limits import naming_what_ran_out
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, BusAddress, GuestAddress, format_size

from ..clock import VirtualClock
from ..memory import WINDOW_SHIFT, HostMemory
from .called_msi import CalledMsi
from .pins import PinnedByBus, add_pins

__all__ = ("LocalMachine", "LocalPort", "LocalVirtualMachine", "Ram")


@final
class Ram:
    """Guest RAM from address 0. Untouched pages cost nothing. Raises: ResourceExhausted when the machine around us has no room for it."""

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise ValueError(f"{size} bytes of RAM: RAM is a positive number of {PAGE_SIZE}-byte pages")
        self.size = size
        with naming_what_ran_out(size):
            self._view = memoryview(mmap.mmap(-1, size))
        self._watched: dict[int, tuple[Callable[[], None], ...]] = {}

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.size:
            raise IndexError(f"{size} bytes at {address:#x}: RAM is [0, {self.size:#x}) ({format_size(self.size)})")

    def read(self, address: GuestAddress, size: int) -> bytes:
        self._check(address, size)
        return bytes(self._view[address : address + size])

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        self._check(address, len(data))
        self._view[address : address + len(data)] = data
        if self._watched:
            self._report(address, len(data))

    def _report(self, address: int, size: int) -> None:
        """Tell those who watch that ``size`` bytes were written."""
        pages: Iterable[int] = range(address >> PAGE_SHIFT, (address + size + PAGE_MASK) >> PAGE_SHIFT) if size else ()
        watched = self._watched
        if size > len(watched) << PAGE_SHIFT:
            pages = [page for page in watched if page in pages]
        for page in pages:
            for changed in watched.get(page, ()):
                changed()

    def watch(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        """Call ``changed`` after each :meth:`write` to the page at ``address``. What is written through a view goes unnoticed."""
        page = address >> PAGE_SHIFT
        self._watched[page] = *self._watched.get(page, ()), changed

    def unwatch(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        """Undo one :meth:`watch`."""
        page = address >> PAGE_SHIFT
        others = list(self._watched.get(page, ()))
        if changed in others:
            others.remove(changed)
        if others:
            self._watched[page] = tuple(others)
        else:
            self._watched.pop(page, None)

    def page(self, offset: int, /) -> memoryview | None:
        return self._view[offset : offset + PAGE_SIZE] if 0 <= offset < self.size else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        return self._view[offset : offset + size] if 0 <= offset and offset + size <= self.size else None


@final
class LocalPort(PinnedByBus, CalledMsi):
    """The mediator's way to a :class:`LocalMachine`."""

    memory_revision: Final = 0

    def __init__(self, ram: Ram, host_memory: HostMemory, *, track_writes: bool = True) -> None:
        """``track_writes``: report writes to watched pages; without, this port is as blind as one to another process."""
        self.can_track_writes = track_writes
        self._ram = ram
        self._host_memory = host_memory
        self._base = host_memory.attach(ram)
        self._end = min(ram.size, 1 << WINDOW_SHIFT)
        super().__init__()

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
        if not 0 <= address < self._end:
            return None
        bus = BusAddress(self._base + (address & ~PAGE_MASK))
        add_pins(self._pins, (bus,))
        return bus

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        if not addresses or max(addresses) >= self._end:
            return super().map_guest_pages(addresses)
        base = self._base
        pages = [base + address for address in addresses]
        add_pins(self._pins, pages)
        return pages

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        return self._ram.page(address)

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        self._ram.watch(address, changed)

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        self._ram.unwatch(address, changed)

    def close(self) -> None:
        """The machine is gone: its memory leaves the GPU's bus."""
        self._pins.clear()
        self._host_memory.detach(self._base)


@final
class LocalVirtualMachine:
    """A machine that is nothing but RAM: its guest's accesses are calls."""

    def __init__(self, ram_size: int, host_memory: HostMemory) -> None:
        self.memory = Ram(ram_size)
        self.port = LocalPort(self.memory, host_memory)

    def plug(self, device: PciDevice) -> PciDevice:
        """The device itself."""
        return device

    def close(self) -> None:
        """The machine is gone."""
        self.port.close()


@final
class LocalMachine:
    """A virtual PC in this process: RAM, the host's virtual clock, and a vGPU in its slot."""

    def __init__(self, gpu: PciDevice, memory: GuestMemory, clock: VirtualClock) -> None:
        self.gpu = gpu
        self.memory = memory
        self.clock = clock
