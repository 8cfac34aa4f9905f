"""One vGPU: the device that a guest finds in its PCI slot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.bus import Region
from pvinfo.finding import FindingLog
from pvinfo.platform import Engine
from pvinfo.trace import TraceWriter

from ..device.config_space import ConfigurationSpace
from ..device.display.display import Display
from ..device.interrupts import InterruptTree
from ..device.mmio.registers import RegisterPage
from ..device.mmio.window import BAR0_SIZE, MmioWindow
from ..device.sideband import SidebandRegisters
from ..device.traced import TracedDevice
from ..hypervisor.base import HypervisorPort
from ..scanout.exported_plane import ExportedPlanes
from .aperture import ApertureWindow
from .audit.audit import CommandAudit
from .client import slept
from .cost import ProcessorTime
from .display_memory import VgpuDisplayMemory
from .failsafe import Failsafe
from .fences import ClientFences
from .policy import policy_for
from .pv import Announcement, PvState
from .resources import VgpuResources
from .shadow.ggtt import GuestGgtt
from .shadow.ppgtt import ShadowTables
from .snapshot import GT_REGISTERS_END, guest_config, show_to_guest
from .software_sci import software_sci
from .standstill import Standstill
from .submission.port import SubmissionPorts
from .submission.queue import EngineQueue
from .types import VgpuType

if TYPE_CHECKING:
    from .mediator import Mediator

__all__ = ("Vgpu",)

_BAR0: Final = 0
_BAR2: Final = 2


@final
class Vgpu(TracedDevice):
    """A mediated GPU; a :class:`~pvinfo.bus.PciDevice`. Made by :meth:`host_model.host.Host.create_vgpu`."""

    def __init__(
        self, number: int, vgpu_type: VgpuType, resources: VgpuResources, mediator: Mediator, port: HypervisorPort, announcement: Announcement
    ) -> None:
        self.number = number
        self.type = vgpu_type
        self.resources = resources
        self.mediator = mediator
        self.gpu = mediator.gpu
        self.hardware = mediator.hardware
        self.turn = mediator.turn
        self.port = port
        self.clock = mediator.clock
        self.time = ProcessorTime(mediator.clock)
        self.platform = self.gpu.platform
        self.scratch_page = mediator.memory.allocate_page(number)
        """What the GPU sees where the guest has mapped nothing; the vGPU's own, so that nothing leaks through it."""
        self._golden = mediator.golden
        mediator.guard.machines[number] = port
        self.findings = FindingLog(number)
        self.registers = RegisterPage()
        self.ggtt = GuestGgtt(self)
        self.tables = ShadowTables(self, mediator.shadow_pool)
        self.audit = CommandAudit(self, mediator.hardware.memory, alone=len(mediator.turn.all) > 1)
        self.fences = ClientFences(self)
        self.interrupts = InterruptTree(self)
        self.submission = SubmissionPorts(self, lambda engine: EngineQueue(self, engine))
        self.sideband = SidebandRegisters()
        self.display = Display(self)
        self.display_memory = VgpuDisplayMemory(self)
        self.exported_planes = ExportedPlanes(self)
        self.pv = PvState(self, announcement)
        self.mmio = MmioWindow(self, policy_for(self.platform.name))
        self.failsafe = Failsafe(self)
        self.standstill = Standstill(self)
        self.aperture = ApertureWindow(self, self.gpu.aperture_size)
        self.config = ConfigurationSpace(
            guest_config(self._golden), {_BAR0: BAR0_SIZE, _BAR2: self.gpu.aperture_size}, self.findings, self.clock,
            self.interrupts.check_pending, lambda value: software_sci(self, value),
        )  # fmt: skip
        self.config.on_sleep = lambda asleep: slept(self, asleep)
        self.resets: Counter[str] = Counter()
        """Resets by kind: ``device``, ``full``, ``engine``."""
        self.interrupts_sent = 0
        self.interrupts_lost = 0
        self._closed = False
        self._orphaned = False
        """Its machine has gone: who comes next is no guest that wakes up."""
        self._show_golden()
        self.display.reset()

    # ---- PciDevice ----

    def bar(self, index: int) -> Region | None:
        if index == _BAR0:
            return self.mmio
        if index == _BAR2:
            return self.aperture
        return None

    def reset(self) -> None:
        """Device reset: a new guest finds what the first one found. Leads out of failsafe mode."""
        self.resets["device"] += 1
        asleep = self.config.in_d3 and not self._orphaned
        self._orphaned = False
        self.submission.reset(frozenset(self.platform.engines))
        self.tables.invalidate()
        self.ggtt.clear()
        self.fences.clear()
        self.sideband.clear()
        self.failsafe.leave()
        self.standstill.message_owed = False
        self._show_golden()
        self.display.reset()
        self.hardware.stale(self)
        if not asleep:
            self.tables.clear()
            self.pv.forget_guest()
        self.config.reset()

    def machine_gone(self) -> None:
        """The machine has gone, and its memory with it: the GPU is taken out of its work, nothing leads to that memory any more, and
        no frame ends. What registers show stays for whoever comes next, translations apart.

        To be called while the memory is still there: what is let go is unpinned page by page. Nothing happens to a vGPU that
        was closed.
        """
        if self._closed:
            return
        self._orphaned = True
        self.submission.reset(frozenset(self.platform.engines))
        self.submission.close()
        self.display.pipes.reset()
        self._let_go()
        # A GPU without work would remember that memory for ever, and keep it from being given back.
        self.hardware.invalidate_translations()
        self.gpu.aperture.forget_pages()
        self.hardware.stale(self)

    def _let_go(self) -> None:
        """Of all guest memory that the GPU may reach."""
        self.tables.clear()
        self.ggtt.clear()
        self.fences.clear()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self.port.connect_msi(handler)

    @property
    def weight(self) -> int:
        """Its share of the GPU's time, beside the others' weights."""
        return self.type.weight

    @property
    def rests(self) -> bool:
        """None of its work is given to the GPU now: it sleeps, or stands still."""
        return self.standstill.reached or self.config.in_d3

    # ---- what handlers ask ----

    def inject_msi(self) -> None:
        """Send the guest an interrupt, if it has set the device up to send one; when it goes on, if it stands still."""
        allowed = self.config.may_interrupt
        if allowed and self.standstill.silent:
            self.standstill.message_owed = True
        elif allowed and self.port.inject_msi():
            self.interrupts_sent += 1
        else:
            self.interrupts_lost += 1

    def reset_engines(self, engines: frozenset[Engine], *, full: bool) -> None:
        """The guest resets its engines (GDRST); ``full`` is the whole GT, which also loses its registers."""
        self.resets["full" if full else "engine"] += 1
        self.submission.reset(engines)
        if full:
            self.tables.invalidate()
            show_to_guest(self._golden, self.registers, GT_REGISTERS_END)
            self.pv.publish()
        self.hardware.stale(self)

    def _show_golden(self) -> None:
        show_to_guest(self._golden, self.registers)
        self.pv.publish()

    # ---- traces and the end ----

    @property
    def traced_as(self) -> str:
        return f"vGPU {self.number} ({self.type.name}, {self.platform.name}) by its guest"

    def record_to(self, trace: TraceWriter | None) -> None:
        self.mmio.trace_to(trace)
        self.config.trace = self.aperture.trace = trace

    def close(self) -> None:
        """The vGPU goes away: the GPU no longer reaches its guest's memory."""
        self._closed = True
        self.end_trace()
        self.submission.close()
        self.display.close()
        self.exported_planes.close()
        self.turn.leave(self)
        self.gpu.findings.forget(self.number)
        self._let_go()
        self.mediator.memory.release_page(self.scratch_page)
        self.port.connect_msi(None)
