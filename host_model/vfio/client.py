"""A vGPU without a virtual machine, in one process: a VFIO device as the PCI device that its user's driver drives.

::

    with use_vgpu(Host("skl"), 64 * MIB) as machine:
        driver = GuestDriver(machine)
        driver.probe()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, final

from pvinfo.bus import Region
from pvinfo.errors import UsageError
from pvinfo.units import PAGE_SIZE
from pvinfo.vfio_user import IrqIndex, RegionIndex

from ..clock import VirtualClock
from ..host import Host
from ..hypervisor.local import Ram
from ..mediator.types import VgpuType
from ..mediator.vgpu import Vgpu
from .device import DeviceState, VfioDevice, open_vgpu
from .dma.iommu import DirectBus, GpuBus
from .dma.port import DmaPort
from .dma.type1 import Type1Container
from .dma.user_memory import UserMemory

__all__ = ("VfioMachine", "VfioPciDevice", "use_vgpu")


class _DeviceRegion:
    """A region, every access through the device's interface."""

    def __init__(self, device: VfioDevice, number: int, size: int) -> None:
        self._device = device
        self._number = number
        self.size = size

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(self._device.read(self._number, offset, size), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self._device.write(self._number, offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


@final
class VfioPciDevice:
    """A :class:`~pvinfo.bus.PciDevice` by the interface of a bound device. Raises: StateError when the device is not bound."""

    def __init__(self, device: VfioDevice) -> None:
        self._device = device
        self.config = _DeviceRegion(device, RegionIndex.CONFIG, device.region(RegionIndex.CONFIG).size)
        """Configuration space."""
        sizes = {number: device.region(number).size for number in range(RegionIndex.BAR0, RegionIndex.BAR5 + 1)}
        self._bars = {number: _DeviceRegion(device, number, size) for number, size in sizes.items() if size}

    def bar(self, index: int) -> Region | None:
        return self._bars.get(index)

    def reset(self) -> None:
        """See :class:`~pvinfo.bus.PciDevice`."""
        self._device.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        """See :class:`~pvinfo.bus.PciDevice`: messages, not the pin."""
        self._device.connect_irq(IrqIndex.MSI, [handler] if handler is not None else [])


@final
class VfioMachine:
    """What a process that uses a vGPU without a virtual machine has of one: the device, memory, time; a :class:`~pvinfo.bus.Machine`.

    Made by :func:`use_vgpu`. A context manager.
    """

    def __init__(self, host: Host, vgpu: Vgpu, device: VfioDevice, container: Type1Container, ram: Ram, user_memory: UserMemory) -> None:
        assert isinstance(host.clock, VirtualClock), "use_vgpu makes sure"
        self.vgpu = vgpu
        """The host's end."""
        self.device = device
        """The VFIO interface of it."""
        self.container = container
        """Where more memory may be mapped, or some of it taken back."""
        self.gpu = VfioPciDevice(device)
        self.memory = ram
        """Mapped from IO virtual address 0 on."""
        self.clock = host.clock
        self._host = host
        self._user_memory = user_memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pinned_pages(self) -> int:
        """Pages of the process's memory that the GPU may reach now."""
        return self._user_memory.pinned_pages

    def close(self) -> None:
        """Close the device, give its share of the GPU back, free the memory. Nothing happens the second time."""
        if self.device.state is not DeviceState.CLOSED:
            self.device.close()
            self.container.close()
            self._host.destroy_vgpu(self.vgpu)
            self._user_memory.close()


def use_vgpu(host: Host, memory_bytes: int, vgpu_type: VgpuType | str | None = None, *, bus: GpuBus | None = None) -> VfioMachine:
    """A new vGPU of ``host`` for a process of its own, by the VFIO interface: opened, bound to a container, ``memory_bytes`` mapped.

    ``vgpu_type`` is the smallest unless it is said. ``bus`` is what is between the GPU and memory; by default nothing. How many
    processes use vGPUs of one host is limited by what the host has to share out.

    Raises: UsageError for an unknown type, a size of memory that is no number of pages, or a host whose clock is real;
    ResourceExhausted naming what ran out.
    """
    if not isinstance(host.clock, VirtualClock):
        raise UsageError("a vGPU is used within this process on virtual time, but the host's clock is real: connect to a socket instead")
    if memory_bytes <= 0 or memory_bytes % PAGE_SIZE:
        raise UsageError(f"{memory_bytes} bytes of memory: it is a positive number of {PAGE_SIZE}-byte pages")
    port = DmaPort(host.memory, bus if bus is not None else DirectBus(host.memory))
    vgpu = host.create_vgpu(vgpu_type, port)
    try:
        device, container, ram = open_vgpu(vgpu, port), Type1Container(f"container of vGPU {vgpu.number}"), Ram(memory_bytes)
        user_memory = UserMemory(ram, host.memory)
    except BaseException:
        host.destroy_vgpu(vgpu)
        raise
    device.bind_container(container)
    container.map(0, memory_bytes, user_memory)
    return VfioMachine(host, vgpu, device, container, ram, user_memory)
