"""What a guest is told of its submissions to one engine: slots, status register, status buffer.

The mediator carries out one context after the other; the guest sees a port with two slots of two elements each, whose
events come as its work is taken up and completed. They are left in the engine's registers and in the guest's status page.

==========================================================  ==================================  ===================
what happens                                                event                               context
==========================================================  ==================================  ===================
a submission is taken up while nothing runs                 idle_to_active                      0
a submission goes on with the running context               lite_restore, preempted             the running one
element 0 is complete, element 1 follows                    context_complete, element_switch    the complete one
the last element is complete                                context_complete, active_to_idle    the complete one
… and another submission was waiting                        … then idle_to_active               0
==========================================================  ==================================  ===================

Source: linux:drivers/gpu/drm/i915/gvt/execlist.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.execlist import CONTEXT_STATUS_OFFSET, CONTEXT_STATUS_WRITE_OFFSET, ContextDescriptor, next_status_entry
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import ContextStatus, ContextStatusPointer, EngineRegisters, ExeclistStatus
from pvinfo.units import PAGE_MASK, GraphicsAddress

from ...device.interrupts import CONTEXT_SWITCH_EVENTS

if TYPE_CHECKING:
    from ..client import Client

__all__ = ("Elements", "ExeclistState", "GuestExeclist")

_NO_EVENT_YET: Final = 7
"""Write pointer after a reset: the first event is number 0. Source: linux:drivers/gpu/drm/i915/gvt/execlist.c (reset_execlist)"""
_WRITE_POINTER: Final = ContextStatusPointer.write_pointer.mask
_POINTERS: Final = ContextStatusPointer.write_pointer.mask | ContextStatusPointer.read_pointer.mask
_TAKEN_UP: Final = ContextStatus.idle_to_active.mask
_GOES_ON: Final = ContextStatus.lite_restore.mask | ContextStatus.preempted.mask
_NEXT_ELEMENT: Final = ContextStatus.context_complete.mask | ContextStatus.element_switch.mask
_IDLE: Final = ContextStatus.context_complete.mask | ContextStatus.active_to_idle.mask


class Elements(NamedTuple):
    """A submission as the guest made it."""

    first: ContextDescriptor
    second: ContextDescriptor


class ExeclistState(NamedTuple):
    """What of a port is not in registers."""

    running: Elements | None
    context: ContextDescriptor | None
    """The one of the running elements that runs."""
    waiting: Elements | None
    slot: int
    """Of what runs, or of what ran last."""


@final
class GuestExeclist:
    """The port of one engine as its guest sees it."""

    def __init__(self, client: Client, engine: Engine) -> None:
        self._client = client
        self._engine = engine
        self._registers = EngineRegisters(client.registers, ENGINES[engine].base)
        self._running: Elements | None = None
        self._context: ContextDescriptor | None = None
        """The one of the running elements that runs."""
        self._waiting: Elements | None = None
        self._slot = 1
        """Slot of what runs, or of what ran last."""
        self.reset()

    def reset(self) -> None:
        """Nothing runs; the next event is the first."""
        self._running = self._context = self._waiting = None
        self._slot = 1
        pointer = self._registers.context_status_ptr
        self._registers.context_status_ptr = ContextStatusPointer(pointer & ~_POINTERS | _NO_EVENT_YET)
        self._registers.execlist_status_lo = ExeclistStatus(0)
        self._registers.execlist_status_hi = 0

    # ---- saved and restored ----

    @property
    def state(self) -> ExeclistState:
        """Where it stands."""
        return ExeclistState(self._running, self._context, self._waiting, self._slot)

    def take_over(self, state: ExeclistState) -> None:
        """Stand where another host's port has stood."""
        self._running, self._context, self._waiting, self._slot = state

    # ---- what the mediator does ----

    def schedule_in(self, elements: Elements) -> bool:
        """The first context of a submission is about to run. False when there is no free slot: events have gone wrong."""
        running = self._running
        if running is None:
            self._running, self._context = elements, elements.first
            self._slot ^= 1
            self._show()
            self._tell(_TAKEN_UP, 0)
        elif self._goes_on(running, elements):
            self._running, self._context = elements, elements.first
            self._slot ^= 1
            self._show()
            self._tell(_GOES_ON, elements.first.context_id)
        elif self._waiting is None:
            self._waiting = elements
            self._show()
        else:
            return False
        return True

    def _goes_on(self, running: Elements, elements: Elements) -> bool:
        last = running.second if running.second.valid else running.first
        return self._context is not None and self._context.same_context(last) and last.same_context(elements.first)

    def schedule_out(self, context: ContextDescriptor) -> None:
        """``context`` is complete."""
        running = self._running
        if running is None or self._context is None or not self._context.same_context(context):
            return
        context_id = context.context_id
        if running.second.valid and context.same_context(running.first):
            self._context = running.second
            self._show()
            self._tell(_NEXT_ELEMENT, context_id)
            return
        waiting, self._waiting = self._waiting, None
        self._running = self._context = None
        if waiting is None:
            self._show()
            self._tell(_IDLE, context_id)
            return
        self._tell(_IDLE, context_id, interrupt=False)
        self._running, self._context = waiting, waiting.first
        self._slot ^= 1
        self._show()
        self._tell(_TAKEN_UP, 0)

    # ---- what the guest sees ----

    def _tell(self, status: int, context_id: int, *, interrupt: bool = True) -> None:
        """Leave an event in the registers and in the guest's status page; the entry first, then its number."""
        registers = self._registers
        pointer = registers.context_status_ptr
        entry = next_status_entry(pointer & _WRITE_POINTER)
        base = ENGINES[self._engine].base + EngineRegisters.context_status_buffer.offset + 8 * entry
        self._client.registers.write32(base, status)
        self._client.registers.write32(base + 4, context_id)
        registers.context_status_ptr = ContextStatusPointer(pointer & ~_WRITE_POINTER | entry)
        page = GraphicsAddress(registers.hws_pga & ~PAGE_MASK)
        memory = self._client.ggtt.page(page)
        if memory is None:
            self._client.findings.fault(
                "status-page-unreachable", f"{self._engine.value}.RING_HWS_PGA", "the status page leads to no memory of the guest: an event went to the registers only",
                value=page,
            )  # fmt: skip
        else:
            dwords = memory.cast("I")
            dwords[(CONTEXT_STATUS_OFFSET >> 2) + 2 * entry] = status
            dwords[(CONTEXT_STATUS_OFFSET >> 2) + 2 * entry + 1] = context_id
            dwords[CONTEXT_STATUS_WRITE_OFFSET >> 2] = entry
        if interrupt:
            self._client.interrupts.raise_event(CONTEXT_SWITCH_EVENTS[self._engine])

    def _show(self) -> None:
        """Make the status register say what runs."""
        status = ExeclistStatus(self._registers.execlist_status_lo & (ExeclistStatus.current_pointer.mask | ExeclistStatus.write_pointer.mask))
        if self._running is not None and self._context is not None:
            slot = self._slot
            first = self._context.same_context(self._running.first)
            status = ExeclistStatus.of(
                current_pointer=slot, write_pointer=1 - slot, active_element=1 if first else 2,
                slot0_valid=slot == 0, slot0_active=slot == 0, slot1_valid=slot == 1, slot1_active=slot == 1,
                queue_full=self._waiting is not None,
            )  # fmt: skip
        self._registers.execlist_status_lo = status
        self._registers.execlist_status_hi = self._context.context_id if self._context is not None else 0
