"""Xen under the mediator: foreign maps, writes that come back as I/O requests, and an ioreq server that answers for the device.

This is how XenGT had it: the mediator in the first domain reaches guests by hypercalls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

from pvinfo.bus import PciDevice
from pvinfo.errors import UsageError
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, BusAddress, GuestAddress, format_size
from pvinfo.xen import IoRequest, IoRequestFlags, IoRequestState, IoRequestType, MemoryType, PciConfigAddress

from ..memory import WINDOW_SHIFT, HostMemory
from .base import NO_PAGE
from .processors import message
from .trapped import GPU_DEVICE, DeviceEnd, TrappedDevice
from .watches import Watches
from .xen_domain import XenDomain

__all__ = ("XenMachine", "XenPort")


@final
class XenPort:
    """The mediator's way to a :class:`~.xen_domain.XenDomain`."""

    can_track_writes = True

    def __init__(self, domain: XenDomain, host_memory: HostMemory) -> None:
        self.memory_revision = 0
        self._domain = domain
        self._host_memory = host_memory
        self._base = host_memory.attach(domain)
        self._watches = Watches()
        self._vector: int | None = None
        domain.on_revoke = self._revoke

    def _revoke(self, gfn: int) -> None:
        self._watches.forget(gfn, 1)
        self.memory_revision += 1
        self._host_memory.revoke()

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        return self._domain.read(address, size) if self._domain.is_ram(address, size) else None

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        domain = self._domain
        if not domain.is_ram(address, len(data)):
            return False
        last = (address + len(data) - 1) >> PAGE_SHIFT
        if any(domain.mem_type(gfn) is MemoryType.RAM_RO for gfn in range(address >> PAGE_SHIFT, last + 1)):
            return False
        self.store_watched(address, data)
        return True

    def store_watched(self, address: GuestAddress, data: bytes) -> None:
        """Store by a foreign map, and tell who watches: for the mediator, or for a processor whose write has come as a request."""
        self._domain.store(address, data)
        self._watches.written(address, len(data))

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        (bus,) = self.map_guest_pages((address,))
        return BusAddress(bus) if bus else None

    def unmap_guest_page(self, address: BusAddress) -> None:
        self.unmap_guest_pages((address,))

    def map_guest_pages(self, addresses: Sequence[int]) -> list[int]:
        base = self._base
        return [base + offset if offset is not None else NO_PAGE for offset in self._domain.map_foreign(addresses)]

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        base = self._base
        self._domain.unmap_foreign(address - base for address in addresses)

    @property
    def mapped_pages(self) -> int:
        return self._domain.foreign_frames

    def pins(self, address: BusAddress) -> int:
        return self._domain.foreign_maps((address & ~PAGE_MASK) - self._base)

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        return self._domain.frame(address)

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        gfn = address >> PAGE_SHIFT
        if self._domain.mem_type(gfn) in (MemoryType.RAM_RW, MemoryType.IOREQ_SERVER) and self._watches.add(address, changed):
            self._domain.set_mem_type(gfn, MemoryType.IOREQ_SERVER)

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        if self._watches.remove(address, changed):
            self._domain.set_mem_type(address >> PAGE_SHIFT, MemoryType.RAM_RW)

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        processors = self._domain.processors
        if self._vector is not None:
            processors.remove(self._vector)
        self._vector = processors.install(handler) if handler is not None else None

    def inject_msi(self) -> bool:
        return self._vector is not None and self._domain.inject_msi(*message(0, self._vector))

    def close(self) -> None:
        """The domain is gone: its memory leaves the GPU's bus."""
        self._host_memory.detach(self._base)


@final
class XenMachine:
    """A domain, and the ioreq server that answers for its vGPU. Raises: UsageError for more RAM than a device reaches."""

    def __init__(self, ram_size: int, host_memory: HostMemory) -> None:
        if ram_size > 1 << WINDOW_SHIFT:
            raise UsageError(f"a domain with {format_size(ram_size)} of RAM: a device reaches {format_size(1 << WINDOW_SHIFT)} at most")
        self.domain = XenDomain(ram_size)
        self.memory = self.domain
        self.port = XenPort(self.domain, host_memory)
        self.server = self.domain.create_ioreq_server(self._serve)
        self.domain.map_mem_type_to_ioreq_server(writes=True)
        self._device: DeviceEnd | None = None

    def plug(self, device: PciDevice) -> PciDevice:
        """The device as the guest finds it: each access to its registers or configuration space is a request in the shared page."""
        self._device = DeviceEnd(device)
        self.server.ranges.append(self._device.range)
        self.server.pci_devices.append(GPU_DEVICE)
        return TrappedDevice(device, self.domain)

    def _serve(self, processor: int) -> None:
        """An event channel has told of a processor's request."""
        server = self.server
        request = server.request(processor)
        if IoRequestFlags(request.flags).state != IoRequestState.READY:
            return
        server.set_state(processor, IoRequestState.IN_PROCESS)
        server.answer(processor, self._answer(request))

    def _answer(self, request: IoRequest) -> int:
        value = None if IoRequestFlags(request.flags).read else request.data
        device = self._device
        if request.type == IoRequestType.PCI_CONFIG and device is not None:
            return device.config(PciConfigAddress.unpack(request.addr).offset, request.size, value)
        if device is not None and self.server.claims(request.addr, request.size):
            return device.memory(request.addr, request.size, value)
        if value is not None and self.domain.mem_type(request.addr >> PAGE_SHIFT) is MemoryType.IOREQ_SERVER:
            self.port.store_watched(GuestAddress(request.addr), value.to_bytes(8, "little")[: request.size])
            return 0
        return (1 << 64) - 1

    def close(self) -> None:
        """The domain is gone."""
        self.domain.destroy_ioreq_server()
        self.port.close()
