"""The policy of devices whose users come by a socket: vGPUs, each served in the folder under its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, final

from pvinfo.errors import StateError

from ...mediator.resources import VgpuResources
from ...mediator.vgpu import Vgpu
from ...vfio.device import VfioDevice
from ...vfio.provisioning import MediatedPolicy, Profile

if TYPE_CHECKING:
    from ..vgpus import ServedHost

__all__ = ("SocketDevice", "SocketPolicy")


@final
class SocketDevice:
    """A vGPU that was made, and is served at ``path``; a :class:`~host_model.vfio.provisioning.MadeDevice`."""

    def __init__(self, server: ServedHost, vgpu: Vgpu, path: Path) -> None:
        self._server = server
        self.vgpu = vgpu
        self.path = path

    @property
    def number(self) -> int:
        """The vGPU's number."""
        return self.vgpu.number

    @property
    def resources(self) -> VgpuResources:
        """See :class:`~host_model.vfio.provisioning.MadeDevice`."""
        return self.vgpu.resources

    @property
    def connected(self) -> bool:
        """See :class:`~host_model.vfio.provisioning.MadeDevice`."""
        return self._server.in_use(self.vgpu)

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """See :class:`~host_model.vfio.provisioning.MadeDevice`."""
        raise StateError(f"opening vGPU {self.number} here", f"served at {self.path}", "a device of this process: whoever connects to a socket opens what is there")

    def destroy(self) -> None:
        """See :class:`~host_model.vfio.provisioning.MadeDevice`."""
        self._server.remove(self.vgpu)


@final
class SocketPolicy:
    """vGPUs of ``server``, at ``folder``/NAME.sock."""

    name = MediatedPolicy.name

    def __init__(self, server: ServedHost, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._shares = MediatedPolicy(server.host)

    def path_of(self, name: str) -> Path:
        """Where the device called ``name`` is served."""
        return self._folder / f"{name}.sock"

    def profiles(self) -> tuple[Profile, ...]:
        """One for each type of vGPU that the host offers."""
        return self._shares.profiles()

    def reserve(self, profile: Profile, name: str) -> VgpuResources:
        """See :class:`~host_model.vfio.provisioning.DevicePolicy`."""
        return self._shares.reserve(profile, name)

    def give_back(self, resources: VgpuResources) -> None:
        """See :class:`~host_model.vfio.provisioning.DevicePolicy`."""
        self._shares.give_back(resources)

    def make(self, profile: Profile, resources: VgpuResources, name: str) -> SocketDevice:
        """See :class:`~host_model.vfio.provisioning.DevicePolicy`. Raises: SetupError when no socket can be made."""
        path = self.path_of(name)
        return SocketDevice(self._server, self._server.add_named(name, profile.size, path, resources), path)
