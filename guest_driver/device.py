"""What a driver holds of its device: the parts, in the order in which the probe makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar, final, overload

from pvinfo.bus import Machine, Region
from pvinfo.errors import StateError
from pvinfo.page import GraphicsRange
from pvinfo.platform import Platform

from .balloon import Balloon
from .client import Client
from .detect import VgpuInterface
from .device_info import DeviceInfo
from .fence import Fences
from .ggtt import Ggtt
from .gt import Gt
from .interrupts import Interrupts
from .log import DriverLog
from .memory import GuestPages
from .pci import PciFunction
from .state import DriverState, StateMachine
from .uncore import Uncore
from .work import Work

__all__ = ("Device", "Part", "Resources")

P = TypeVar("P")


class Resources(NamedTuple):
    """What of the GPU belongs to the driver: of a vGPU what the page says, of a bare GPU everything."""

    mappable: GraphicsRange
    nonmappable: GraphicsRange
    fences: int


@final
class Part(Generic[P]):
    """An attribute that exists from a certain state on; before, and after the unload, asking for it raises StateError."""

    def __init__(self, since: DriverState, doc: str) -> None:
        self.since = since
        self.__doc__ = doc
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Part[P]: ...
    @overload
    def __get__(self, instance: Device, owner: type) -> P: ...
    def __get__(self, instance: Device | None, owner: type) -> Part[P] | P:
        if instance is None:
            return self
        try:
            part: P = instance.parts[self._name]  # type: ignore[assignment]
        except KeyError:
            raise StateError(f"use of {self._name}", instance.state.value, f"{self.since.value} or later") from None
        return part

    def __set__(self, instance: Device, value: P) -> None:
        instance.parts[self._name] = value


class Device:
    """The parts of one driver. :class:`guest_driver.GuestDriver` is what is used."""

    pci: Part[PciFunction] = Part(DriverState.PLACED, "The PCI function.")
    platform: Part[Platform] = Part(DriverState.PLACED, "The platform it belongs to.")
    uncore: Part[Uncore] = Part(DriverState.PLACED, "Its registers.")
    interface: Part[VgpuInterface] = Part(DriverState.DETECTED, "Version and capabilities of the host; a bare GPU has none.")
    info: Part[DeviceInfo] = Part(DriverState.AWAKE, "What the part at hand has.")
    memory: Part[GuestPages] = Part(DriverState.SIZED, "The guest's page frames.")
    aperture: Part[Region] = Part(DriverState.SIZED, "The window onto the mappable part of graphics memory.")
    ggtt: Part[Ggtt] = Part(DriverState.SIZED, "Graphics memory and its table.")
    fences: Part[Fences] = Part(DriverState.SIZED, "The fences.")
    interrupts: Part[Interrupts] = Part(DriverState.LISTENING, "The interrupt tree.")
    resources: Part[Resources] = Part(DriverState.BALLOONED, "What of the GPU belongs to the driver.")
    balloon: Part[Balloon] = Part(DriverState.BALLOONED, "What is kept from the allocator because it does not.")
    gt: Part[Gt] = Part(DriverState.STARTED, "The engines.")

    def __init__(self, machine: Machine, *, vgpu_required: bool) -> None:
        self.machine = machine
        self.work = Work(machine.clock)
        """What the driver has put off."""
        self.vgpu_required = vgpu_required
        """The driver is for vGPUs only."""
        self.log = DriverLog(machine.clock)
        self.states = StateMachine()
        self.parts: dict[str, object] = {}
        """The parts that exist, by name of the attribute."""
        self.undo: list[Callable[[], None]] = []
        """What takes back a probe that fails half way, the latest last."""
        self.clients: list[Client] = []
        """The open ones, oldest first."""

    @property
    def state(self) -> DriverState:
        """How far the driver has come."""
        return self.states.state

    @property
    def virtual(self) -> bool:
        """There is a GVT-g host behind the device."""
        return "interface" in self.parts
