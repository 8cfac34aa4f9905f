"""A partition that was made: the device that its user's driver finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.bus import Region
from pvinfo.finding import FindingLog
from pvinfo.platform import Engine

from ....device.config_space import ConfigurationSpace
from ....device.display.display import Display
from ....device.interrupts import InterruptTree
from ....device.mmio.registers import RegisterPage
from ....device.mmio.window import BAR0_SIZE, MmioWindow
from ....device.sideband import SidebandRegisters
from ....mediator.aperture import ApertureWindow
from ....mediator.cost import ProcessorTime
from ....mediator.fences import ClientFences
from ....mediator.pv import Announcement, PvState
from ....mediator.resources import VgpuResources
from ....mediator.snapshot import GT_REGISTERS_END, guest_config, show_to_guest
from ....mediator.submission.port import SubmissionPorts
from ....mediator.unshadowed.queue import UnshadowedQueue
from ...device import VfioDevice
from ..life import Profile
from .domain import PartitionDomain
from .function import PartitionFunction
from .registers import policy_for
from .table import PartitionTable

if TYPE_CHECKING:
    from ....mediator.mediator import Mediator

__all__ = ("FIRST_NUMBER", "PartitionDevice")

FIRST_NUMBER: Final = 1 << 16
"""Partitions are numbered from here on, vGPUs from 1."""
_BAR0: Final = 0
_BAR2: Final = 2


@final
class PartitionDevice:
    """A partition; a :class:`~pvinfo.bus.PciDevice` and a client of the mediator, as :class:`~host_model.mediator.client.Client` says."""

    connected: Final = False

    def __init__(self, mediator: Mediator, number: int, profile: Profile, resources: VgpuResources) -> None:
        self.number = number
        self.profile = profile
        self.resources = resources
        self.mediator = mediator
        self.gpu = mediator.gpu
        self.hardware = mediator.hardware
        self.turn = mediator.turn
        self.clock = mediator.clock
        self.time = ProcessorTime(mediator.clock)
        self.platform = self.gpu.platform
        self.findings = FindingLog(number)
        self.port = PartitionDomain(
            mediator.memory, lambda error: self.findings.note("host-exhausted", "guest memory", f"{error}: the GPU is not let at the page")
        )
        """Its IOMMU domain."""
        self.port.on_leaving = self._user_gone
        self.scratch_page = mediator.memory.allocate_page(number)
        """What the GPU sees where nothing was written to the table."""
        mediator.guard.machines[number] = self.port
        self.registers = RegisterPage()
        self.sideband = SidebandRegisters()
        self.ggtt = PartitionTable(self)
        self.fences = ClientFences(self)
        self.interrupts = InterruptTree(self)
        self.submission = SubmissionPorts(self, lambda engine: UnshadowedQueue(self, engine))
        self.display = Display(self)
        self.pv = PvState(self, Announcement())
        self.mmio = MmioWindow(self, policy_for(self.platform.name))
        self.aperture = ApertureWindow(self, self.gpu.aperture_size)
        self.config = ConfigurationSpace(
            guest_config(mediator.golden), {_BAR0: BAR0_SIZE, _BAR2: self.gpu.aperture_size}, self.findings, self.clock,
            self.interrupts.check_pending,
        )  # fmt: skip
        self.config.on_sleep = self._slept
        mediator.hardware.functions[number] = PartitionFunction(self)
        self.resets: Counter[str] = Counter()
        """Resets by kind: ``device``, ``full``, ``engine``."""
        self.interrupts_sent = 0
        self.interrupts_lost = 0
        self._interrupt_handler: Callable[[], None] | None = None
        self._begin()

    # ---- PciDevice ----

    def bar(self, index: int) -> Region | None:
        if index == _BAR0:
            return self.mmio
        if index == _BAR2:
            return self.aperture
        return None

    def reset(self) -> None:
        """Function-level reset: nothing runs, nothing is translated or pinned, no fence is in use."""
        self.resets["device"] += 1
        self.submission.reset(self.platform.engines)
        self.sideband.clear()
        self._begin()
        self.hardware.stale(self)
        self.config.reset()
        self.port.let_go()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._interrupt_handler = handler

    # ---- what turns ask ----

    @property
    def weight(self) -> int:
        """Its share of the GPU's time, beside the others' weights: its profile's."""
        return self.profile.size.weight

    @property
    def rests(self) -> bool:
        """None of its work is given to the GPU now: it sleeps."""
        return self.config.in_d3

    # ---- what handlers ask ----

    def inject_msi(self) -> None:
        """Interrupt the user, if its driver has set the device up to send interrupts."""
        allowed = self.config.msi_enabled and self.config.master_enabled and not self.config.in_d3
        if allowed and self._interrupt_handler is not None:
            self.interrupts_sent += 1
            self._interrupt_handler()
        else:
            self.interrupts_lost += 1

    def reset_engines(self, engines: frozenset[Engine], *, full: bool) -> None:
        """The driver resets its engines (GDRST); ``full`` is the whole GT, which also loses its registers. Only its own work is hit."""
        self.resets["full" if full else "engine"] += 1
        self.submission.reset(engines)
        if full:
            show_to_guest(self.mediator.golden, self.registers, GT_REGISTERS_END)
            self.pv.publish()
        self.hardware.stale(self)

    def _slept(self, asleep: bool) -> None:
        """The driver has put its device to sleep (D3hot), or woken it up."""
        self.display.pipes.sleep(asleep)
        self.turn.look_at(self)
        if not asleep:
            self.interrupts.check_pending()

    # ---- beginning and end ----

    def _begin(self) -> None:
        self.ggtt.clear()
        self.fences.clear()
        show_to_guest(self.mediator.golden, self.registers)
        self.pv.publish()
        self.pv.forget_guest()
        self.display.reset()

    def _user_gone(self) -> None:
        """The user closes the device: the GPU is taken out of its work, and nothing leads to its memory any more. What registers show
        stays for whoever comes next."""
        self.submission.reset(self.platform.engines)
        self.submission.close()
        self.display.pipes.reset()
        self.ggtt.clear()
        self.fences.clear()
        # A GPU without work would remember that memory for ever, and keep it from being given back.
        self.hardware.invalidate_translations()
        self.gpu.aperture.forget_pages()
        self.hardware.stale(self)

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """See :class:`~..life.MadeDevice`."""
        return VfioDevice(f"partition {self.number}", self, self.port, mappable=self.resources.low, closed=closed)

    def destroy(self) -> None:
        """See :class:`~..life.MadeDevice`."""
        self.submission.close()
        self.display.close()
        self.turn.leave(self)
        self.gpu.findings.forget(self.number)
        self.fences.clear()
        self.ggtt.give_back()
        self.port.close()
        self.mediator.memory.release_page(self.scratch_page)
