"""The inner loop of an engine: read a command, find what executes it, call that, go on behind it."""

from __future__ import annotations

from typing import Final

from pvinfo.finding import FindingLog
from pvinfo.platform import Engine, Platform
from pvinfo.register import RegisterBus
from pvinfo.registers.engine import EngineError

from ..clock import HostClock
from ..memory import BusMemory
from .address_space import TranslationFault
from .buffers import RING
from .commands.execution import Stop
from .commands.table import command_table
from .cost import cost_named
from .engine_state import EngineState
from .faults import report_fault
from .translation import GlobalSpace

__all__ = ("Streamer",)

_EACH_COMMAND_NS: Final = cost_named("(each command)").fixed_ns
_PAGE_TABLE_ERROR: Final = EngineError.page_table.mask
_BEHIND: Final = frozenset({Stop.REFETCH, Stop.ARBITRATE, Stop.YIELD})
"""Stops after which execution goes on behind the command."""


class Streamer(EngineState):
    """An engine as far as it executes buffers."""

    def __init__(
        self, engine: Engine, platform: Platform, clock: HostClock, memory: BusMemory, global_space: GlobalSpace,
        registers: memoryview, bus: RegisterBus, findings: FindingLog,
    ) -> None:  # fmt: skip
        super().__init__(engine, platform, clock, memory, global_space, registers, bus, findings)
        self.commands = 0
        """Commands executed since the engine was made."""
        self.header = 0
        """Of the command that was executed last, or that the engine stands at."""
        self._table = command_table(engine, platform.graphics_version)

    def execute(self, budget: int) -> Stop:
        """Execute up to ``budget`` commands; says why no more. The position has been settled."""
        buffers = self.buffers
        done = 0
        header = self.header
        at = -1
        try:
            while True:
                if buffers.first >= buffers.end:
                    if buffers.level == RING and self._rounds:
                        self.stop_going_round()
                    at = -1
                    if not buffers.fetch():
                        return Stop.END
                table = self._table.predicated if self.skip_commands else self._table
                known, look_up = table.known, table.entry
                dwords, at, end = buffers.window, buffers.first, buffers.end
                stop = None
                length = 0
                for done in range(done, budget):
                    if at >= end:
                        buffers.settle(at)
                        break
                    header = dwords[at]
                    if not header:
                        at += 1
                        continue
                    try:
                        handler, length, cost_ns = known[header]
                    except KeyError:
                        handler, length, cost_ns = look_up(header)
                    if at + length > end:
                        whole = buffers.gather(at, length)
                        if whole is None:
                            stop = Stop.STARVED
                            break
                        dwords, at, end = whole, 0, length
                    if cost_ns:
                        self.charged_ns += cost_ns
                    stop = handler(self, dwords, at, length)
                    if stop:
                        break
                    at += length
                else:
                    done = budget
                    buffers.settle(at)
                    return Stop.SPENT
                if stop is None:
                    continue
                done += 1
                if stop is Stop.JUMP:
                    continue
                if stop in _BEHIND:
                    buffers.settle(at + length)
                    if stop is not Stop.REFETCH:
                        return stop
                else:
                    if stop is not Stop.SPIN:
                        buffers.settle(at)
                    return stop
        except TranslationFault as fault:
            if at >= 0:
                buffers.settle(at)
            return self.faulted(fault)
        finally:
            self.header = header
            self.commands += done
            self.charged_ns += done * _EACH_COMMAND_NS
            self.spent = done

    def faulted(self, fault: TranslationFault) -> Stop:
        """An address leads nowhere: the engine stands where it wanted to go."""
        report_fault(self.registers, self.engine, fault)
        self.report_error(_PAGE_TABLE_ERROR)
        self.findings.fault("gpu-page-fault", self.where(), f"{fault}; the engine stands there until it is reset", value=fault.address)
        return Stop.HANG
