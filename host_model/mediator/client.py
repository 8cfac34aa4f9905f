"""Whoever has work for the GPU: a vGPU, the host's own driver or a partition, as far as their common parts know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pvinfo.units import GraphicsAddress

from ..device.base import RegisterDevice
from .hardware.hardware import Holder
from .resources import VgpuResources
from .scheduler.turn import Sharer

if TYPE_CHECKING:
    from ..device.config_space import ConfigurationSpace
    from ..gpu.device import PhysicalGpu
    from .fences import ClientFences
    from .hardware.hardware import Hardware
    from .mediator import Mediator
    from .pv import PvState
    from .scheduler.turns import Turns
    from .submission.port import Queue, SubmissionPorts

__all__ = ("Client", "ClientTable", "slept")


class ClientTable(Protocol):
    """Its part of the global table."""

    def owns(self, address: int, size: int = 1) -> bool:
        """All of ``[address, address + size)`` is its own, and in one piece."""

    def page(self, address: GraphicsAddress) -> memoryview | None:
        """Its memory behind the page that holds the graphics address, to be read and written; None where there is none."""


class Client(RegisterDevice, Sharer, Holder, Protocol):
    """A device that software drives, and whose work the mediator has the GPU do."""

    @property
    def submission(self) -> SubmissionPorts[Queue]:
        """Where its work enters."""

    @property
    def resources(self) -> VgpuResources:
        """Its share of graphics memory and fences."""

    @property
    def ggtt(self) -> ClientTable:
        """Its part of the global table."""

    @property
    def fences(self) -> ClientFences:
        """Its fences."""

    @property
    def pv(self) -> PvState:
        """What is said through its PVINFO page."""

    @property
    def config(self) -> ConfigurationSpace:
        """Its configuration space."""

    @property
    def rests(self) -> bool:
        """None of its work is given to the GPU now: it sleeps, or is held still."""

    @property
    def gpu(self) -> PhysicalGpu:
        """What it is a share of."""

    @property
    def interrupts_sent(self) -> int:
        """Messages that its driver got."""

    @property
    def hardware(self) -> Hardware:
        """The same, as the mediator has it."""

    @property
    def turn(self) -> Turns[Client]:
        """When it has the GPU."""

    @property
    def mediator(self) -> Mediator:
        """What it shares with the others."""


def slept(client: Client, asleep: bool) -> None:
    """Its driver has put the device to sleep (D3hot), in which it neither works nor tells anything but keeps all it has; or woken it up."""
    client.display.pipes.sleep(asleep)
    client.turn.look_at(client)
    if not asleep:
        client.interrupts.check_pending()
