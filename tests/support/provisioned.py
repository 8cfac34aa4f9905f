"""A device that was provisioned, of any policy, with its user: open, bound, all of its memory mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.hypervisor.local import LocalMachine, Ram
from host_model.mediator.client import Client
from host_model.vfio.client import VfioPciDevice
from host_model.vfio.device import VfioDevice
from host_model.vfio.dma.iommu import Iommu
from host_model.vfio.dma.iommufd import IommufdContext
from host_model.vfio.dma.type1 import Type1Container
from host_model.vfio.dma.user_memory import UserMemory
from host_model.vfio.provisioning import MediatedPolicy, PartitionPolicy, ProvisionedDevice
from host_model.vfio.provisioning.mediated import MediatedDevice
from host_model.vfio.provisioning.partition import PartitionDevice
from pvinfo.units import MIB

__all__ = ("MEDIATED", "PARTITION", "POLICY_WAYS", "RAM_SIZE", "Provisioned", "provision")

MEDIATED, PARTITION = "mediated", "partition"
POLICY_WAYS = (
    *((MEDIATED, way) for way in ("type1", "type1-iommu", "iommufd", "iommufd-iommu")),
    *((PARTITION, way) for way in ("type1", "iommufd")),
)
"""Policies, and ways to memory. A partition always has an IOMMU domain of its own: there is no way without."""
RAM_SIZE = 64 * MIB


class Provisioned(NamedTuple):
    """A device with its user."""

    host: Host
    device: ProvisionedDevice
    user: VfioDevice
    client: Client
    """The host's end."""
    memory: UserMemory
    machine: LocalMachine
    map: Callable[[int, int], object]
    """Have so much memory, from an IO virtual address on, where it was."""
    unmap: Callable[[int, int], int]

    def end(self) -> None:
        """The user closes the device; it is destroyed, and its share given back."""
        self.user.close()
        self.device.destroy()
        self.device.unconfigure()
        self.memory.close()


def provision(host: Host, policy: str, way: str = "type1", size: str | None = None) -> Provisioned:
    """A device of the smallest profile of ``policy``, or of that of vGPU type ``size``."""
    assert isinstance(host.clock, VirtualClock)
    made_by = PartitionPolicy(host) if policy == PARTITION else MediatedPolicy(host, Iommu(host.memory) if way.endswith("-iommu") else None)
    device = ProvisionedDevice(f"{policy} device", (made_by,))
    smallest = device.profiles()[0]
    device.configure(next(profile for profile in device.profiles() if profile.size.name == size) if size is not None else smallest)
    made = device.create()
    assert isinstance(made, MediatedDevice | PartitionDevice)
    client: Client = made.vgpu if isinstance(made, MediatedDevice) else made
    user = device.open()
    ram = Ram(RAM_SIZE)
    memory = UserMemory(ram, host.memory)
    if way.startswith("type1"):
        container = Type1Container()
        user.bind_container(container)
        take: Callable[[int, int], object] = lambda iova, size: container.map(iova, size, memory, iova)
        give: Callable[[int, int], int] = container.unmap
    else:
        context = IommufdContext()
        user.bind_iommufd(context)
        ioas = context.create_ioas()
        user.attach(ioas)
        take = lambda iova, size: ioas.map(size, memory, iova, at=iova)
        give = ioas.unmap
    take(0, RAM_SIZE)
    return Provisioned(host, device, user, client, memory, LocalMachine(VfioPciDevice(user), ram, host.clock), take, give)
