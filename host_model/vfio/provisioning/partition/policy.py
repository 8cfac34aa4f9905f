"""Partitions as devices that are provisioned."""

from __future__ import annotations

from itertools import count
from typing import final

from ....host import Host
from ....mediator.resources import VgpuResources
from ..life import Profile
from .device import FIRST_NUMBER, PartitionDevice

__all__ = ("PartitionPolicy",)


@final
class PartitionPolicy:
    """Partitions of the GPU of ``host``, of the sizes and weights of its vGPUs."""

    name = "partition"

    def __init__(self, host: Host) -> None:
        self._host = host

    def profiles(self) -> tuple[Profile, ...]:
        """One for each size of vGPU that the host offers."""
        return tuple(Profile(f"{offer.type.name}-partition", self.name, offer.type) for offer in self._host.types())

    def reserve(self, profile: Profile, name: str) -> VgpuResources:
        """See :class:`~..life.DevicePolicy`."""
        return self._host.pool.take(profile.size, holder=name)

    def give_back(self, resources: VgpuResources) -> None:
        """See :class:`~..life.DevicePolicy`."""
        self._host.pool.give_back(resources)

    def make(self, profile: Profile, resources: VgpuResources, name: str) -> PartitionDevice:
        """See :class:`~..life.DevicePolicy`."""
        number = next(number for number in count(FIRST_NUMBER) if number not in self._host.guard.machines)
        return PartitionDevice(self._host.mediator, number, profile, resources)
