"""The life of a device that is provisioned: what follows what.

::

    UNCONFIGURED --configure--> CONFIGURED --create--> CREATED --open--> OPEN --bind--> BOUND
                 <-unconfigure-            <-destroy--         <------------close------------

A profile is fixed when a device is configured, and with it the device's share of the GPU, which it keeps through any number of
creations until it is unconfigured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol, final

from pvinfo.errors import StateError, UsageError

from ...mediator.resources import VgpuResources
from ...mediator.types import VgpuType
from ..device import DeviceState, VfioDevice

__all__ = ("DevicePolicy", "LifeState", "MadeDevice", "Profile", "ProvisionedDevice")


class LifeState(Enum):
    """Where a device is in its life."""

    UNCONFIGURED = "unconfigured"
    CONFIGURED = "configured"
    """it has a profile and a share of the GPU"""
    CREATED = "created"
    """the device exists, and nobody uses it"""
    OPEN = "open"
    """a user has it, blocked until it is bound"""
    BOUND = "bound"
    """a user has it, and it is bound to an IOMMU context"""


_LEGAL: Final = {
    LifeState.UNCONFIGURED: "configure",
    LifeState.CONFIGURED: "create and unconfigure",
    LifeState.CREATED: "open and destroy",
    LifeState.OPEN: "binding the open device and closing it",
    LifeState.BOUND: "using the open device and closing it",
}


class Profile(NamedTuple):
    """What a device is to be."""

    name: str
    policy: str
    """Name of the :class:`DevicePolicy` that makes it."""
    size: VgpuType
    """Its share of the GPU."""


class MadeDevice(Protocol):
    """A device that exists."""

    @property
    def number(self) -> int:
        """Whom the GPU works for when it works for this device."""

    @property
    def resources(self) -> VgpuResources:
        """Its share of the GPU: the one that was reserved."""

    @property
    def connected(self) -> bool:
        """It is used by who came by a way of its own, a socket, instead of :meth:`open`."""

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """The device for one user of this process, who calls ``closed`` at the end. Raises: StateError where users come by another way."""

    def destroy(self) -> None:
        """Take it away. Its share stays reserved."""


class DevicePolicy(Protocol):
    """What becomes of a device's accesses, trapped or passed through; and so how one is made."""

    @property
    def name(self) -> str:
        """Short and stable."""

    def profiles(self) -> tuple[Profile, ...]:
        """What can be provisioned, whether or not there is room now."""

    def reserve(self, profile: Profile, name: str) -> VgpuResources:
        """A share of the GPU for the device called ``name``. Raises: ResourceExhausted naming what ran out, and who has it."""

    def give_back(self, resources: VgpuResources) -> None:
        """Take a share back."""

    def make(self, profile: Profile, resources: VgpuResources, name: str) -> MadeDevice:
        """The device called ``name``, on the share that was reserved for it, which stays reserved when this raises."""


class _Configured(NamedTuple):
    profile: Profile
    policy: DevicePolicy


@final
class ProvisionedDevice:
    """A device called ``name``, to be of any profile of ``policies``."""

    def __init__(self, name: str, policies: Sequence[DevicePolicy]) -> None:
        self.name = name
        self._policies = tuple(policies)
        self._configured: _Configured | None = None
        self._resources: VgpuResources | None = None
        self._made: MadeDevice | None = None
        self._user: VfioDevice | None = None

    @property
    def state(self) -> LifeState:
        """Where it is in its life."""
        if self._user is not None:
            return LifeState.BOUND if self._user.state is DeviceState.BOUND else LifeState.OPEN
        if self._made is not None:
            return LifeState.BOUND if self._made.connected else LifeState.CREATED
        return LifeState.CONFIGURED if self._configured is not None else LifeState.UNCONFIGURED

    @property
    def profile(self) -> Profile | None:
        """What it is configured to be."""
        return self._configured.profile if self._configured is not None else None

    @property
    def resources(self) -> VgpuResources | None:
        """Its share of the GPU, from being configured until it is no more."""
        return self._resources

    @property
    def made(self) -> MadeDevice | None:
        """The device itself, while it exists."""
        return self._made

    def profiles(self) -> tuple[Profile, ...]:
        """What it can be configured to be."""
        return tuple(profile for policy in self._policies for profile in policy.profiles())

    def _wrong(self, action: str, required: LifeState) -> StateError:
        state = self.state
        return StateError(f"{action} of {self.name}", f"{state.value} (legal: {_LEGAL[state]})", required.value)

    def configure(self, profile: Profile | str) -> None:
        """Fix the profile and take the share. Raises: StateError; UsageError that lists the profiles; ResourceExhausted."""
        if self.state is not LifeState.UNCONFIGURED:
            raise self._wrong("configure", LifeState.UNCONFIGURED)
        for policy in self._policies:
            for known in policy.profiles():
                if profile in (known, known.name):
                    self._resources = policy.reserve(known, self.name)
                    self._configured = _Configured(known, policy)
                    return
        asked = profile if isinstance(profile, str) else profile.name
        raise UsageError(f"{self.name}: profile {asked!r}, but there are {', '.join(known.name for known in self.profiles()) or 'none'}")

    def unconfigure(self) -> None:
        """Give the share back. Raises: StateError."""
        if self.state is not LifeState.CONFIGURED or self._configured is None or self._resources is None:
            raise self._wrong("unconfigure", LifeState.CONFIGURED)
        self._configured.policy.give_back(self._resources)
        self._configured = self._resources = None

    def create(self) -> MadeDevice:
        """Have the device exist. Raises: StateError; what the policy raises, and it stays configured."""
        if self.state is not LifeState.CONFIGURED or self._configured is None or self._resources is None:
            raise self._wrong("create", LifeState.CONFIGURED)
        self._made = self._configured.policy.make(self._configured.profile, self._resources, self.name)
        return self._made

    def open(self) -> VfioDevice:
        """The device for one user: its life goes on there, with bind and close. Raises: StateError."""
        if self.state is not LifeState.CREATED or self._made is None:
            raise self._wrong("open", LifeState.CREATED)
        self._user = self._made.open(self._closed)
        return self._user

    def _closed(self) -> None:
        self._user = None

    def destroy(self) -> None:
        """Have the device exist no more; it stays configured. Raises: StateError."""
        if self.state is not LifeState.CREATED or self._made is None:
            raise self._wrong("destroy", LifeState.CREATED)
        made, self._made = self._made, None
        made.destroy()
