"""Interrupts: switching everything off, opening what the driver wants to hear, and the handler.

The handler's order is the contract that a host must bear: the master register is switched off and read, each
group with something to tell is read and its bits written back, the master register is switched on again. What
came meanwhile must interrupt anew at that last write.
Source: linux:drivers/gpu/drm/i915/i915_irq.c, linux:drivers/gpu/drm/i915/gt/intel_gt_irq.c,
linux:drivers/gpu/drm/i915/display/intel_display_irq.c
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, final

from pvinfo.bits import Bits
from pvinfo.bus import PciDevice
from pvinfo.platform import Engine, Platform
from pvinfo.registers import (
    INTERRUPT_SOURCES,
    BroadwellPipeInterrupt,
    DisplayMiscInterrupt,
    DisplayPortInterrupt,
    EngineInterrupt,
    EngineRegisters,
    Hotplug,
    InterruptGroup,
    MasterControl,
    MasterInterrupt,
    PchInterrupt,
    PipeInterrupt,
    PsrInterruptRegisters,
)

from .uncore import Uncore

__all__ = ("Interrupts", "forget_power_events")

_ALL: Final = 0xFFFF_FFFF

_ENGINE_EVENTS: Final = EngineInterrupt.of(user=1, master_error=1, context_switch=1, wait_semaphore=1)
"""What the driver wants to hear of an engine; the engine's own mask then chooses from it."""

_GT_EVENTS: Final[dict[str, int]] = {
    "GT0": _ENGINE_EVENTS << 16 | _ENGINE_EVENTS,
    "GT1": _ENGINE_EVENTS << 16 | _ENGINE_EVENTS,
    "GT2": 0,
    "GT3": int(_ENGINE_EVENTS),
}
"""Frequency events (GT2) are opened when frequency scaling is, which a vGPU never does."""

_PIPES: Final = ("PIPE_A", "PIPE_B", "PIPE_C")


class _DisplayEvents(NamedTuple):
    """What the driver wants to hear of the display: in each pair, the sources left unmasked at once, and all
    that may ever be unmasked."""

    pipe: tuple[int, int]
    port: tuple[int, int]
    misc: int
    pch: int | None
    """None: the part has no platform controller hub."""


def _display_events(platform: Platform) -> _DisplayEvents:
    misc = DisplayMiscInterrupt.of(psr=1, gse=1)
    if platform.graphics_version == 8:
        pipe = BroadwellPipeInterrupt.of(primary_fault=1, sprite_fault=1, cursor_fault=1, crc_done=1)
        later = BroadwellPipeInterrupt.of(pipe, vblank=1, fifo_underrun=1, primary_flip_done=1)
        port = DisplayPortInterrupt.of(aux_a=1)
        pch = PchInterrupt.of(gmbus=1, aux_b_or_port_e_hotplug=1, aux_c=1, aux_d=1)
        return _DisplayEvents((pipe, later), (port, DisplayPortInterrupt.of(port, hotplug_a=1)), misc, pch)
    faults = {f"plane{n}_fault": 1 for n in (1, 2, 3, 4)}
    planes = PipeInterrupt.of(cursor_fault=1, crc_done=1, **faults)
    gen9 = planes, PipeInterrupt.of(planes, vblank=1, fifo_underrun=1, plane1_flip_done=1)
    port = DisplayPortInterrupt.of(aux_a=1, aux_b=1, aux_c=1, aux_d=1)
    if platform.name == "bxt":
        port = DisplayPortInterrupt.of(port, gmbus=1)
        hotplug = DisplayPortInterrupt.of(port, hotplug_a=1, hotplug_b=1, hotplug_c=1)
        return _DisplayEvents(gen9, (port, hotplug), misc, None)
    return _DisplayEvents(gen9, (port, port), misc, PchInterrupt.of(gmbus=1))


def forget_power_events(uncore: Uncore, events: int) -> None:
    """Clear ``events`` of group GT2, which may have latched twice (``gen6_gt_pm_reset_iir``)."""
    uncore.write(InterruptGroup.iir, events, "GT2")
    uncore.write(InterruptGroup.iir, events, "GT2")
    uncore.read(InterruptGroup.iir, "GT2")


@final
class Interrupts:
    """The interrupt tree of one GPU as its driver sees it, and what came of it."""

    def __init__(self, uncore: Uncore, has_display: bool) -> None:
        self._uncore = uncore
        self._has_display = has_display
        self._events = _display_events(uncore.platform)
        self._sources: dict[str, type[Bits]] = dict(INTERRUPT_SOURCES)
        if uncore.platform.graphics_version == 8:
            self._sources.update(dict.fromkeys(_PIPES, BroadwellPipeInterrupt))
        self.installed = False
        self.received = 0
        """Interrupts that reached the handler."""
        self.spurious = 0
        """Those for which the master register had nothing to tell."""
        self.events: Counter[str] = Counter()
        """How often each source was seen: ``GT0.rcs_context_switch``."""
        self._listeners: dict[str, Callable[[EngineInterrupt], None]] = {}
        self._display_listeners: dict[str, Callable[[int], None]] = {}
        self._pipe_masks = {pipe: ~self._events.pipe[0] & _ALL for pipe in _PIPES}
        self.then: Callable[[], None] | None = None
        """Called when an interrupt was served: what it has left to do."""

    def listen(self, engine: Engine, listener: Callable[[EngineInterrupt], None] | None) -> None:
        """Tell ``listener`` of the engine's events, before they are acknowledged; None: nobody."""
        if listener is None:
            self._listeners.pop(engine.name, None)
        else:
            self._listeners[engine.name] = listener

    def listen_to_display(self, group: str, listener: Callable[[int], None] | None) -> None:
        """Tell ``listener`` of the events of a display group, after they were acknowledged; None: nobody."""
        if listener is None:
            self._display_listeners.pop(group, None)
        else:
            self._display_listeners[group] = listener

    # ---- sources of the display ----

    def mask_pipe(self, pipe: str, events: int, *, masked: bool) -> None:
        """Mask or unmask ``events`` of a pipe; nothing is written when that changes nothing (``bdw_update_pipe_irq``)."""
        before = self._pipe_masks[pipe]
        after = before | events if masked else before & ~events
        if after != before:
            self._pipe_masks[pipe] = after
            self._uncore.write(InterruptGroup.imr, after, pipe)
            self._uncore.read(InterruptGroup.imr, pipe)

    def mask_group(self, group: str, events: int, *, masked: bool) -> None:
        """The same for another group of the display (``ibx_display_interrupt_update``, ``bdw_update_port_irq``)."""
        before = int(self._uncore.read(InterruptGroup.imr, group))
        after = before | events if masked else before & ~events
        if after != before:
            self._uncore.write(InterruptGroup.imr, after, group)
            self._uncore.read(InterruptGroup.imr, group)

    def open_pipes(self, pipes: tuple[str, ...]) -> None:
        """Open pipes anew whose power was off (``gen8_irq_power_well_post_enable``)."""
        if self._has_display and self.installed:
            for pipe in pipes:
                self._open_group(pipe, ~self._pipe_masks[pipe] & _ALL, self._events.pipe[1])

    # ---- set-up ----

    def _reset_group(self, group: str) -> None:
        uncore = self._uncore
        uncore.write(InterruptGroup.imr, _ALL, group)
        uncore.read(InterruptGroup.imr, group)
        uncore.write(InterruptGroup.ier, 0, group)
        for _ in range(2):  # an event can hide behind another of its kind
            uncore.write(InterruptGroup.iir, _ALL, group)
            uncore.read(InterruptGroup.iir, group)

    def reset(self) -> None:
        """Mask, disable and forget everything (``gen8_irq_reset``)."""
        uncore = self._uncore
        self._master_off()
        for group in _GT_EVENTS:
            self._reset_group(group)
        if self._has_display:
            uncore.write(PsrInterruptRegisters.imr, _ALL)
            uncore.write(PsrInterruptRegisters.iir, _ALL)
            for group in (*_PIPES, "DE_PORT", "DE_MISC"):
                self._reset_group(group)
        self._reset_group("PCU")
        if self._events.pch is not None:
            self._reset_group("SDE")
            if uncore.platform.graphics_version == 8:
                uncore.write(Hotplug.serr_int, _ALL)

    def _must_be_zero(self, place: str, offset: int) -> None:
        regs = self._uncore.regs
        value = regs.read32(offset)
        if not value:
            return
        self._uncore.log.warning("interrupt-register-not-zero", f"{place} at {offset:#x} reads {value:#x} after it was cleared")
        for _ in range(2):
            regs.write32(offset, _ALL)
            regs.read32(offset)

    def _open_group(self, group: str, unmasked: int, enabled: int) -> None:
        uncore = self._uncore
        self._must_be_zero(f"iir of {group}", InterruptGroup.iir.at(group))
        uncore.write(InterruptGroup.ier, enabled, group)
        uncore.write(InterruptGroup.imr, ~unmasked & _ALL, group)
        uncore.read(InterruptGroup.imr, group)

    def _open(self) -> None:
        """Unmask what the driver wants to hear (``gen8_irq_postinstall``)."""
        for group, wanted in _GT_EVENTS.items():
            self._open_group(group, wanted, wanted)
        if self._has_display:
            events = self._events
            if events.pch is not None:
                self._open_group("SDE", events.pch, _ALL)
            self._must_be_zero(PsrInterruptRegisters.iir.title, PsrInterruptRegisters.iir.at())
            for pipe in _PIPES:
                self._open_group(pipe, *events.pipe)
            self._open_group("DE_PORT", *events.port)
            self._open_group("DE_MISC", events.misc, events.misc)
        self._master_on()

    def install(self, gpu: PciDevice) -> None:
        """Reset, connect the handler, open (``intel_irq_install``)."""
        self.installed = True
        self.reset()
        gpu.on_interrupt(self.handle)
        self._open()

    def reopen(self) -> None:
        """Reset and open again, after the device has slept (``intel_irq_resume``)."""
        self.reset()
        self._open()

    def uninstall(self, gpu: PciDevice) -> None:
        """Reset and disconnect the handler (``intel_irq_uninstall``). Nothing happens the second time."""
        if not self.installed:
            return
        self.installed = False
        self.reset()
        gpu.on_interrupt(None)

    # ---- the handler ----

    def _master_off(self) -> MasterControl:
        self._uncore.write(MasterInterrupt.control, 0)
        return self._uncore.read(MasterInterrupt.control)

    def _master_on(self) -> None:
        self._uncore.write(MasterInterrupt.control, MasterControl.enable.mask)

    def handle(self) -> None:
        """Serve one interrupt (``gen8_irq_handler``)."""
        if not self.installed:
            return
        self.received += 1
        master = self._master_off()
        if not master:
            self.spurious += 1
            self._master_on()
            return
        if master.rcs0 or master.bcs0:
            self._serve_engines("GT0", "RCS0", "BCS0")
        if master.vcs0 or master.vcs1:
            self._serve_engines("GT1", "VCS0", "")
        if master.vecs0:
            self._serve_engines("GT3", "VECS0", "")
        if master.power or master.guc:
            self._acknowledge("GT2")
        if self._has_display:
            self._serve_display(master)
        self._master_on()
        if self.then is not None:
            self.then()

    def _count(self, group: str, events: int) -> None:
        left = events
        for field in self._sources[group].bit_fields:
            if events & field.mask:
                self.events[f"{group}.{field.name}"] += 1
                left &= ~field.mask
        if left:
            self.events[f"{group}.{left:#x}"] += 1

    def _acknowledge(self, group: str) -> int:
        """Read what a group has to tell and write it back; 0 when it had nothing."""
        events = int(self._uncore.read(InterruptGroup.iir, group))
        if events:
            self._uncore.write(InterruptGroup.iir, events, group)
            self._count(group, events)
        return events

    def _serve_engines(self, group: str, lower: str, upper: str) -> None:
        """Look at both halves before they are acknowledged: what an event is about precedes its bit."""
        events = int(self._uncore.read(InterruptGroup.iir, group))
        if not events:
            return
        for engine, half in ((lower, events & 0xFFFF), (upper, events >> 16)):
            if not engine or not half:
                continue
            listener = self._listeners.get(engine)
            if listener is not None:
                listener(EngineInterrupt(half))
            elif EngineInterrupt(half).master_error:
                error = self._uncore.read(EngineRegisters.eir, engine) & 0xFFFF
                self._uncore.log.error("engine-error", f"{engine} reports an error: eir reads {error:#x}")
        self._uncore.write(InterruptGroup.iir, events, group)
        self._count(group, events)

    def _serve_display(self, master: MasterControl) -> None:
        """Acknowledge display events, and tell those who listen: what they mean is the display's business."""
        wanted = (
            (master.de_misc, "DE_MISC"),
            (master.de_port, "DE_PORT"),
            (master.pipe_a, "PIPE_A"),
            (master.pipe_b, "PIPE_B"),
            (master.pipe_c, "PIPE_C"),
            (master.pch and self._events.pch is not None, "SDE"),
        )
        for pending, group in wanted:
            if not pending:
                continue
            events = self._acknowledge(group)
            if not events:
                self._uncore.log.error("master-lied", f"the master register shows {group}, but its iir reads 0")
            elif group in self._display_listeners:
                self._display_listeners[group](events)
