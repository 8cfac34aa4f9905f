"""A GPU as the parent of mediated devices: its types, and the devices made of them.

Making a device takes its share of the GPU and needs no virtual machine; that comes with whoever opens it. A device lives the life of
any that is provisioned (:mod:`..provisioning`): it is configured and created in one step, and so is its end.

Source: linux:drivers/vfio/mdev/mdev_core.c, linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_vgpu_probe)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from pvinfo.errors import StateError, UsageError
from pvinfo.units import MIB

from ...host import Host
from ...mediator.types import VgpuType
from ..device import VfioDevice
from ..provisioning import DevicePolicy, LifeState, MadeDevice, MediatedPolicy, ProvisionedDevice

__all__ = ("DEVICE_API", "MdevDevice", "MdevParent", "MdevType")

DEVICE_API: Final = "vfio-pci"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@final
class MdevType:
    """A type of device that a parent offers."""

    def __init__(self, parent: MdevParent, vgpu_type: VgpuType) -> None:
        self._parent = parent
        self.type = vgpu_type
        self.id: str = f"{parent.driver}-{vgpu_type.name}"
        """The name of its directory."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.type.name

    @property
    def device_api(self) -> str:
        """What a device of it is to its user."""
        return DEVICE_API

    @property
    def available_instances(self) -> int:
        """How many more devices of it can be made now."""
        return self._parent.host.pool.instances(self.type)

    @property
    def description(self) -> str:
        """Five lines. Source: linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_vgpu_show_description)"""
        kind = self.type
        return (
            f"low_gm_size: {kind.low_size // MIB}MB\nhigh_gm_size: {kind.high_size // MIB}MB\n"
            f"fence: {kind.fences}\nresolution: {kind.resolution}\nweight: {kind.weight}\n"
        )

    def create(self, uuid: str) -> MdevDevice:
        """See :meth:`MdevParent.create`."""
        return self._parent.create(self.id, uuid)


@final
class MdevDevice:
    """A device that was made by :meth:`MdevParent.create`."""

    def __init__(self, uuid: str, mdev_type: MdevType, device: ProvisionedDevice, made: MadeDevice) -> None:
        self.uuid = uuid
        self.type = mdev_type
        self.made = made
        """What was made, by the parent's policy."""
        self._device = device

    @property
    def in_use(self) -> bool:
        """A user has it open."""
        return self._device.state is not LifeState.CREATED

    def open(self) -> VfioDevice:
        """The device for one user, blocked until it is bound. Raises: StateError while another has it open, or where users come by a socket."""
        if self.in_use:
            raise StateError(f"opening {self.uuid}", "open", "not open: its one user closes it first")
        return self._device.open()

    def take_away(self) -> None:
        """See :meth:`MdevParent.remove`."""
        if self.in_use:
            raise StateError(f"removing {self.uuid}", "open", "not open: its user closes it first")
        self._device.destroy()
        self._device.unconfigure()


@final
class MdevParent:
    """The GPU of ``host``, whose driver is called ``driver``. ``policy`` makes its devices: by default vGPUs for users of this process."""

    def __init__(self, host: Host, *, driver: str = "i915", policy: DevicePolicy | None = None) -> None:
        self.host = host
        self.driver = driver
        self._policy: DevicePolicy = policy if policy is not None else MediatedPolicy(host)
        self.types: dict[str, MdevType] = {made.id: made for made in (MdevType(self, offer.type) for offer in host.types())}
        """The types by id, in the kernel's order."""
        self.devices: dict[str, MdevDevice] = {}
        """The devices by UUID, in the order they were made."""
        self._watchers: list[Callable[[], None]] = []

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` after each device that is made or removed."""
        self._watchers.append(changed)

    def create(self, type_id: str, uuid: str) -> MdevDevice:
        """A new device of the type with id ``type_id``, known by ``uuid``: 8-4-4-4-12 hexadecimal digits.

        Raises: UsageError for a type that is not offered, for no UUID, and for one that is in use; ResourceExhausted, naming what of the
        GPU ran out, when no instance is left. Nothing has changed then.
        """
        offered = self.types.get(type_id)
        if offered is None:
            raise UsageError(f"type {type_id!r}: this GPU offers {', '.join(self.types) or 'no types'}")
        name = uuid.strip().lower()
        if not _UUID.fullmatch(name):
            raise UsageError(f"UUID {uuid!r}: five groups of 8, 4, 4, 4 and 12 hexadecimal digits, with a - between")
        if name in self.devices:
            raise UsageError(f"UUID {name}: in use, by a device of type {self.devices[name].type.id}")
        device = ProvisionedDevice(name, (self._policy,))
        device.configure(offered.name)
        try:
            made = device.create()
        except BaseException:
            device.unconfigure()
            raise
        self.devices[name] = MdevDevice(name, offered, device, made)
        self.tell()
        return self.devices[name]

    def remove(self, uuid: str) -> None:
        """Take a device away. Raises: UsageError where there is none; StateError while it is open."""
        device = self.devices.get(uuid.strip().lower())
        if device is None:
            raise UsageError(f"UUID {uuid!r}: there is no such device, but {', '.join(self.devices) or 'none at all'}")
        device.take_away()
        del self.devices[device.uuid]
        self.tell()

    def tell(self) -> None:
        """Something of the GPU has been taken or given back: what is left of each type is to be shown anew."""
        for changed in self._watchers:
            changed()
