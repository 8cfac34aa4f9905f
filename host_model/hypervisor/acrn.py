"""ACRN under the mediator: memory by regions, the buffer of I/O requests, interrupts by hypercall, and no write tracking.

The mediator is a client in the service VM's kernel. That kernel's interface reports no writes to guest memory, so shadow tables
re-synchronise when work is submitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.acrn import ACRN_MSI_ENTRY, AcrnMsiEntry, AcrnVmMemmap
from pvinfo.bus import PciDevice
from pvinfo.errors import StateError
from pvinfo.units import BusAddress, GuestAddress

from ..memory import WINDOW_SHIFT, HostMemory
from .acrn_vm import READ_WRITE_EXECUTE_WRITE_BACK, WRITABLE, AcrnVm, ServiceModule
from .local import Ram
from .pins import PinnedByBus, add_pins
from .processors import message
from .trapped import DeviceEnd, TrappedDevice

__all__ = ("AcrnMachine", "AcrnPort")


@final
class AcrnPort(PinnedByBus):
    """The mediator's way to an :class:`~.acrn_vm.AcrnVm`."""

    can_track_writes = False

    def __init__(self, vm: AcrnVm, memory: Ram, host_memory: HostMemory) -> None:
        self.memory_revision = 0
        self._vm = vm
        self._memory = memory
        self._host_memory = host_memory
        self._base = host_memory.attach(memory)
        super().__init__()
        self._vector: int | None = None
        vm.service_memory, vm.service_base = memory, self._base
        vm.on_revoke = self._revoke

    @property
    def service_base(self) -> BusAddress:
        """Where in the service VM the memory is that regions show."""
        return self._base

    def _revoke(self) -> None:
        self.memory_revision += 1
        self._host_memory.revoke()

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        return self._vm.read(address, size) if self._vm.pieces(address, size) is not None else None

    def write_guest(self, address: GuestAddress, data: bytes) -> bool:
        found = self._vm.pieces(address, len(data))
        if found is None or not all(piece.region.attr & WRITABLE for piece in found):
            return False
        self._vm.write(address, data)
        return True

    def map_guest_page(self, address: GuestAddress) -> BusAddress | None:
        at = self._vm.writable_page(address)
        if at is None or at - self._base >> WINDOW_SHIFT:
            return None
        add_pins(self._pins, (at,))
        return BusAddress(at)

    def guest_page(self, address: GuestAddress) -> memoryview | None:
        at = self._vm.writable_page(address)
        return self._memory.page(at - self._base) if at is not None else None

    def watch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "a user VM of ACRN's", "one whose writes can be tracked")

    def unwatch_page(self, address: GuestAddress, changed: Callable[[], None]) -> None:
        raise StateError("watching a guest page", "a user VM of ACRN's", "one whose writes can be tracked")

    def connect_msi(self, handler: Callable[[], None] | None) -> None:
        processors = self._vm.processors
        if self._vector is not None:
            processors.remove(self._vector)
        self._vector = processors.install(handler) if handler is not None else None

    def inject_msi(self) -> bool:
        return self._vector is not None and self._vm.inject_msi(ACRN_MSI_ENTRY.pack(AcrnMsiEntry(*message(0, self._vector))))

    def close(self) -> None:
        """The machine is gone: its memory leaves the GPU's bus."""
        self._pins.clear()
        self._host_memory.detach(self._base)


@final
class AcrnMachine:
    """A user VM with one region of RAM, and the service VM's module that finds who answers for its device.

    ``polls``: the hypervisor polls for answers, as in partitions with processors of their own; else it is told.
    """

    def __init__(self, ram_size: int, host_memory: HostMemory, *, polls: bool = True) -> None:
        memory = Ram(ram_size)
        self.vm = self.memory = AcrnVm(polls=polls)
        self.port = AcrnPort(self.vm, memory, host_memory)
        self.vm.set_memory_region(AcrnVmMemmap(0, READ_WRITE_EXECUTE_WRITE_BACK, 0, self.port.service_base, ram_size))
        self.service = ServiceModule(self.vm)

    def plug(self, device: PciDevice) -> PciDevice:
        """The device as the guest finds it: each access to its registers or configuration space is a request in the buffer."""
        self.service.clients.append(DeviceEnd(device))
        return TrappedDevice(device, self.vm)

    def close(self) -> None:
        """The machine is gone."""
        self.port.close()
