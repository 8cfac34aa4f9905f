"""One engine of the physical GPU, driven as a host driver drives it: one context at a time.

A context is handed to the submission port; its completion is read from the status page, which is a page of the host's
own, when the engine's interrupt says that there is something new. A context that does not complete is not given up here:
whoever waits for it resets the engine.

Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c, linux:drivers/gpu/drm/i915/gt/intel_reset.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import StateError
from pvinfo.execlist import CONTEXT_STATUS_OFFSET, CONTEXT_STATUS_WRITE_OFFSET, ContextDescriptor, Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.register import masked_bits
from pvinfo.registers.engine import (
    CONTEXT_STATUS_ENTRIES,
    NONPRIV_SLOTS,
    ContextStatus,
    ContextStatusPointer,
    EngineError,
    EngineInterrupt,
    EngineMode,
    EngineRegisters,
    MiMode,
    ResetControl,
)
from pvinfo.registers.reset import ResetRegisters
from pvinfo.units import PAGE_SIZE

from .interrupts import ENGINE_EVENTS, WANTED_EVENTS

if TYPE_CHECKING:
    from ...device.mmio.window import MmioWindow
    from .graphics_memory import GraphicsBuffer, GraphicsMemory
    from .interrupts import HostInterrupts

__all__ = ("HardwareEngine",)

_ALL: Final = 0xFFFFFFFF
_COMPLETE: Final = ContextStatus.context_complete.mask
_FIRST_EVENT: Final = CONTEXT_STATUS_OFFSET >> 2
_NEWEST: Final = CONTEXT_STATUS_WRITE_OFFSET >> 2
_NEWEST_AT_RESET: Final = CONTEXT_STATUS_ENTRIES - 1
"""The first event after it is number 0."""
_RESET_ROUNDS: Final = 2
"""Some parts come out of the first reset with registers in flux."""


@final
class HardwareEngine:
    """One engine. Made by :class:`~host_model.mediator.hardware.hardware.Hardware`, and ready for work from then on."""

    def __init__(self, name: Engine, mmio: MmioWindow, memory: GraphicsMemory) -> None:
        self.name = name
        self.on_error: Callable[[EngineError], None] | None = None
        """Called when the engine reports a command that it does not know, at which it stands until it is reset."""
        self.on_reset: Callable[[], None] | None = None
        """Called when it was reset: registers that it had are lost."""
        self.completed = 0
        """Contexts completed."""
        self.resets = 0
        self._mmio = mmio
        self._base = ENGINES[name].base
        self._elsp = self._base + EngineRegisters.elsp.offset
        self._interrupts: HostInterrupts | None = None
        self._status: GraphicsBuffer = memory.allocate(PAGE_SIZE, 0)
        self._taken = _NEWEST_AT_RESET
        self._running: ContextDescriptor | None = None
        self._done: Callable[[], None] | None = None
        self._told: Callable[[EngineInterrupt], None] | None = None
        self._set_up()

    def connect(self, interrupts: HostInterrupts) -> None:
        """Its events come through ``interrupts``."""
        self._interrupts = interrupts

    # ---- work ----

    @property
    def busy(self) -> bool:
        """A context runs."""
        return self._running is not None

    def submit(
        self, descriptor: ContextDescriptor, done: Callable[[], None], told: Callable[[EngineInterrupt], None] | None = None
    ) -> None:
        """Run a context until its head meets its tail. ``done`` is called then, from the GPU's interrupt. ``told`` is called with
        all that the engine tells until the next one is submitted; without, only what the mediator wants to hear comes through.

        Raises: StateError while another one runs.
        """
        if self._running is not None:
            raise StateError(f"submitting context {descriptor.context_id:#x} to {self.name.value}", f"running {self._running.context_id:#x}", "idle")
        self._running = descriptor
        self._done = done
        self.listen(told)
        for dword in Submission.loading(descriptor):
            self._mmio.write32(self._elsp, dword)

    def interrupted(self, events: EngineInterrupt) -> None:
        """Serve the engine's events."""
        if self._told is not None:
            self._told(events)
        if events.master_error:
            self._error()
        if events.context_switch:
            self._take_events()

    def _take_events(self) -> None:
        """Everything new in the status buffer, in order. Whoever is told may submit, or reset the engine."""
        page = self._status.dwords
        newest = page[_NEWEST] % CONTEXT_STATUS_ENTRIES
        while self._taken != newest:
            self._taken = (self._taken + 1) % CONTEXT_STATUS_ENTRIES
            entry = _FIRST_EVENT + 2 * self._taken
            status, context_id = page[entry], page[entry + 1]
            page[entry] = page[entry + 1] = _ALL
            running = self._running
            if status & _COMPLETE and running is not None and running.context_id == context_id:
                done = self._done
                self._running = self._done = None
                self.completed += 1
                if done is not None:
                    done()
                newest = page[_NEWEST] % CONTEXT_STATUS_ENTRIES

    def _error(self) -> None:
        """An error is acknowledged and then masked: it is not told twice of one engine before a reset."""
        error = EngineError(self._read(EngineRegisters.eir.offset))
        self._write(EngineRegisters.emr.offset, _ALL)
        self._write(EngineRegisters.eir.offset, error)
        if self.on_error is not None and error:
            self.on_error(error)

    # ---- resets ----

    def reset(self) -> None:
        """Stop, whatever runs: it is forgotten, and its ``done`` never called."""
        assert self._interrupts is not None
        with self._interrupts.withheld():
            self._running = self._done = self._told = None
            self.resets += 1
            self._write(EngineRegisters.mi_mode.offset, masked_bits(MiMode.stop_ring.mask))
            # An engine that does not get ready in time is reset all the same: there is no other way to get it back.
            self._write(EngineRegisters.reset_ctl.offset, masked_bits(ResetControl.request.mask))
            self._read(EngineRegisters.reset_ctl.offset)
            for _ in range(_RESET_ROUNDS):
                self._mmio.write32(ResetRegisters.gdrst.at(), 1 << ENGINES[self.name].reset_bit)
                self._mmio.read32(ResetRegisters.gdrst.at())
            self._write(EngineRegisters.reset_ctl.offset, masked_bits(ResetControl.request.mask, False))
            self._set_up()
        if self.on_reset is not None:
            self.on_reset()

    def _set_up(self) -> None:
        """Make the engine take submissions, and agree with it that its next event is number 0."""
        base = self._base
        for slot in range(NONPRIV_SLOTS):
            self._write(EngineRegisters.force_to_nonpriv.offset + 4 * slot, base + EngineRegisters.nopid.offset)
        self._write(EngineRegisters.hwstam.offset, _ALL)
        self._write(EngineRegisters.mode.offset, masked_bits(EngineMode.run_list_enable.mask))
        self._write(EngineRegisters.mi_mode.offset, masked_bits(MiMode.stop_ring.mask, False))
        self._write(EngineRegisters.hws_pga.offset, self._status.address)
        self._write(EngineRegisters.emr.offset, _ALL)
        self._write(EngineRegisters.eir.offset, _ALL)
        self._write(EngineRegisters.emr.offset, ~EngineError.instruction.mask & _ALL)
        pointers = ContextStatusPointer.of(write_pointer=_NEWEST_AT_RESET, read_pointer=_NEWEST_AT_RESET)
        self._write(EngineRegisters.context_status_ptr.offset, 0xFFFF << 16 | pointers)
        page = self._status.dwords
        for entry in range(2 * CONTEXT_STATUS_ENTRIES):
            page[_FIRST_EVENT + entry] = _ALL
        page[_NEWEST] = self._taken = _NEWEST_AT_RESET
        self._unmask(WANTED_EVENTS)

    def listen(self, told: Callable[[EngineInterrupt], None] | None) -> None:
        """Tell ``told`` from now on, or nobody."""
        if told is not self._told:
            self._told = told
            self._unmask(ENGINE_EVENTS if told is not None else WANTED_EVENTS)

    def _unmask(self, events: int) -> None:
        self._write(EngineRegisters.imr.offset, ~(events << ENGINES[self.name].interrupt_shift) & _ALL)

    # ---- registers ----

    def _read(self, offset: int) -> int:
        return self._mmio.read32(self._base + offset)

    def _write(self, offset: int, value: int) -> None:
        self._mmio.write32(self._base + offset, value)
