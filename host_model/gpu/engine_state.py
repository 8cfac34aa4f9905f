"""What commands act on: an engine's registers, address spaces, buffers and time.

Commands get nothing else of the GPU. Whatever they want of the rest of it goes through the register bus, as on hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pvinfo.finding import FindingLog
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.register import RegisterBus
from pvinfo.registers.engine import EngineError, EngineInterrupt, EngineRegisters
from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.units import PAGE_MASK, BusAddress

from ..clock import HostClock, VirtualClock
from ..device.timestamp import timestamp_at
from ..memory import BusMemory
from .address_space import AddressSpace
from .buffers import RING, Buffers
from .commands.execution import Stop
from .function import Function, FunctionMemory
from .privilege import NonprivilegedRegisters
from .submission_trace import SubmissionTrace
from .translation import GlobalSpace, ProcessSpace

__all__ = ("PRIVILEGE_ERROR", "EngineState")

PRIVILEGE_ERROR: Final = 1 << 2
"""Bit of the error registers: a batch without privilege wanted what needs it, or wrote to a page it may only read.
The command was made a no-operation. Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c"""

_GPR_BYTES: Final = 16 * 8
_FLUSH_NOTIFY: Final = EngineInterrupt.flush_notify.mask
_MASTER_ERROR: Final = EngineInterrupt.master_error.mask
_INSTRUCTION_ERROR: Final = EngineError.instruction.mask
_ROOT_BYTES: Final = 4 * 8
_ROUNDS_BEFORE_WAITING: Final = 8
_TARGETS_WATCHED: Final = 64


class EngineState:
    """One engine, as its commands see it."""

    def __init__(
        self, engine: Engine, platform: Platform, clock: HostClock, memory: BusMemory, global_space: GlobalSpace,
        registers: memoryview, bus: RegisterBus, findings: FindingLog,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.platform = platform
        self.base = ENGINES[engine].base
        self.findings = findings
        self.ggtt = global_space
        self.function: Function | None = None
        """The virtual function that the engine works for; None: it works for the GPU's own."""
        self._function_memory = FunctionMemory(memory)
        self.process_space = ProcessSpace(self._function_memory)
        self.process_space.on_denied = self._write_denied
        self.ppgtt: AddressSpace = self.process_space
        """Where commands go that do not ask for the global table."""
        self.buffers = Buffers(global_space)
        self.registers = registers
        """The register file in dwords, with no side effects."""
        self.bus = bus
        """Registers as software sees them."""
        first = self.base + EngineRegisters.gpr_lo.offset
        self.gpr = registers[first >> 2 : first + _GPR_BYTES >> 2].cast("B").cast("Q")
        """The general purpose registers."""
        self.plain: dict[int, int] = {}
        """Registers that any batch may write and that do nothing but keep a value: their places in :attr:`registers`, by offset."""
        self.arbitration = True
        """The running context may be switched away from."""
        self.skip_commands = False
        """MI_SET_PREDICATE makes no-operations of commands."""
        self.pending = False
        """Another submission waits for a point at which this context may be left."""
        self.changed = False
        """Something went on that a loop in the batch may wait for: such a loop is work, not idleness."""
        self.going_round = False
        """A batch goes round and round, and waits for the processor with that."""
        self.progress: object = None
        """How far a command is that said Stop.CONTINUE; its own. None when a command begins."""
        self.disturbed: Stop | None = None
        """What a command that wrote a register has to say: not None when the write reset this engine."""
        self.event_reached: Callable[[int], bool] = lambda _header: True
        """Whether display is where the header of an MI_WAIT_FOR_EVENT waits for it to be."""
        self.status_page = 0
        """Graphics address of the running context's own status page."""
        self.context_id = 0
        self.trace: SubmissionTrace | None = None
        """Where breadcrumbs are recorded, if they are."""
        self.charged_ns = 0
        """Time taken by the present slice."""
        self.requests = 0
        """User interrupts from rings since the engine was made: drivers end each request with one."""
        self._clock = clock
        self._virtual = isinstance(clock, VirtualClock)
        self._slice_start_ns = 0
        self._runtime_base = 0
        self._runtime_start = 0
        self._events: list[int] = []
        self._allowed = NonprivilegedRegisters(engine, platform, registers)
        self._skipped: set[str] = set()
        self._rounds: dict[int, int] = {}
        self._gpr_seen = b""
        at = self.base
        self._reads: dict[int, Callable[[], int]] = {
            EngineRegisters.timestamp.offset + at: lambda: self.timestamp() & 0xFFFFFFFF,
            EngineRegisters.timestamp_udw.offset + at: lambda: self.timestamp() >> 32,
            EngineRegisters.ctx_timestamp.offset + at: self.context_runtime,
        }
        roots = at + EngineRegisters.pdp_lo.offset
        self._roots_first, self._roots_end = roots, roots + _ROOT_BYTES
        if self._allowed.may_write(first):
            self.plain = {offset: offset >> 2 for offset in range(first, first + _GPR_BYTES, 4)}
        self._runtime_register = at + EngineRegisters.ctx_timestamp.offset

    # ---- time ----

    def charge(self, duration_ns: int) -> None:
        """The command takes so much longer than its fixed cost."""
        self.charged_ns += duration_ns

    def now_ns(self) -> int:
        """The engine's time: in the midst of a slice, where the work done so far has brought it."""
        return self._slice_start_ns + self.charged_ns if self._virtual else self._clock.now_ns()

    def timestamp(self) -> int:
        """The time stamp, 36 bits."""
        return timestamp_at(self.platform, self.now_ns())

    def context_runtime(self) -> int:
        """Time stamp ticks that the running context has had, 32 bits."""
        return self._runtime_base + self.timestamp() - self._runtime_start & 0xFFFFFFFF

    def set_context_runtime(self, ticks: int) -> None:
        """Count the running context's time from ``ticks`` on."""
        self._runtime_base = ticks
        self._runtime_start = self.timestamp()

    # ---- whom it works for ----

    def work_for(self, function: Function | None) -> None:
        """Work for a virtual function from now on, or for the GPU's own. To be called while the engine is idle."""
        if function is not self.function:
            self.function = function
            self._function_memory.base = function.base if function is not None else BusAddress(0)
            self.ggtt.confine(function.parts if function is not None else None)
            self.process_space.invalidate()
            self.buffers.forget_window()

    # ---- registers ----

    def read_register(self, offset: int) -> int:
        """A register as a command reads it."""
        place = self.plain.get(offset)
        if place is not None:
            return self.registers[place]
        own = self._reads.get(offset)
        if own is not None:
            return own()
        if offset >= MMIO_SIZE or self.function is not None and not self.function.reads(self.engine, offset):
            return 0
        return self.bus.read32(offset)

    def write_register(self, offset: int, value: int) -> None:
        """A register as a command writes it. A batch without privilege changes what its white list names, no more."""
        place = self.plain.get(offset)
        if place is not None:
            self.registers[place] = value
        elif not self.buffers.privileged and not self._allowed.may_write(offset):
            self.violation()
        elif self.function is None:
            self._store_register(offset, value)
        else:
            loaded = self.function.loads(self.engine, offset, value)
            if loaded is not None:
                self._store_register(offset, loaded)

    def _store_register(self, offset: int, value: int) -> None:
        if self._roots_first <= offset < self._roots_end:
            self.registers[offset >> 2] = value
            self.load_roots(len(self.process_space.roots))
        elif offset == self._runtime_register:
            self.set_context_runtime(value)
        elif offset < MMIO_SIZE:
            self.bus.write32(offset, value)

    def load_roots(self, count: int) -> None:
        """Take the page-table roots from the registers: the first, or all four."""
        dwords = self.registers[self._roots_first >> 2 : self._roots_end >> 2].cast("B").cast("Q")
        self.process_space.load(*dwords[:count].tolist())

    # ---- memory ----

    def memory(self, use_global_gtt: int) -> AddressSpace | None:
        """The space that a command asks for; None where a batch without privilege asks for the global one."""
        if not use_global_gtt:
            return self.ppgtt
        if self.buffers.privileged:
            return self.ggtt
        self.violation()
        return None

    def stored_globally(self, address: int, value: int, size: int) -> None:
        """A command has stored an immediate value in the global space; those of rings are breadcrumbs of the driver."""
        if self.trace is not None and self.buffers.level == RING:
            self.trace.breadcrumb(address, value, size)

    @property
    def hardware_status_page(self) -> int:
        """Graphics address of the engine's status page."""
        if self.function is not None:
            return self.function.status_page(self.engine)
        return self.registers[self.base + EngineRegisters.hws_pga.offset >> 2] & ~PAGE_MASK

    def invalidate_translations(self) -> None:
        """Drop the address translations that are kept for speed."""
        self.process_space.invalidate()
        self.ggtt.invalidate()
        self.buffers.forget_window()

    # ---- events and errors ----

    def signal(self, event: int) -> None:
        """Raise an event, one bit of :class:`~pvinfo.registers.engine.EngineInterrupt`, when the slice is over."""
        if event not in self._events:
            self._events.append(event)

    def signal_engine(self, target: int, context_id: int) -> None:
        """Let a context that waits on the engine with number ``target`` look again."""

    def report_error(self, error: int) -> None:
        """Show an error in the error registers, and raise the event for it where it is not masked."""
        registers = self.registers
        status = self.base + EngineRegisters.esr.offset >> 2
        identity = self.base + EngineRegisters.eir.offset >> 2
        mask = registers[self.base + EngineRegisters.emr.offset >> 2]
        registers[status] |= error
        told = error & ~mask & ~registers[identity]
        if told:
            registers[identity] |= told
            self.signal(_MASTER_ERROR)

    def violation(self) -> None:
        """A batch without privilege wanted what needs it: the command is a no-operation."""
        self.report_error(PRIVILEGE_ERROR)

    def _write_denied(self, address: int) -> None:
        self.report_error(PRIVILEGE_ERROR)

    def where(self, at: int | None = None) -> str:
        """The command at ``at``, for a finding."""
        return f"{self.engine.value} {self.buffers.name} {self.buffers.address(at):#x}"

    def illegal(self, rule: str, text: str, at: int, header: int) -> Stop:
        """The streamer does not know how to go on: it stands at the command."""
        self.report_error(_INSTRUCTION_ERROR)
        self.findings.fault(rule, self.where(at), f"{text}; the engine stands there until it is reset", value=header)
        return Stop.HANG

    def not_executed(self, name: str, header: int) -> None:
        """A command was passed over that the model does not execute; said once for each kind."""
        if name not in self._skipped:
            self._skipped.add(name)
            self.findings.note(
                "command-not-executed", f"{self.engine.value} {name}", f"{name} takes its time and is counted, but draws and computes nothing", value=header
            )

    def state_passed_over(self) -> None:
        """A command was passed over that sets up what such commands draw and compute with; said once."""
        if "" not in self._skipped:
            self._skipped.add("")
            self.findings.note("pipeline-state", f"{self.engine.value} pipeline", "state of the pipelines is passed over: nothing here draws or computes with it")

    def chained(self, address: int) -> bool:
        """A batch goes on at ``address`` without coming back: whether it only goes round, waiting for the processor.

        Going round is waiting when nothing changes that the batch itself could be waiting for: the general purpose
        registers, or memory that atomics work on.
        """
        rounds = self._rounds.get(address, 0) + 1
        if rounds == 1 and len(self._rounds) >= _TARGETS_WATCHED:
            self._rounds.clear()
        self._rounds[address] = rounds
        if rounds >= _ROUNDS_BEFORE_WAITING:
            seen, self._gpr_seen = self._gpr_seen, self.gpr.tobytes()
            if not self.changed and seen == self._gpr_seen:
                self.going_round = True
                return True
            self.stop_going_round()
        return False

    def stop_going_round(self) -> None:
        """The batch gets on: count its rounds anew."""
        self.changed = self.going_round = False
        self._rounds.clear()
