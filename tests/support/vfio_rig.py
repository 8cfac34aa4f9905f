"""A vGPU whose user gives it memory through VFIO, by each of the ways there are."""

from __future__ import annotations

from typing import NamedTuple

from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.hypervisor.local import LocalMachine, Ram
from host_model.mediator.vgpu import Vgpu
from host_model.vfio.client import VfioPciDevice
from host_model.vfio.device import VfioDevice, open_vgpu
from host_model.vfio.dma.iommu import DirectBus, Iommu
from host_model.vfio.dma.iommufd import Ioas, IommufdContext
from host_model.vfio.dma.port import DmaPort
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.dma.user_memory import UserMemory
from pvinfo.units import MIB

__all__ = ("RAM_SIZE", "WAYS", "VfioRig", "make_rig")

RAM_SIZE = 64 * MIB
WAYS = ("type1", "type1-iommu", "iommufd", "iommufd-iommu")


class VfioRig(NamedTuple):
    """A host with one vGPU, open and bound, all of its user's memory mapped."""

    host: Host
    vgpu: Vgpu
    port: DmaPort
    device: VfioDevice
    memory: UserMemory
    machine: LocalMachine
    iommu: Iommu | None
    container: Type1Container | None
    context: IommufdContext | None
    ioas: Ioas | None

    def unmap(self, iova: int, size: int) -> int:
        """By the way in use."""
        if self.container is not None:
            return self.container.unmap(iova, size)
        assert self.ioas is not None
        return self.ioas.unmap(iova, size)

    def map(self, iova: int, size: int, offset: int) -> None:
        """By the way in use."""
        if self.container is not None:
            self.container.map(iova, size, self.memory, offset)
        else:
            assert self.ioas is not None
            self.ioas.map(size, self.memory, offset, at=iova)


def make_rig(way: str, *, piece: int = RAM_SIZE, platform: str = "skl", beside: VfioRig | None = None) -> VfioRig:
    """Memory is mapped in pieces of ``piece`` bytes. ``beside``: on the same host and IOMMU as another one."""
    host = beside.host if beside is not None else Host(platform)
    assert isinstance(host.clock, VirtualClock)
    iommu = beside.iommu if beside is not None else Iommu(host.memory) if way.endswith("-iommu") else None
    port = DmaPort(host.memory, iommu if iommu is not None else DirectBus(host.memory))
    vgpu = host.create_vgpu(None, port)
    device = open_vgpu(vgpu, port)
    ram = Ram(RAM_SIZE)
    memory = UserMemory(ram, host.memory)
    container = context = ioas = None
    if way.startswith("type1"):
        container = Type1Container()
        device.bind_container(container)
    else:
        context = IommufdContext()
        device.bind_iommufd(context)
        ioas = context.create_ioas()
        device.attach(ioas)
    machine = LocalMachine(VfioPciDevice(device), ram, host.clock)
    rig = VfioRig(host, vgpu, port, device, memory, machine, iommu, container, context, ioas)
    for start in range(0, RAM_SIZE, piece):
        rig.map(start, piece, start)
    return rig
