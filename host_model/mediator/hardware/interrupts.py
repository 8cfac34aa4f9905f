"""The physical GPU's interrupt, as the mediator's host driver takes it.

Everything but the engines' status events and errors is masked by the engines themselves: what a guest is to be told of its
work, the mediator knows from the work itself. What comes of display and power is acknowledged and passed on, to the host's own
driver if there is one, which alone opens those groups. The handler's order is that of any driver: master register off and read, each group read and
written back, master on again; what an engine's event is about is looked at after that, outside of every register write.

Source: linux:drivers/gpu/drm/i915/i915_irq.c, linux:drivers/gpu/drm/i915/gt/intel_gt_irq.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.pci import COMMAND, Command, MsiControl
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineInterrupt
from pvinfo.registers.interrupt import INTERRUPT_GROUPS, InterruptGroup, MasterControl, MasterInterrupt

if TYPE_CHECKING:
    from ...gpu.device import PhysicalGpu

__all__ = ("ENGINE_EVENTS", "HOST_GROUPS", "WANTED_EVENTS", "HostInterrupts")

WANTED_EVENTS: Final = EngineInterrupt.of(context_switch=1, master_error=1)
"""What the mediator wants to hear of an engine."""
ENGINE_EVENTS: Final = 0xFFFF
"""All that an engine can tell."""
HOST_GROUPS: Final = tuple(name for name in INTERRUPT_GROUPS if name not in ("GT0", "GT1", "GT3"))
"""Groups of no engine: display and power, which are the host's."""
_MASTER: Final = MasterInterrupt.control.at()
_ENABLE: Final = MasterControl.enable.mask
_ALL: Final = 0xFFFFFFFF
_OF_ENGINES: Final = MasterControl.of(rcs0=1, bcs0=1, vcs0=1, vcs1=1, vecs0=1)
_MESSAGE_ADDRESS: Final = 0xFEE0_0000
"""Where a PC's interrupt controllers listen. Source: linux:arch/x86/include/asm/apicdef.h"""
_MESSAGE_DATA: Final = 0x4024
_MSI_CONTROL: Final = 2
_MSI_ADDRESS: Final = 4
_MSI_DATA: Final = 8


class _Group(NamedTuple):
    """A GT interrupt group, and whose events it holds."""

    name: str
    iir: int
    engines: tuple[tuple[Engine, int], ...]
    """Each engine with the first of its 16 bits."""


@final
class HostInterrupts:
    """Takes the GPU's interrupts from the moment it is made. ``handlers`` get the events of their engine."""

    def __init__(self, gpu: PhysicalGpu, handlers: Mapping[Engine, Callable[[EngineInterrupt], None]]) -> None:
        self._gpu = gpu
        self._mmio = gpu.mmio
        self._handlers = handlers
        places: dict[str, list[tuple[Engine, int]]] = {}
        for engine in gpu.platform.engines:
            places.setdefault(f"GT{ENGINES[engine].interrupt_group}", []).append((engine, ENGINES[engine].interrupt_shift))
        self._groups = tuple(_Group(name, InterruptGroup.iir.at(name), tuple(engines)) for name, engines in places.items())
        self.on_host_events: Callable[[str, int], None] | None = None
        """Called with a group of HOST_GROUPS and the events of it that have happened, acknowledged already."""
        self._withheld = 0
        self._serving = False
        self._again = False
        self.received = 0
        """Interrupts that reached the handler."""
        self._set_up()

    def _set_up(self) -> None:
        """Message-signalled interrupts on, everything masked, the engines' groups opened."""
        mmio, config = self._mmio, self._gpu.config
        mmio.write32(_MASTER, 0)
        for name in INTERRUPT_GROUPS:
            self._open(name, 0)
        msi = config.msi_capability
        assert msi is not None, "every GPU that is modelled has the capability"
        config.write(msi + _MSI_ADDRESS, 4, _MESSAGE_ADDRESS)
        config.write(msi + _MSI_DATA, 2, _MESSAGE_DATA)
        config.write(msi + _MSI_CONTROL, 2, MsiControl.of(enable=1))
        config.write(COMMAND, 2, Command.of(memory=1, master=1, interrupt_disable=1))
        self._gpu.on_interrupt(self._interrupted)
        for group in self._groups:
            self._open(group.name, sum(ENGINE_EVENTS << shift for _, shift in group.engines))
        mmio.write32(_MASTER, _ENABLE)

    def _open(self, group: str, events: int) -> None:
        """Unmask and enable these events of a group, and forget what has happened so far."""
        mmio = self._mmio
        mmio.write32(InterruptGroup.imr.at(group), _ALL)
        mmio.write32(InterruptGroup.ier.at(group), 0)
        for _ in range(2):  # an event can hide behind another of its kind
            mmio.write32(InterruptGroup.iir.at(group), _ALL)
        if events:
            mmio.write32(InterruptGroup.ier.at(group), events)
            mmio.write32(InterruptGroup.imr.at(group), ~events & _ALL)

    @contextmanager
    def withheld(self) -> Iterator[None]:
        """What comes meanwhile is served afterwards, at the same instant: the mediator is in the midst of register writes."""
        self._withheld += 1
        try:
            yield
        finally:
            self._withheld -= 1
            if self._again and not self._withheld and not self._serving:
                self._again = False
                self._gpu.clock.call_at(self._gpu.clock.now_ns(), self._interrupted)

    def _interrupted(self) -> None:
        if self._withheld or self._serving:
            self._again = True
            return
        self._serving = True
        try:
            self._serve()
            while self._again:
                self._again = False
                self._serve()
        finally:
            self._serving = False

    def _serve(self) -> None:
        self.received += 1
        mmio = self._mmio
        mmio.write32(_MASTER, 0)
        master = mmio.read32(_MASTER)
        events: list[tuple[Engine, int]] = []
        of_host: list[tuple[str, int]] = []
        if master:
            for group in self._groups:
                identity = mmio.read32(group.iir)
                if identity:
                    mmio.write32(group.iir, identity)
                    events += [(engine, identity >> shift & ENGINE_EVENTS) for engine, shift in group.engines]
            if master & ~_OF_ENGINES:
                of_host = [(name, happened) for name in HOST_GROUPS if (happened := self.take(name))]
        mmio.write32(_MASTER, _ENABLE)
        for engine, happened in events:
            if happened:
                self._handlers[engine](EngineInterrupt(happened))
        if self.on_host_events is not None:
            for name, happened_there in of_host:
                self.on_host_events(name, happened_there)

    def take(self, group: str) -> int:
        """What has happened in a group, which is acknowledged."""
        iir = InterruptGroup.iir.at(group)
        identity = self._mmio.read32(iir)
        if identity:
            self._mmio.write32(iir, identity)
        return identity

    def close_host_groups(self) -> None:
        """Nobody wants to hear of display and power any more."""
        self.on_host_events = None
        for name in HOST_GROUPS:
            self._open(name, 0)
