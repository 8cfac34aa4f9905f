"""An engine: a command streamer that takes contexts from its submission port and executes their rings.

It works in *slices* of bounded work, each a timer on the host's clock, so that nothing a batch does can hold anything
else up. On virtual time a slice takes as long as its commands cost, and what it has to tell is told at its end; on real
time the next slice is due at once. An engine that waits for memory to change looks again and again, at first soon and
then, the longer it has waited, the later; one with nothing to do has no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, final

from pvinfo.commands.mi.batch import SemaphoreTarget
from pvinfo.context_image import STATE_OFFSET
from pvinfo.execlist import AddressingMode, ContextDescriptor
from pvinfo.finding import FindingLog
from pvinfo.platform import Engine as EngineName
from pvinfo.platform import Platform
from pvinfo.register import RegisterBus
from pvinfo.registers.engine import EngineInterrupt, EngineRegisters, MiMode, ResetControl
from pvinfo.trace import TraceWriter
from pvinfo.units import PAGE_SIZE

from ..clock import HostClock, Timer
from ..memory import BusMemory
from .address_space import TranslationFault
from .blitter.state import SETUP_DWORDS, setup_state
from .commands.execution import Stop
from .context import RegisterState, RestoredContext, SavedContext
from .cost import cost_named
from .execlist import SubmissionPort
from .position_registers import head_register, reset_engine_registers, show_position
from .streamer import Streamer
from .submission_trace import SubmissionTrace
from .translation import GlobalSpace

__all__ = ("Activity", "Engine")

_COMMANDS_PER_SLICE: Final = 512
"""Some tenths of a millisecond of our own time."""
_RESTORE_NS: Final = cost_named("(context restore)").fixed_ns
_SAVE_NS: Final = cost_named("(context save)").fixed_ns
_SUBMISSION_NS: Final = cost_named("(submission)").fixed_ns
_LOOK_NS: Final = {True: (200, 1_000_000), False: (20_000, 1_000_000)}
"""Shortest and longest time between two looks at memory, on virtual and on real time."""
_LOOK_SHIFT: Final = 3
"""The time to the next look, as a part of the time waited so far: an eighth."""
_WAIT_SEMAPHORE: Final = EngineInterrupt.wait_semaphore.mask
_STOP: Final = MiMode.stop_ring.mask
_IDLE: Final = MiMode.idle.mask
_HOLD: Final = ResetControl.request.mask
_TARGETS: Final[dict[int, EngineName]] = {
    SemaphoreTarget.RCS0: EngineName.RCS0,
    SemaphoreTarget.VCS0: EngineName.VCS0,
    SemaphoreTarget.BCS0: EngineName.BCS0,
    SemaphoreTarget.VECS0: EngineName.VECS0,
}
_ROOTS: Final[dict[int, int]] = {AddressingMode.LEGACY_64_BIT: 1, AddressingMode.LEGACY_32_BIT: 4}
_WAITS: Final = frozenset({Stop.WAIT_SEMAPHORE, Stop.WAIT_SIGNAL, Stop.WAIT_EVENT, Stop.SPIN})


class Activity(Enum):
    """What an engine is doing."""

    IDLE = "nothing"
    RUNNING = "executing commands"
    WAITING = "waiting for memory or display"
    STARVED = "waiting for the rest of a command"
    HUNG = "standing at a command until it is reset"


@final
class Engine(Streamer):
    """One engine. ``interrupt`` is called with one bit of EngineInterrupt for each event."""

    def __init__(
        self, engine: EngineName, platform: Platform, clock: HostClock, memory: BusMemory, global_space: GlobalSpace,
        registers: memoryview, bus: RegisterBus, interrupt: Callable[[int], None], findings: FindingLog,
    ) -> None:  # fmt: skip
        super().__init__(engine, platform, clock, memory, global_space, registers, bus, findings)
        self._whole_space = global_space.apart()
        """The global table as the GPU itself has it, whomever it works for."""
        self.port = SubmissionPort(engine, registers, self._whole_space, self.signal, findings)
        self.activity = Activity.IDLE
        self.works_for = 0
        """Whose what is noticed at its work is: a vGPU's number, or 0."""
        self.contexts = 0
        """Contexts run to the end of their ring since the engine was made."""
        self._interrupt = interrupt
        self._register_state = RegisterState(engine, platform, registers)
        self._setup_state = setup_state(self) if engine is EngineName.BCS0 else None
        self._peers: Mapping[EngineName, Engine] = {}
        self._timer: Timer | None = None
        self._busy_until_ns = 0
        self._in_slice = False
        self._woken = False
        self._reset_wanted = False
        self._may_leave = False
        self._waiting_since_ns: int | None = None
        self._mi_mode = self.base + EngineRegisters.mi_mode.offset >> 2
        self._reset_control = self.base + EngineRegisters.reset_ctl.offset >> 2
        self._ipehr = self.base + EngineRegisters.ipehr.offset >> 2
        self.port.reset()
        reset_engine_registers(registers, self.base)

    def connect(self, engines: Mapping[EngineName, Engine]) -> None:
        """Let the engine signal ``engines``."""
        self._peers = engines

    def trace_to(self, trace: TraceWriter | None) -> None:
        """Record events and breadcrumbs from now on; None stops it."""
        self.trace = self.port.trace = SubmissionTrace(trace, self._clock, self.base) if trace is not None else None

    # ---- what software does by way of registers ----

    def write_port(self, value: int) -> None:
        """A dword written to the submission port."""
        if self.port.write(value):
            self.pending = True
            self.wake(_SUBMISSION_NS)

    def mi_mode_written(self) -> None:
        """The mode register has changed: perhaps the engine is to stop, or may go on."""
        self._show_idle()
        self.wake()

    def write_reset_control(self, value: int) -> None:
        """The handshake before a reset: an engine that is asked to quiesces at once, and stays so until told otherwise."""
        enabled = value >> 16
        request = (self.registers[self._reset_control] & ~enabled | value & enabled) & _HOLD
        self.registers[self._reset_control] = request | (ResetControl.ready.mask if request else 0)
        self._show_idle()
        self.wake()

    def reset(self) -> None:
        """Drop whatever runs or waits, and all that was remembered of it."""
        if self._in_slice:
            # A command has reset its own engine: it goes no further, and the end of the slice does the rest.
            self._reset_wanted = True
            self.disturbed = Stop.YIELD
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._events.clear()
        self._reset_wanted = self._woken = self._may_leave = False
        self.pending = self.skip_commands = self.changed = False
        self.arbitration = True
        self.disturbed = self.progress = self._waiting_since_ns = None
        self._busy_until_ns = self.status_page = self.context_id = self.header = 0
        self.activity = Activity.IDLE
        self.buffers.begin(0, PAGE_SIZE, 0, 0)
        self.process_space.load(0)
        self.invalidate_translations()
        self.port.reset()
        reset_engine_registers(self.registers, self.base)

    def signal_engine(self, target: int, context_id: int) -> None:
        peer = self._peers.get(_TARGETS.get(target, self.engine))
        if peer is not None:
            peer.look_again(context_id)

    def look_again(self, context_id: int) -> None:
        """Another engine signals a context: if it waits here, it looks at its semaphore."""
        if self.activity is Activity.WAITING and self.context_id == context_id:
            self.wake()

    def invalidate_translations(self) -> None:
        super().invalidate_translations()
        self._whole_space.invalidate()

    # ---- slices ----

    @property
    def _stopped(self) -> bool:
        return bool(self.registers[self._reset_control] & _HOLD or self.registers[self._mi_mode] & _STOP)

    def wake(self, delay_ns: int = 0) -> None:
        """There may be something new to look at, ``delay_ns`` from now."""
        if self._in_slice:
            self._woken = True
            return
        now = self._clock.now_ns()
        self._set_timer(max(now + delay_ns, self._busy_until_ns) if self._virtual else now)

    def _set_timer(self, deadline_ns: int) -> None:
        timer = self._timer
        if timer is not None and timer.callback is not None:
            if timer.deadline_ns <= deadline_ns:
                return
            timer.cancel()
        self._timer = self._clock.call_at(deadline_ns, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._deliver()
        idle = self.activity is Activity.IDLE and self.port.current is None and not self.port.pending
        if not idle and not self._stopped and self.activity is not Activity.HUNG:
            self.run_slice()

    def run_slice(self) -> None:
        """Do a bounded amount of work, and set the timer for more."""
        self._in_slice = True
        self._woken = False
        self.charged_ns = 0
        self._slice_start_ns = self._clock.now_ns()
        self.findings.vgpu = self.works_for
        self.process_space.refresh()
        self.ggtt.refresh()
        self._whole_space.refresh()
        try:
            delay_ns = self._work(_COMMANDS_PER_SLICE)
        finally:
            self._in_slice = False
            self.findings.vgpu = 0
        if self._reset_wanted:
            self.reset()
            return
        if self._woken:
            delay_ns = 0
        self._publish()
        if self._virtual:
            self._busy_until_ns = self._slice_start_ns + max(self.charged_ns, 1)
            if self._events:
                self._set_timer(self._busy_until_ns)
            elif delay_ns is not None:
                self._set_timer(self._busy_until_ns + delay_ns)
        else:
            if delay_ns is not None:
                self._set_timer(self._clock.now_ns() + delay_ns)
            self._deliver()

    def _deliver(self) -> None:
        """Tell what happened. Whoever is told may submit, or reset the engine."""
        events, self._events = self._events, []
        for event in events:
            self._interrupt(event)

    def _work(self, budget: int) -> int | None:
        """Take contexts up, execute and leave them. Nanoseconds until there is more to do; None: nothing until woken."""
        while budget > 0:
            if self.activity is Activity.IDLE:
                if self.port.current is None and not self.port.take():
                    return None
                self._take_up()
            if self.port.pending and self.activity is not Activity.HUNG:
                self._arbitrate()
                if self.activity is Activity.IDLE:
                    continue
            if self.activity is Activity.HUNG:
                return None
            self.pending = self.port.pending
            self._may_leave = False
            self.activity = Activity.RUNNING
            stop = self.execute(budget if self.progress is None else 1)
            budget -= self.spent + 1
            if stop is not Stop.CONTINUE:
                self.progress = None
            if stop in _WAITS:
                self._wait(stop)
                if not (self.port.pending and self._can_leave):
                    return self._look_delay_ns() if stop is not Stop.WAIT_SIGNAL else None
                continue
            if stop is Stop.ARBITRATE:
                self._may_leave = True
                continue
            if not self.going_round or stop is not Stop.SPENT:
                self._waiting_since_ns = None
            if stop is Stop.END:
                self._complete()
            elif stop is Stop.HANG:
                self.activity = Activity.HUNG
            elif stop is Stop.STARVED:
                self.activity = Activity.STARVED
                self.findings.fault("ring-ends-in-command", self.where(), "the tail of the ring stands in the middle of a command", value=self.header)
                return None
            elif stop is not Stop.SPENT:
                return 0
        return 0

    # ---- waiting ----

    def _wait(self, stop: Stop) -> None:
        """The engine stands at a command that waits: a point at which its context may be left."""
        self.activity = Activity.WAITING
        self._may_leave = stop is not Stop.SPIN
        if self._waiting_since_ns is None:
            self._waiting_since_ns = self.now_ns()
            if stop in (Stop.WAIT_SEMAPHORE, Stop.WAIT_SIGNAL):
                self.signal(_WAIT_SEMAPHORE)

    def _look_delay_ns(self) -> int:
        since = self._waiting_since_ns if self._waiting_since_ns is not None else self.now_ns()
        shortest, longest = _LOOK_NS[self._virtual]
        return min(max(self.now_ns() - since >> _LOOK_SHIFT, shortest), longest)

    # ---- context switches ----

    @property
    def _can_leave(self) -> bool:
        return self._may_leave and self.arbitration and not self.buffers.in_workaround

    def _arbitrate(self) -> None:
        """Something is pending: go on with the running context for it, or leave that if it may be left here."""
        try:
            if self.port.resumes_current:
                self.port.lite_restore()
                tail = self._register_state.tail(self._state_page())
                if tail < self.buffers.ring_size:
                    self.buffers.tail = tail
                    self.activity = Activity.RUNNING
                else:
                    self._refuse(self.buffers.head, tail, self.buffers.ring_size)
            elif self._can_leave:
                self._save()
                self.port.preempt()
                self._waiting_since_ns = None
                self.activity = Activity.IDLE
        except TranslationFault as fault:
            self._hang(fault)

    def _complete(self) -> None:
        """Head has met tail."""
        try:
            self._save()
        except TranslationFault as fault:
            self._hang(fault)
            return
        self.contexts += 1
        self.activity = Activity.IDLE
        self.port.complete()

    def _hang(self, fault: TranslationFault) -> None:
        self.faulted(fault)
        self.activity = Activity.HUNG

    def _state_page(self) -> memoryview:
        return self.ggtt.writable_dwords(self.status_page + STATE_OFFSET)

    def _save(self) -> None:
        buffers = self.buffers
        page = self._state_page()
        self.registers[self._ipehr] = self.header  # in the middle of a slice it is still what an earlier context left there
        self._register_state.save(page, SavedContext(head_register(buffers), buffers.batch, buffers.second, self.context_runtime()))
        if self._setup_state is not None:
            self._register_state.save_unit_state(page, self._setup_state.dwords())
        self.charge(_SAVE_NS)

    def _take_up(self) -> None:
        """Load the context that the port names."""
        descriptor = self.port.current
        assert descriptor is not None
        self.activity = Activity.RUNNING
        self.status_page = descriptor.image
        self.context_id = descriptor.context_id
        self.registers[self._mi_mode] &= ~_IDLE
        try:
            page = self._state_page()
        except TranslationFault as fault:
            self._hang(fault)
            return
        self.registers[self._ipehr] = 0  # a context that is not restored begins with nothing in its parser
        restored = self._register_state.restore(page)
        if self.function is not None:
            self.registers[self._mi_mode] &= ~_STOP  # no image of a function takes the engine from the others
        self.header = self.registers[self._ipehr]
        if self._setup_state is not None:
            self._setup_state.load(self._register_state.unit_state(page, SETUP_DWORDS))
        roots = _ROOTS.get(descriptor.addressing_mode)
        if roots is None or not (restored.head < restored.size and restored.tail < restored.size):
            self._refuse(restored.head, restored.tail, restored.size)
            return
        self.load_roots(roots)
        self.ppgtt = self.process_space if descriptor.privilege else self.ggtt
        self.set_context_runtime(restored.runtime)
        self.arbitration = True
        self.skip_commands = self.changed = False
        self.progress = None
        self._begin(restored)
        self._may_leave = True
        self.charge(_RESTORE_NS)

    def _begin(self, restored: RestoredContext) -> None:
        buffers = self.buffers
        buffers.process_space = self.ppgtt
        if not restored.enabled:
            self.findings.fault("ring-disabled", f"{self.engine.value} context {self.context_id:#x}", "the ring of a context is not enabled: it was taken for empty")
        buffers.begin(restored.start, restored.size, restored.head, restored.tail if restored.enabled else restored.head)
        buffers.wraps = restored.wraps
        if restored.batch is not None:
            buffers.resume(restored.batch, restored.second)
        if restored.indirect is not None:
            buffers.run_first(*restored.indirect)
        if restored.per_context is not None:
            buffers.run_first(restored.per_context, None)

    def _refuse(self, head: int, tail: int, size: int) -> None:
        """The port's context cannot be run: the engine hangs on it."""
        descriptor = self.port.current
        assert descriptor is not None
        self.activity = Activity.HUNG
        text = f"head {head:#x} and tail {tail:#x} of a ring of {size:#x} bytes, addressing mode {int(descriptor.addressing_mode)}"
        self.findings.fault(
            "context-not-runnable", f"{self.engine.value} context {self.context_id:#x}", f"{text}: the engine stands there until it is reset", value=descriptor.low
        )

    # ---- registers that show where the engine is ----

    def _show_idle(self) -> None:
        idle = self._stopped or self.activity is Activity.IDLE
        mode = self.registers[self._mi_mode]
        self.registers[self._mi_mode] = mode | _IDLE if idle else mode & ~_IDLE

    def _publish(self) -> None:
        waiting = self.activity is Activity.WAITING and self._may_leave
        show_position(self.registers, self.base, self.buffers, self.header, waiting=waiting)
        self.registers[self.base + EngineRegisters.ctx_timestamp.offset >> 2] = self.context_runtime()
        self._show_idle()
