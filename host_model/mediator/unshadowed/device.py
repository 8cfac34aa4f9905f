"""What every client without a shadow is, whatever stands behind its registers and its memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.bus import Region
from pvinfo.finding import FindingLog
from pvinfo.platform import Engine

from ...device.config_space import ConfigurationSpace
from ...device.interrupts import InterruptTree
from ...device.mmio.registers import RegisterPage
from ...device.mmio.window import BAR0_SIZE
from ..aperture import ApertureWindow
from ..client import slept
from ..cost import ProcessorTime
from ..fences import ClientFences
from ..pv import Announcement, PvState
from ..snapshot import GT_REGISTERS_END, guest_config, show_to_guest
from ..submission.port import SubmissionPorts
from .queue import UnshadowedQueue

if TYPE_CHECKING:
    from ...device.display.display import Display
    from ...device.sideband import SidebandRegisters
    from ...isolation import Pinned
    from ..client import ClientTable
    from ..mediator import Mediator
    from ..resources import VgpuResources

__all__ = ("UnshadowedDevice",)

_BAR0: Final = 0
_BAR2: Final = 2


class UnshadowedDevice(ABC):
    """A :class:`~pvinfo.bus.PciDevice`, and a :class:`~host_model.mediator.client.Client`.

    Who derives from it says what its memory, its part of the table, its display and the side-band are, and how an access to BAR0 goes.
    """

    sideband: SidebandRegisters
    display: Display

    def __init__(self, mediator: Mediator, number: int, weight: int, resources: VgpuResources) -> None:
        self.number = number
        self.weight = weight
        """Its share of the GPU's time, beside the others' weights."""
        self.mediator = mediator
        self.gpu = mediator.gpu
        self.hardware = mediator.hardware
        self.turn = mediator.turn
        self.clock = mediator.clock
        self.time = ProcessorTime(mediator.clock)
        self.platform = self.gpu.platform
        self.resources = resources
        self.findings = FindingLog(number)
        self.registers = RegisterPage()
        self.fences = ClientFences(self)
        self.interrupts = InterruptTree(self)
        self.submission = SubmissionPorts(self, lambda engine: UnshadowedQueue(self, engine))
        self.pv = PvState(self, Announcement())
        self.aperture = ApertureWindow(self, self.gpu.aperture_size)
        self.config = ConfigurationSpace(
            guest_config(mediator.golden), {_BAR0: BAR0_SIZE, _BAR2: self.gpu.aperture_size}, self.findings, self.clock,
            self.interrupts.check_pending,
        )  # fmt: skip
        self.config.on_sleep = lambda asleep: slept(self, asleep)
        self.resets: Counter[str] = Counter()
        """Resets by kind: ``device``, ``full``, ``engine``."""
        self.interrupts_sent = 0
        self.interrupts_lost = 0
        self._interrupt_handler: Callable[[], None] | None = None

    @property
    @abstractmethod
    def port(self) -> Pinned:
        """Its driver's memory, as far as the GPU reaches it."""

    @property
    @abstractmethod
    def ggtt(self) -> ClientTable:
        """Its part of the global table."""

    @property
    @abstractmethod
    def mmio(self) -> Region:
        """BAR0."""

    # ---- PciDevice ----

    def bar(self, index: int) -> Region | None:
        if index == _BAR0:
            return self.mmio
        if index == _BAR2:
            return self.aperture
        return None

    @abstractmethod
    def reset(self) -> None:
        """Device reset, of what is its own."""

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._interrupt_handler = handler

    @property
    def rests(self) -> bool:
        """None of its work is given to the GPU now: it sleeps."""
        return self.config.in_d3

    # ---- what handlers ask ----

    def inject_msi(self) -> None:
        """Interrupt the driver, if it has set the device up to send interrupts."""
        if self.config.may_interrupt and self._interrupt_handler is not None:
            self.interrupts_sent += 1
            self._interrupt_handler()
        else:
            self.interrupts_lost += 1

    def reset_engines(self, engines: frozenset[Engine], *, full: bool) -> None:
        """The driver resets its engines (GDRST); ``full`` is the whole GT. Only its own work is hit: an engine that works for another
        client goes on, and registers of the physical GPU, by which others' work runs as well, stay as they are."""
        self.resets["full" if full else "engine"] += 1
        self.submission.reset(engines)
        if full:
            show_to_guest(self.mediator.golden, self.registers, GT_REGISTERS_END)
            self.pv.publish()
        self.hardware.stale(self)

    def _show_golden(self) -> None:
        """Registers hold what a driver finds that comes first."""
        show_to_guest(self.mediator.golden, self.registers)
        self.pv.publish()
        self.pv.forget_guest()
