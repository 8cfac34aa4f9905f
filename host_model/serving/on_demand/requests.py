"""What can be asked of a server's devices, in words: each request does one thing, and is answered in lines or by an error.

Two ways of making a device, on one pool of resources: by UUID, as sysfs has it (``mdev``), and by a name of one's own that is configured,
then created, then destroyed (``device``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, final

from pvinfo.errors import UsageError

from ...vfio.mdev import MdevParent
from ...vfio.provisioning import LifeState, ProvisionedDevice
from .policy import SocketPolicy

__all__ = ("DEVICE_VERBS", "MDEV_VERBS", "Requests", "Verb")


class Verb(NamedTuple):
    """One thing to ask for."""

    purpose: str
    arguments: tuple[str, ...] = ()


MDEV_VERBS: Final = {
    "types": Verb("list the types, with how many more devices of each can be made"),
    "list": Verb("list the devices: UUID, type, vGPU, socket, whether somebody uses it"),
    "create": Verb("make a device, and print where it is served", ("TYPE", "UUID")),
    "remove": Verb("take a device away that nobody uses", ("UUID",)),
}
DEVICE_VERBS: Final = {
    "profiles": Verb("list what a device can be configured to be"),
    "list": Verb("list the devices: name, state, profile, share, socket"),
    "configure": Verb("fix a device's profile, and reserve its share of the GPU", ("NAME", "PROFILE")),
    "create": Verb("have a configured device exist, and print where it is served", ("NAME",)),
    "destroy": Verb("have a device that nobody uses exist no more; it stays configured", ("NAME",)),
    "unconfigure": Verb("give the share of a configured device back", ("NAME",)),
}
_GROUPS: Final = {"mdev": MDEV_VERBS, "device": DEVICE_VERBS}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@final
class Requests:
    """The requests to one server: the devices of ``parent``, and those that are provisioned by ``policy``."""

    def __init__(self, parent: MdevParent, policy: SocketPolicy) -> None:
        self._parent = parent
        self._policy = policy
        self._devices: dict[str, ProvisionedDevice] = {}
        """By name, as long as they are configured."""
        self._acts: dict[tuple[str, str], Callable[..., list[str]]] = {
            ("mdev", "types"): self._types,
            ("mdev", "list"): self._mdevs,
            ("mdev", "create"): self._make,
            ("mdev", "remove"): self._take_away,
            ("device", "profiles"): self._profiles,
            ("device", "list"): self._provisioned,
            ("device", "configure"): self._configure,
            ("device", "create"): self._create,
            ("device", "destroy"): self._destroy,
            ("device", "unconfigure"): self._unconfigure,
        }

    def answer(self, words: Sequence[str]) -> list[str]:
        """Do what the words say; lines for who asked. Raises: UsageError, StateError, ResourceExhausted, SetupError; nothing has changed then."""
        group, verb, arguments = words[0] if words else "", words[1] if len(words) > 1 else "", words[2:]
        if verb not in _GROUPS.get(group, {}):
            known = "; ".join(f"{name} {', '.join(verbs)}" for name, verbs in _GROUPS.items())
            raise UsageError(f"request {' '.join(words)!r}: there are {known}")
        wanted = _GROUPS[group][verb].arguments
        if len(arguments) != len(wanted):
            raise UsageError(f"{group} {verb} takes {' and '.join(wanted) or 'nothing'}, but {len(arguments)} words came")
        return self._acts[group, verb](*arguments)

    # ---- by UUID ----

    def _types(self) -> list[str]:
        return [f"{each.id} {each.available_instances} available: {each.type.description}" for each in self._parent.types.values()]

    def _mdevs(self) -> list[str]:
        return [
            f"{each.uuid} {each.type.id} vGPU {each.made.number} {self._policy.path_of(each.uuid)} {'in use' if each.in_use else 'free'}"
            for each in self._parent.devices.values()
        ]

    def _make(self, type_id: str, uuid: str) -> list[str]:
        if uuid.strip().lower() in self._devices:
            raise UsageError(f"UUID {uuid}: in use, by a device that is provisioned under this name")
        made = self._parent.create(type_id, uuid)
        return [f"ready {self._policy.path_of(made.uuid)}"]

    def _take_away(self, uuid: str) -> list[str]:
        self._parent.remove(uuid)
        return []

    # ---- by name ----

    def _profiles(self) -> list[str]:
        return [f"{profile.name}: {profile.size.description}" for profile in self._policy.profiles()]

    def _provisioned(self) -> list[str]:
        lines = []
        for name, device in self._devices.items():
            profile = device.profile.name if device.profile is not None else "-"
            share = device.resources.owned if device.resources is not None else "-"
            where = str(self._policy.path_of(name)) if device.made is not None else "-"
            lines.append(f"{name} {device.state.value} {profile} {share} {where}")
        return lines

    def _device(self, name: str) -> ProvisionedDevice:
        """The device of this name: a new one where none is configured."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"name {name!r}: it is a letter or digit and up to 62 letters, digits, . _ and - more")
        if name in self._parent.devices:
            raise UsageError(f"name {name}: in use, as the UUID of a device of type {self._parent.devices[name].type.id}")
        return self._devices.get(name) or ProvisionedDevice(name, (self._policy,))

    def _configure(self, name: str, profile: str) -> list[str]:
        device = self._device(name)
        device.configure(profile)
        self._devices[name] = device
        self._parent.tell()
        return [f"{name} {device.state.value}"]

    def _create(self, name: str) -> list[str]:
        self._device(name).create()
        return [f"ready {self._policy.path_of(name)}"]

    def _destroy(self, name: str) -> list[str]:
        device = self._device(name)
        device.destroy()
        return [f"{name} {device.state.value}"]

    def _unconfigure(self, name: str) -> list[str]:
        device = self._device(name)
        device.unconfigure()
        assert device.state is LifeState.UNCONFIGURED, "its share is given back"
        del self._devices[name]
        self._parent.tell()
        return [f"{name} {device.state.value}"]
