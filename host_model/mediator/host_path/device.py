"""The GPU as the host's own driver finds it in its slot: a share of it, like a vGPU's, but without a shadow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.bus import Region
from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.finding import FindingLog
from pvinfo.platform import Engine

from ...device.config_space import ConfigurationSpace
from ...device.interrupts import InterruptTree
from ...device.mmio.registers import RegisterPage
from ...device.mmio.window import BAR0_SIZE
from ..aperture import ApertureWindow
from ..cost import ProcessorTime
from ..fences import ClientFences
from ..pv import Announcement, PvState
from ..snapshot import GT_REGISTERS_END, guest_config, show_to_guest
from ..submission.port import SubmissionPorts
from ..types import MAX_WEIGHT
from ..unshadowed.queue import UnshadowedQueue
from .memory import HostRam
from .screen import HostScreen
from .share import host_share
from .table import HostTable
from .ways import passing_ranges
from .window import HostWindow

if TYPE_CHECKING:
    from ..mediator import Mediator

__all__ = ("HOST", "HOST_WEIGHT", "HostDevice")

HOST: Final = 0
"""The host's number among the GPU's clients."""
HOST_WEIGHT: Final = 8
"""Its usual share of GPU time: that of a vGPU of half the GPU."""
_BAR0: Final = 0
_BAR2: Final = 2


@final
class HostDevice:
    """The host's device; a :class:`~pvinfo.bus.PciDevice`. Made by :meth:`host_model.host.Host.own_device`.

    ``weight`` is its share of the GPU's time, beside the vGPUs'. ``port`` is the RAM of the machine that it is plugged into.

    Raises: UsageError for a weight that is none; ResourceExhausted when the mediator's buffers have spread to where the driver's part
    of graphics memory is to be.
    """

    def __init__(self, mediator: Mediator, port: HostRam, weight: int) -> None:
        if not 1 <= weight <= MAX_WEIGHT:
            raise UsageError(f"weight {weight} for the host's own device: weights go from 1 to {MAX_WEIGHT}")
        self.number = HOST
        self.weight = weight
        self.mediator = mediator
        self.gpu = mediator.gpu
        self.hardware = mediator.hardware
        self.turn = mediator.turn
        self.port = port
        self.clock = mediator.clock
        self.time = ProcessorTime(mediator.clock)
        self.platform = self.gpu.platform
        self.resources = host_share(self.gpu)
        self._take_share()
        mediator.guard.machines[HOST] = port
        self.findings = FindingLog(HOST)
        self.registers = RegisterPage()
        self.sideband = self.gpu.sideband
        self.display = self.gpu.display
        self.ggtt = HostTable(self)
        self.fences = ClientFences(self)
        self.interrupts = InterruptTree(self)
        self.submission = SubmissionPorts(self, lambda engine: UnshadowedQueue(self, engine))
        self.pv = PvState(self, Announcement())
        self.mmio = HostWindow(self)
        self.aperture = ApertureWindow(self, self.gpu.aperture_size)
        self.screen = HostScreen(self)
        """What it shows."""
        self.config = ConfigurationSpace(
            guest_config(mediator.golden), {_BAR0: BAR0_SIZE, _BAR2: self.gpu.aperture_size}, self.findings, self.clock,
            self.interrupts.check_pending,
        )  # fmt: skip
        self.config.on_sleep = self._slept
        self.resets: Counter[str] = Counter()
        """Resets by kind: ``device``, ``full``, ``engine``."""
        self.interrupts_sent = 0
        self.interrupts_lost = 0
        self.is_open = True
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
        """Device reset, of what is the host's: its work, its part of graphics memory, and the display. Guests notice nothing."""
        self.resets["device"] += 1
        self.submission.reset(self.platform.engines)
        self._let_go()
        self.hardware.stale(self)
        self.config.reset()
        self._begin()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._interrupt_handler = handler

    @property
    def rests(self) -> bool:
        """None of its work is given to the GPU now: it sleeps."""
        return self.config.in_d3

    # ---- what handlers ask ----

    def inject_msi(self) -> None:
        """Interrupt the driver, if it has set the device up to send interrupts."""
        allowed = self.config.msi_enabled and self.config.master_enabled and not self.config.in_d3
        if allowed and self._interrupt_handler is not None:
            self.interrupts_sent += 1
            self._interrupt_handler()
        else:
            self.interrupts_lost += 1

    def reset_engines(self, engines: frozenset[Engine], *, full: bool) -> None:
        """The driver resets its engines (GDRST); ``full`` is the whole GT. Only its own work is hit: an engine that works for a guest
        goes on, and registers that pass, by which guests' work runs as well, stay as they are."""
        self.resets["full" if full else "engine"] += 1
        self.submission.reset(engines)
        if full:
            show_to_guest(self.mediator.golden, self.registers, GT_REGISTERS_END)
            self.pv.publish()
        self.hardware.stale(self)

    def _slept(self, asleep: bool) -> None:
        """The driver has put its device to sleep (D3hot), or woken it up. Guests go on."""
        self.display.pipes.sleep(asleep)
        self.turn.look_at(self)
        if not asleep:
            self.interrupts.check_pending()

    # ---- beginning and end ----

    def _take_share(self) -> None:
        memory = self.hardware.memory
        memory.keep_out(self.resources.low)
        try:
            memory.keep_out(self.resources.high)
        except ResourceExhausted:
            memory.let_in(self.resources.low)
            raise

    def _begin(self) -> None:
        self.ggtt.clear()
        show_to_guest(self.mediator.golden, self.registers)
        self.pv.publish()
        self.pv.forget_guest()
        self.hardware.interrupts.on_host_events = self.interrupts.raise_bits

    def _let_go(self) -> None:
        """Of the hardware, all that the driver has set up."""
        self.hardware.interrupts.close_host_groups()
        self.gpu.restore_registers(passing_ranges(self.platform.name, GT_REGISTERS_END))
        self.ggtt.clear()
        self.fences.clear()

    def close(self) -> None:
        """The driver's machine goes away: its work is taken back, its part of the GPU is the mediator's again, and the GPU
        no longer reaches its memory. Nothing happens the second time."""
        if not self.is_open:
            return
        self.is_open = False
        self._interrupt_handler = None
        self.submission.close()
        self.turn.leave(self)
        self._let_go()
        for part in (self.resources.low, self.resources.high):
            self.hardware.memory.let_in(part)
        self.port.close()
