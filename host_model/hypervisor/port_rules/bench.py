"""A machine under test."""

from __future__ import annotations

from typing import Final, final

from pvinfo.bus import GuestMemory
from pvinfo.units import MIB, PAGE_SIZE, BusAddress, GuestAddress

from ...memory import HostMemory
from ...promises import Broken
from ..base import Hypervisor, HypervisorPort, VirtualMachine

__all__ = ("BEYOND", "LAST", "RAM", "Bench")

RAM: Final = 4 * MIB
LAST: Final = RAM - PAGE_SIZE
"""Its last page."""
BEYOND: Final = (RAM, RAM + PAGE_SIZE, 1 << 45)
"""Where there is none."""


@final
class Bench:
    """A machine under test, and the memory behind the GPU's bus."""

    def __init__(self, factory: Hypervisor) -> None:
        self.factory = factory
        self.host_memory = HostMemory()
        self.machine: VirtualMachine = factory(RAM, self.host_memory)
        self.port: HypervisorPort = self.machine.port
        self.memory: GuestMemory = self.machine.memory

    def mapped(self, address: int) -> BusAddress:
        bus = self.port.map_guest_page(GuestAddress(address))
        if bus is None:
            raise Broken(f"the page of RAM at {address:#x} is not mapped")
        return bus

    def page(self, bus: int) -> memoryview:
        page = self.host_memory.page(BusAddress(bus))
        if page is None:
            raise Broken(f"the GPU finds no memory at bus address {bus:#x}")
        return page
