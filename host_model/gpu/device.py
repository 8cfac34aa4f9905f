"""The physical GPU: a whole PCI device that knows nothing of guests.

A host's driver is bound to it, or a mediator shares it out; either goes through its registers. It sees bus addresses, its
own table and whatever memory stands behind the bus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, final

from pvinfo.bus import Region
from pvinfo.finding import FindingLog
from pvinfo.platform import ENGINES, Platform
from pvinfo.platform import Engine as EngineName
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.fence import FENCE_BASE, FENCE_COUNT
from pvinfo.trace import TraceWriter
from pvinfo.units import GIB, PAGE_SIZE

from ..clock import HostClock
from ..device.config_space import ConfigurationSpace
from ..device.display.display import Display
from ..device.interrupts import InterruptTree
from ..device.mmio.registers import RegisterPage
from ..device.mmio.window import BAR0_SIZE, MmioWindow
from ..device.sideband import SidebandRegisters
from ..device.traced import TracedDevice
from ..memory import BusMemory
from .aperture import HardwareAperture
from .config_image import STOLEN_BASE, STOLEN_SIZE, config_image
from .display_memory import HardwareDisplayMemory
from .display_wait import DisplayWait
from .engine import Engine
from .engines import Engines
from .policy import policy_for
from .reset_values import reset_values
from .stolen import MemoryWithStolen, stolen_bytes
from .table_window import HardwareTable

__all__ = ("PhysicalGpu",)

_IO_WINDOW: Final = 64
_ENGINE_BLOCK: Final = 0xFFF
_ENGINE_AT: Final = {specification.base: name for name, specification in ENGINES.items()}
_GT_END: Final = 0x44200
"""A reset of the whole GT restores the registers below; interrupts and display, above, survive it."""


class _CommandBus:
    """Registers as commands see them."""

    def __init__(self, window: MmioWindow) -> None:
        self.read32 = window.served_read
        self.write32 = window.served_write


@final
class PhysicalGpu(TracedDevice):
    """One GPU; a :class:`~pvinfo.bus.PciDevice`.

    Its registers begin as firmware and an i915 of the host have left them, so that a mediator's snapshot is a real one.
    ``memory`` is what it reaches by bus address. Where each engine is let to memory in a way of its own, ``engine_memory`` gives
    that; ``memory`` is for display and aperture then.

    Raises: UsageError for a GGTT size that no GPU has (1, 2 or 4 GiB).
    """

    def __init__(
        self, platform: Platform, aperture_size: int, memory: BusMemory, clock: HostClock, ggtt_size: int = 4 * GIB, *,
        engine_memory: Callable[[EngineName], BusMemory] | None = None,
    ) -> None:  # fmt: skip
        self.platform = platform
        self.aperture_size = aperture_size
        self.ggtt_size = ggtt_size
        stolen = stolen_bytes(STOLEN_SIZE)
        self.memory: BusMemory = MemoryWithStolen(memory, STOLEN_BASE, stolen)
        """What display and aperture reach by bus address, and engines too unless each has a way of its own."""
        self.clock = clock
        self.findings = FindingLog(0)
        self.registers = RegisterPage()
        self.fences = memoryview(self.registers.bytes)[FENCE_BASE : FENCE_BASE + 8 * FENCE_COUNT].cast("Q")
        """Hardware fences, low dword first; the registers themselves."""
        self.interrupts = InterruptTree(self)
        self.sideband = SidebandRegisters()
        self.display = Display(self)
        self.ggtt: HardwareTable = HardwareTable(ggtt_size // PAGE_SIZE)
        self.display_memory = HardwareDisplayMemory(self)
        self.mmio: MmioWindow = MmioWindow(self, policy_for(platform.name))
        self.aperture = HardwareAperture(self, aperture_size)
        self._image = config_image(platform, ggtt_size)
        sizes = {0: BAR0_SIZE, 2: aperture_size, 4: _IO_WINDOW}
        self.config = ConfigurationSpace(self._image, sizes, self.findings, clock, self.interrupts.check_pending)
        self.config.on_sleep = self.display.pipes.sleep
        self.resets: Counter[str] = Counter()
        """Resets by kind: ``device``, ``full``, ``engine``."""
        self.interrupts_sent = 0
        self._interrupt_handler: Callable[[], None] | None = None

        def behind(name: EngineName) -> BusMemory:
            return self.memory if engine_memory is None else MemoryWithStolen(engine_memory(name), STOLEN_BASE, stolen)

        self.engines = Engines(
            platform, clock, behind, self.ggtt.entries, self.registers.dwords, _CommandBus(self.mmio), self._engine_event, self.findings
        )
        for engine in self.engines:
            engine.event_reached = DisplayWait(self.display.pipes).reached
        for row in reset_values(platform.name):
            self.registers.write32(row.offset, row.value)
        self._fresh = bytes(self.registers.bytes)

    # ---- PciDevice ----

    def bar(self, index: int) -> Region | None:
        if index == 0:
            return self.mmio
        if index == 2:
            return self.aperture
        return None

    def reset(self) -> None:
        """Function-level reset. The table keeps its entries, as on hardware."""
        self.resets["device"] += 1
        self.engines.reset(self.platform.engines)
        self.registers.load(self._fresh)
        self.aperture.forget_pages()
        self.sideband.clear()
        self.display.reset()
        self.config.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._interrupt_handler = handler

    # ---- what handlers ask ----

    def inject_msi(self) -> None:
        """Send an interrupt, if the driver has set the device up to send one."""
        if self.config.msi_enabled and self.config.master_enabled and self._interrupt_handler is not None:
            self.interrupts_sent += 1
            self._interrupt_handler()

    def reset_engines(self, engines: frozenset[EngineName], *, full: bool) -> None:
        """GDRST: reset the engines, or the whole GT with its registers."""
        self.resets["full" if full else "engine"] += 1
        if full:
            self.registers.load(self._fresh, 0, _GT_END)
            self.aperture.forget_pages()
        self.engines.reset(engines)

    def engine_at(self, offset: int) -> Engine:
        """The engine whose block holds the register at ``offset``."""
        return self.engines[_ENGINE_AT[offset & ~_ENGINE_BLOCK]]

    def _engine_event(self, name: EngineName, event: int) -> None:
        """One bit of EngineInterrupt: masked by the engine's own register first, then by its group's."""
        specification = ENGINES[name]
        bit = event << specification.interrupt_shift
        if not EngineRegisters(self.registers, specification.base).imr & bit:
            self.interrupts.raise_bits(f"GT{specification.interrupt_group}", bit)

    # ---- what a mediator asks ----

    def config_image(self) -> bytes:
        """The configuration space at power-on, 4096 bytes."""
        return self._image

    def restore_registers(self, parts: Iterable[range]) -> None:
        """Have these registers hold what they hold after a reset, and the display be as they say."""
        for part in parts:
            self.registers.load(self._fresh, part.start, part.stop)
        self.sideband.clear()
        self.display.reset()

    def write_fence(self, number: int, value: int) -> None:
        """Set fence ``number``; 0 takes it out of use. The fence never covers a range that is half old, half new."""
        offset = FENCE_BASE + 8 * number
        self.registers.write32(offset, 0)
        self.registers.write32(offset + 4, value >> 32)
        self.registers.write32(offset, value & 0xFFFFFFFF)

    # ---- traces ----

    @property
    def traced_as(self) -> str:
        return f"the physical GPU ({self.platform.name}) by its driver"

    def record_to(self, trace: TraceWriter | None) -> None:
        """See :class:`~host_model.device.traced.TracedDevice`. What engines tell the driver in memory is recorded as well."""
        self.mmio.trace_to(trace)
        self.config.trace = self.aperture.trace = trace
        for engine in self.engines:
            engine.trace_to(trace)
