"""The policy of mediated vGPUs: accesses are trapped, tables and contexts shadowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from ...host import Host
from ...mediator.resources import VgpuResources
from ...mediator.vgpu import Vgpu
from ..device import VfioDevice, open_vgpu
from ..dma.iommu import DirectBus, GpuBus
from ..dma.port import DmaPort
from .life import Profile

__all__ = ("MediatedDevice", "MediatedPolicy")


def _take(host: Host, profile: Profile, at: VgpuResources) -> VgpuResources:
    """The share again, in the same places; its fences may be others."""
    return host.pool.take(profile.size, low_at=at.low.start, high_at=at.high.start)


@final
class MediatedDevice:
    """A vGPU that was made."""

    def __init__(self, host: Host, profile: Profile, vgpu: Vgpu, port: DmaPort) -> None:
        self._host = host
        self._profile = profile
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

    def destroy(self) -> VgpuResources:
        """See :class:`~.life.MadeDevice`."""
        resources = self.vgpu.resources
        self._host.destroy_vgpu(self.vgpu)
        return _take(self._host, self._profile, resources)


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

    def reserve(self, profile: Profile) -> VgpuResources:
        """See :class:`~.life.DevicePolicy`."""
        return self._host.pool.take(profile.size)

    def give_back(self, resources: VgpuResources) -> None:
        """See :class:`~.life.DevicePolicy`."""
        self._host.pool.give_back(resources)

    def make(self, profile: Profile, resources: VgpuResources) -> MediatedDevice:
        """See :class:`~.life.DevicePolicy`."""
        host = self._host
        port = DmaPort(host.memory, self._bus)
        host.pool.give_back(resources)
        try:
            vgpu = host.create_vgpu(profile.size, port, low_at=resources.low.start, high_at=resources.high.start)
        except BaseException:
            _take(host, profile, resources)
            raise
        return MediatedDevice(host, profile, vgpu, port)
