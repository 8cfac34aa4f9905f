"""The policy of mediated vGPUs: accesses are trapped, tables and contexts shadowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ...host import Host
from ...mediator.resources import VgpuResources
from ...mediator.vgpu import Vgpu
from ..device import VfioDevice, open_vgpu
from ..dma.iommu import DirectBus, GpuBus
from ..dma.port import DmaPort
from .life import Profile

__all__ = ("MediatedDevice", "MediatedPolicy")


@final
class MediatedDevice:
    """A vGPU that was made."""

    connected: Final = False

    def __init__(self, host: Host, vgpu: Vgpu, port: DmaPort) -> None:
        self._host = host
        self.vgpu = vgpu
        self._port = port

    @property
    def number(self) -> int:
        """The vGPU's number."""
        return self.vgpu.number

    @property
    def resources(self) -> VgpuResources:
        """See :class:`~.life.MadeDevice`."""
        return self.vgpu.resources

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """See :class:`~.life.MadeDevice`."""
        return open_vgpu(self.vgpu, self._port, closed=closed)

    def destroy(self) -> None:
        """See :class:`~.life.MadeDevice`."""
        self._host.destroy_vgpu(self.vgpu)


@final
class MediatedPolicy:
    """vGPUs of ``host``. ``bus`` is what is between the GPU and memory; by default nothing."""

    name = "mediated"

    def __init__(self, host: Host, bus: GpuBus | None = None) -> None:
        self._host = host
        self._bus: GpuBus = bus if bus is not None else DirectBus(host.memory)

    def profiles(self) -> tuple[Profile, ...]:
        """One for each type of vGPU that the host offers."""
        return tuple(Profile(offer.type.name, self.name, offer.type) for offer in self._host.types())

    def reserve(self, profile: Profile, name: str) -> VgpuResources:
        """See :class:`~.life.DevicePolicy`."""
        return self._host.pool.take(profile.size, holder=name)

    def give_back(self, resources: VgpuResources) -> None:
        """See :class:`~.life.DevicePolicy`."""
        self._host.pool.give_back(resources)

    def make(self, profile: Profile, resources: VgpuResources, name: str) -> MediatedDevice:
        """See :class:`~.life.DevicePolicy`."""
        port = DmaPort(self._host.memory, self._bus)
        return MediatedDevice(self._host, self._host.create_vgpu(profile.size, port, resources=resources), port)
