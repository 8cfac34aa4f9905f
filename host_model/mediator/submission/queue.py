"""The work of one vGPU for one engine, in the order in which it was submitted; the first is what the GPU is given next.

Only the first is audited ahead of its turn: what comes after it may depend on what the first one leaves in its context.

Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import ResourceExhausted
from pvinfo.execlist import ContextDescriptor
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineError, EngineRegisters, RingHead, RingTail
from pvinfo.units import PAGE_MASK, PAGE_SIZE, GraphicsAddress

from ..cost import AUDIT, COMPLETION, COPY, MAPPING, SUBMISSION
from ..failsafe import FailsafeReason
from ..refusal import Consequence, Refused
from .engine_view import forget_errors, show_error, show_position
from .execlist import Elements, GuestExeclist
from .guest_context import ContextPages, ContextState, StateDwords, read_state
from .shadow_context import ShadowContext
from .workload import Prepared, Workload

if TYPE_CHECKING:
    from ..hardware.engine import HardwareEngine
    from ..vgpu import Vgpu

__all__ = ("MOST_WAITING", "EngineQueue")

MOST_WAITING: Final = 256
"""Workloads that may wait: a driver has two submissions of two contexts on their way at most."""


@final
class EngineQueue:
    """The queue of one engine."""

    def __init__(self, vgpu: Vgpu, engine: Engine) -> None:
        self.vgpu = vgpu
        self.engine = engine
        self.execlist = GuestExeclist(vgpu, engine)
        self.completed = 0
        """Workloads carried out since the vGPU was made."""
        self.requests = 0
        """Requests completed, by the user interrupts that they ended with."""
        self.running: Workload | None = None
        """What the GPU has, or is about to have."""
        self._waiting: deque[Workload] = deque()
        self._dwords = StateDwords(vgpu.platform, engine)
        self._shadow: ShadowContext | None = None
        self.wraps = 0
        """Times that work went past the end of a ring, as the register of the head counts them."""

    @property
    def hardware(self) -> HardwareEngine:
        """The engine."""
        return self.vgpu.hardware.engines[self.engine]

    @property
    def has_work(self) -> bool:
        """Something waits to be given to the GPU."""
        return bool(self._waiting) and self.running is None

    @property
    def is_running(self) -> bool:
        """The GPU has, or is about to have, something of it."""
        return self.running is not None

    @property
    def waiting(self) -> tuple[Workload, ...]:
        """What has not been given to the GPU, in order."""
        return tuple(self._waiting)

    @property
    def workloads(self) -> int:
        """Workloads that wait, and the one that the GPU has."""
        return len(self._waiting) + (self.running is not None)

    # ---- what the guest submits ----

    def submit(self, descriptor: ContextDescriptor, elements: Elements | None) -> bool:
        """Queue one context. False when it was refused."""
        workload: Workload | None = None
        try:
            workload = self._make(descriptor, elements)
            if self.running is None and not self._waiting:
                self._prepare(workload)
        except (Refused, ResourceExhausted) as refusal:
            if workload is not None:
                workload.let_go(self.vgpu.tables)
            self._refused(refusal)
            return False
        self._waiting.append(workload)
        return True

    def _make(self, descriptor: ContextDescriptor, elements: Elements | None) -> Workload:
        if len(self._waiting) >= MOST_WAITING:
            raise Refused("submissions-without-end", f"{self.engine.value}.ELSP", f"{MOST_WAITING} contexts wait already", value=descriptor.low, nearest="two submissions on their way")
        pages = ContextPages(self.vgpu, self.engine, descriptor)
        state = read_state(self.vgpu, self.engine, descriptor, self._dwords, pages.state())
        earlier = self._newest(descriptor)
        if earlier is not None:
            # The guest's image still has the head from before that work.
            state = state._replace(head=earlier.state.tail)
        return Workload(descriptor, pages, state, self.vgpu.tables.acquire(state.levels, state.roots), elements)

    def _newest(self, descriptor: ContextDescriptor) -> Workload | None:
        queued = [self.running] if self.running is not None else []
        queued += self._waiting
        return next((known for known in reversed(queued) if known.descriptor.same_context(descriptor)), None)

    def _prepare(self, workload: Workload) -> None:
        """Copy and audit what is to be executed. Raises: Refused."""
        state = workload.state
        commands = self._copy_ring(state)
        self.vgpu.time.charge(AUDIT, commands.itemsize * len(commands))
        start, size, head = state.start, state.size, state.head
        audited = self.vgpu.audit.ring(
            self.engine, memoryview(commands), lambda index: start + (head + 4 * index) % size, workload.tables, inhibit=state.inhibited
        )
        workload.prepared = Prepared(commands, audited, None)
        if state.indirect is not None or state.per_context is not None:
            workload.prepared = Prepared(commands, audited, self.vgpu.audit.workaround(state.indirect, state.per_context, workload.tables, inhibit=state.inhibited))

    def _copy_ring(self, state: ContextState) -> array[int]:
        """What stands between head and tail, in one piece. Raises: Refused."""
        commands = bytearray()
        position, left = state.head, (state.tail - state.head) % state.size
        while left:
            address = GraphicsAddress(state.start + position)
            page = self.vgpu.ggtt.page(address)
            if page is None:
                raise Refused(
                    "ring-unreachable", f"{self.engine.value} ring {state.start:#x}", f"the ring's page at {address:#x} leads to no memory of the guest",
                    value=address, nearest=self.vgpu.resources.owned, consequence=Consequence.FAILSAFE,
                )  # fmt: skip
            first = address & PAGE_MASK
            piece = min(left, PAGE_SIZE - first)
            commands += page[first : first + piece]
            position = (position + piece) % state.size
            left -= piece
        return array("I", bytes(commands))

    # ---- what the GPU is given ----

    def dispatch(self) -> None:
        """Give the first workload to the GPU, whose engine is idle. What is refused takes the rest of the queue with it."""
        workload = self._waiting.popleft()
        try:
            if workload.prepared is None:
                self._prepare(workload)
            self._load(workload)
        except (Refused, ResourceExhausted) as refusal:
            workload.let_go(self.vgpu.tables)
            self.drop()
            self._refused(refusal)
            return
        self.running = workload
        self.vgpu.time.charge(SUBMISSION)
        self.vgpu.time.charge(COMPLETION, workload.pages.count * PAGE_SIZE)
        self.vgpu.time.then(lambda: self._start(workload))

    def _start(self, workload: Workload) -> None:
        """The shadow context is ready: the GPU runs it."""
        if workload is not self.running or self._shadow is None:
            return
        self.vgpu.registers.write32(ENGINES[self.engine].base + EngineRegisters.start.offset, workload.state.start)
        self.hardware.on_error = self._stopped_in_error
        self.hardware.submit(self._shadow.descriptor(workload.descriptor), lambda: self._completed(workload))
        if workload.elements is not None and not self.execlist.schedule_in(workload.elements):
            self.vgpu.findings.fault("submission-lost", f"{self.engine.value}.ELSP", "a submission while two were on their way: its events are lost", value=workload.descriptor.low)

    def _load(self, workload: Workload) -> None:
        """Make the shadow context ready to run ``workload``. Raises: Refused; ResourceExhausted."""
        prepared = workload.prepared
        assert prepared is not None
        if self._shadow is None:
            self._shadow = ShadowContext(self.vgpu, self.engine, self._dwords, self.vgpu.hardware.memory)
        shadow, state = self._shadow, workload.state
        self.vgpu.time.charge(COPY, shadow.load(workload.pages, workload.descriptor.context_id, state))
        self.vgpu.audit.image(self.engine, shadow.state, inhibit=state.inhibited)
        mapped = self.vgpu.port.mapped_pages
        self.vgpu.tables.pin(workload.tables)
        workload.pinned = True
        self.vgpu.time.charge(MAPPING, max(self.vgpu.port.mapped_pages - mapped, 0) * PAGE_SIZE)
        shadow.set_roots(workload.tables.shadow_roots)
        if prepared.workaround is not None:
            shadow.set_workaround(prepared.workaround, state)
        shadow.fill_ring((array("I", self._preamble(shadow, state)), prepared.commands))

    def _preamble(self, shadow: ShadowContext, state: ContextState) -> list[int]:
        """What comes first, so that a context finds nothing that another guest has left."""
        if state.inhibited:
            return self.vgpu.hardware.inhibited_preamble(self.vgpu, self.engine)
        return [] if shadow.is_whole else self.vgpu.hardware.incomplete_preamble(self.vgpu, self.engine)

    # ---- what becomes of it ----

    def _completed(self, workload: Workload) -> None:
        """The GPU has come to the end of the ring."""
        if workload is not self.running or self._shadow is None or workload.prepared is None:
            return
        self.running = None
        self.completed += 1
        events = workload.prepared.events
        self.requests += workload.prepared.ring.requests
        self._show_position(workload)
        try:
            self._shadow.store(workload.pages, workload.state.tail)
        except Refused as refusal:
            self._shadow.forget()
            self._refused(refusal)
        workload.let_go(self.vgpu.tables)
        for event in events:
            self.vgpu.interrupts.raise_event(event)
        following = self._waiting[0] if self._waiting else None
        if following is None or not following.descriptor.same_context(workload.descriptor):
            self.execlist.schedule_out(workload.descriptor)
        self.vgpu.turn.work_done(self.vgpu, self.engine)

    def _stopped_in_error(self, error: EngineError) -> None:
        """The GPU stands at a command of this guest's that it does not know; the guest is told as by hardware, and resets its engine.

        The kernel's mediator keeps this to itself: its guests wait until they lose patience.
        """
        if self.running is None:
            return
        show_error(self.vgpu, self.engine, error)

    def _show_position(self, workload: Workload) -> None:
        registers = EngineRegisters(self.vgpu.registers, ENGINES[self.engine].base)
        if workload.state.tail < workload.state.head:
            self.wraps = self.wraps + 1 & RingHead.wrap_count.mask >> RingHead.wrap_count.low
        registers.head = RingHead(workload.state.tail | self.wraps << RingHead.wrap_count.low)
        registers.tail = RingTail(workload.state.tail)
        show_position(self.vgpu, self.engine)

    def _refused(self, refusal: Refused | ResourceExhausted) -> None:
        if isinstance(refusal, ResourceExhausted):
            self.vgpu.findings.note("host-exhausted", f"{self.engine.value}.ELSP", f"{refusal}: the work is dropped")
            return
        self.vgpu.findings.fault(refusal.rule, refusal.where, refusal.text, value=refusal.value, nearest=refusal.nearest)
        if refusal.consequence is Consequence.FAILSAFE:
            self.vgpu.failsafe.enter(FailsafeReason.GUEST_ERROR, refusal.where, refusal.value)

    def give_up_running(self) -> None:
        """What runs has kept others from the GPU for too long: its engine is reset, and the guest sees it hung."""
        workload = self.running
        if workload is not None:
            self.stop()
            self.vgpu.findings.fault(
                "work-without-end", f"{self.engine.value} ring {workload.state.start:#x}", "work that did not end while other vGPUs waited: the engine was reset under it",
                value=workload.descriptor.low,
            )  # fmt: skip

    def stand_still(self) -> None:
        """The guest may have changed by the time it goes on: its context is copied in anew then."""
        if self._shadow is not None:
            self._shadow.forget()

    # ---- resets ----

    def drop(self) -> None:
        """Forget what waits: the guest sees an engine that does not answer."""
        while self._waiting:
            self._waiting.popleft().let_go(self.vgpu.tables)

    def stop(self) -> None:
        """Take back what runs, too."""
        if self.running is not None:
            workload, self.running = self.running, None
            self.hardware.reset()
            workload.let_go(self.vgpu.tables)
        if self._shadow is not None:
            self._shadow.forget()
        self.drop()

    def reset(self) -> None:
        """Begin anew: nothing runs or waits, and the first event is number 0."""
        self.stop()
        self.execlist.reset()

    def forget_errors(self) -> None:
        """As a reset of the engine does."""
        forget_errors(self.vgpu, self.engine)

    def close(self) -> None:
        """The vGPU goes."""
        self.stop()
        if self._shadow is not None:
            self._shadow.release()
            self._shadow = None
