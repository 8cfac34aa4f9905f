"""The submission port of an engine: what is written to it, what runs, what waits, and what software is told.

Four dwords make a submission of two elements. One submission runs, one more may be pending. Of each step an event is
left in the status buffer, in registers and in the engine's status page, before the interrupt is raised.

=====================================================  =============================  ==============================
what happens                                           event                          context
=====================================================  =============================  ==============================
a submission finds the engine idle                     idle_to_active                 the one taken up
element 0 is complete, element 1 follows               complete, element_switch       the complete one
the last element is complete                           complete, active_to_idle       the complete one
a submission goes on with the running context          lite_restore, preempted        the running one
a submission takes the place of the running context    preempted                      the one that gave way
=====================================================  =============================  ==============================

Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c, linux:drivers/gpu/drm/i915/gvt/execlist.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from pvinfo.execlist import (
    CONTEXT_STATUS_OFFSET,
    CONTEXT_STATUS_WRITE_OFFSET,
    SUBMISSION_DWORDS,
    ContextDescriptor,
    Submission,
    next_status_entry,
)
from pvinfo.finding import FindingLog
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import (
    ContextStatus,
    ContextStatusPointer,
    EngineInterrupt,
    EngineMode,
    EngineRegisters,
    ExeclistStatus,
)
from pvinfo.units import PAGE_MASK

from .address_space import AddressSpace, TranslationFault
from .submission_trace import SubmissionTrace

__all__ = ("SubmissionPort",)

_WRITE_POINTER: Final = ContextStatusPointer.write_pointer.mask
_NO_EVENT_YET: Final = 7
"""Write pointer after a reset. Source: linux:drivers/gpu/drm/i915/gvt/execlist.c"""
_CONTEXT_SWITCH: Final = EngineInterrupt.context_switch.mask
_RUN_LIST: Final = EngineMode.run_list_enable.mask
_QUEUE_FULL: Final = ExeclistStatus.queue_full.mask
_POINTERS: Final = ExeclistStatus.current_pointer.mask | ExeclistStatus.write_pointer.mask
_BOTH_VALID: Final = ExeclistStatus.slot0_valid.mask | ExeclistStatus.slot1_valid.mask
_REASON_AT: Final = ExeclistStatus.last_switch_reason.low
_REASON: Final = ExeclistStatus.last_switch_reason.mask >> _REASON_AT
_ELEMENT_AT: Final = ExeclistStatus.active_element.low
_AT_PLACE: Final = (
    int(ExeclistStatus.of(write_pointer=1, slot0_valid=1, slot0_active=1, arbitration_enabled=1)),
    int(ExeclistStatus.of(current_pointer=1, slot1_valid=1, slot1_active=1, arbitration_enabled=1)),
)
"""Status while the submission in each of the two places runs."""


class _Load(NamedTuple):
    """A submission, and in which of the port's two places it stands."""

    elements: tuple[ContextDescriptor, ContextDescriptor]
    place: int


@final
class SubmissionPort:
    """The port of one engine. The engine asks it what to run, and tells it what became of that."""

    def __init__(
        self, engine: Engine, registers: memoryview, global_space: AddressSpace, signal: Callable[[int], None], findings: FindingLog
    ) -> None:
        self._name = engine.value
        base = ENGINES[engine].base
        self._mode = base + EngineRegisters.mode.offset >> 2
        self._pointer = base + EngineRegisters.context_status_ptr.offset >> 2
        self._buffer = base + EngineRegisters.context_status_buffer.offset >> 2
        self._status_page = base + EngineRegisters.hws_pga.offset >> 2
        self._status = base + EngineRegisters.execlist_status_lo.offset >> 2
        self._registers = registers
        self._global = global_space
        self._signal = signal
        self._findings = findings
        self._written: list[int] = []
        self._running: _Load | None = None
        self._element = 0
        self._pending: _Load | None = None
        self._reason = 0
        self.submissions = 0
        """Submissions accepted since the engine was made."""
        self.trace: SubmissionTrace | None = None
        """Where events are recorded, if they are."""

    # ---- what software does ----

    def write(self, value: int) -> bool:
        """One dword to the port; True when it completed a submission that the engine has to look at."""
        self._written.append(value)
        if len(self._written) < SUBMISSION_DWORDS:
            return False
        elements = Submission(*self._written).elements
        self._written.clear()
        where = f"{self._name}.ELSP"
        if not self._registers[self._mode] & _RUN_LIST:
            self._findings.fault("submission-without-run-list", where, "a submission while run_list_enable is off in the engine's mode: it was dropped")
            return False
        if not elements[0].valid:
            self._findings.fault("empty-submission", where, "the first element of a submission is not valid: it was dropped", value=elements[0].low)
            return False
        if elements[1].valid and elements[0].same_context(elements[1]):
            self._findings.note("submission-of-one-context-twice", where, "both elements name one context", value=elements[0].low)
        if self._pending is not None:
            self._findings.fault(
                "submission-lost", where, "a submission while another one was still pending: the new one took its place", value=self._pending.elements[0].low
            )
        place = 1 - self._running.place if self._running is not None else self._next_place
        self._pending = _Load(elements, place)
        self.submissions += 1
        self._show()
        return True

    def reset(self) -> None:
        """Everything is forgotten; the next event is the first."""
        self._written.clear()
        self._running = self._pending = None
        self._element = self._reason = 0
        self._registers[self._pointer] = _NO_EVENT_YET
        self._show()

    # ---- what the engine asks ----

    @property
    def pending(self) -> bool:
        """A submission waits to be taken up."""
        return self._pending is not None

    @property
    def current(self) -> ContextDescriptor | None:
        """The context that runs, or is to run next; None while the port is idle."""
        return self._running.elements[self._element] if self._running is not None else None

    @property
    def resumes_current(self) -> bool:
        """The pending submission begins with the running context, and does not want it loaded anew."""
        current, pending = self.current, self._pending
        if current is None or pending is None:
            return False
        first = pending.elements[0]
        return first.same_context(current) and not first.force_restore

    # ---- what the engine tells ----

    def take(self) -> bool:
        """An idle port takes up what is pending; False when there is nothing."""
        if self._pending is None:
            return False
        self._activate()
        self._event(ContextStatus.idle_to_active.mask, self._context_id)
        return True

    def lite_restore(self) -> None:
        """The pending submission goes on with the running context."""
        context_id = self._context_id
        self._activate()
        self._event(ContextStatus.lite_restore.mask | ContextStatus.preempted.mask, context_id)

    def preempt(self) -> None:
        """The running context has been saved to make room for the pending submission."""
        context_id = self._context_id
        self._activate()
        self._event(ContextStatus.preempted.mask, context_id)

    def complete(self) -> None:
        """The running context has been saved, with head and tail equal: go on with element 1, or become idle."""
        running = self._running
        if running is None:
            return
        context_id = self._context_id
        if self._element == 0 and running.elements[1].valid:
            self._element = 1
            self._event(ContextStatus.context_complete.mask | ContextStatus.element_switch.mask, context_id)
        else:
            self._running = None
            self._event(ContextStatus.context_complete.mask | ContextStatus.active_to_idle.mask, context_id)

    # ---- inside ----

    @property
    def _context_id(self) -> int:
        current = self.current
        return current.context_id if current is not None else 0

    @property
    def _next_place(self) -> int:
        return int(ExeclistStatus(self._registers[self._status]).write_pointer)

    def _activate(self) -> None:
        self._running, self._pending, self._element = self._pending, None, 0

    def _event(self, status: int, context_id: int) -> None:
        """The entry, then its number, then the interrupt."""
        registers = self._registers
        pointer = self._pointer
        entry = next_status_entry(registers[pointer] & _WRITE_POINTER)
        buffer = self._buffer + 2 * entry
        registers[buffer] = status
        registers[buffer + 1] = context_id
        registers[pointer] = registers[pointer] & ~_WRITE_POINTER | entry
        if self.trace is not None:
            self.trace.event(4 * buffer, status, context_id)
        page = registers[self._status_page] & ~PAGE_MASK
        try:
            self._global.write32(page + CONTEXT_STATUS_OFFSET + 8 * entry, status)
            self._global.write32(page + CONTEXT_STATUS_OFFSET + 8 * entry + 4, context_id)
            self._global.write32(page + CONTEXT_STATUS_WRITE_OFFSET, entry)
        except TranslationFault as fault:
            self._findings.fault("status-page-unreachable", f"{self._name}.HWS_PGA", f"{fault}: the event went to the registers only", value=page)
        self._reason = status
        self._show()
        self._signal(_CONTEXT_SWITCH)

    def _show(self) -> None:
        """Keep the status register as the port is."""
        registers, index = self._registers, self._status
        running = self._running
        status = (self._reason & _REASON) << _REASON_AT
        if self._pending is not None:
            status |= _QUEUE_FULL
        if running is None:
            status |= registers[index] & _POINTERS
        else:
            status |= _AT_PLACE[running.place] | 1 << _ELEMENT_AT + self._element
            if self._pending is not None:
                status |= _BOTH_VALID
        registers[index] = status
        registers[index + 1] = self._context_id
