"""Commands that steer the streamer: no-operation, arbitration, interrupt, report of the head, waits for display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.control import (
    MI_ARB_CHECK,
    MI_ARB_ON_OFF,
    MI_FLUSH,
    MI_NOOP,
    MI_REPORT_HEAD,
    MI_SET_APPID,
    MI_SUSPEND_FLUSH,
    MI_TOPOLOGY_FILTER,
    MI_USER_INTERRUPT,
    ArbHeader,
    NoopHeader,
)
from pvinfo.commands.mi.display import MI_WAIT_FOR_EVENT
from pvinfo.commands.mi.memory import MI_CLFLUSH
from pvinfo.execlist import PER_PROCESS_STATUS_PAGE
from pvinfo.registers.engine import EngineInterrupt, EngineRegisters

from ..buffers import RING
from ..position_registers import head_register
from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_IDENTIFICATION: Final = NoopHeader.identification.mask
_WRITE_IDENTIFICATION: Final = NoopHeader.write_identification.mask
_ENABLE: Final = ArbHeader.enable.mask
_USER: Final = EngineInterrupt.user.mask
_NOPID: Final = EngineRegisters.nopid.offset
_HEAD_REPORT: Final = PER_PROCESS_STATUS_PAGE.offset_of("head_report")


@executes(MI_NOOP)
def noop(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Do nothing, and perhaps leave a number behind."""
    header = dwords[at]
    if header & _WRITE_IDENTIFICATION:
        engine.registers[engine.base + _NOPID >> 2] = header & _IDENTIFICATION
    return None


@executes(MI_FLUSH, MI_SUSPEND_FLUSH, MI_SET_APPID, MI_TOPOLOGY_FILTER, MI_CLFLUSH)
def nothing_to_do(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Nothing is cached here that would have to be flushed, and nothing drawn that could be filtered."""
    return None


@executes(MI_USER_INTERRUPT)
def user_interrupt(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Raise the engine's user event. In the ring it ends a request."""
    engine.signal(_USER)
    if engine.buffers.level == RING:
        engine.requests += 1
    return None


@executes(MI_ARB_CHECK)
def arb_check(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """A point at which the context may be left."""
    return Stop.ARBITRATE if engine.pending and engine.arbitration else None


@executes(MI_ARB_ON_OFF)
def arb_on_off(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Switch arbitration; not from a batch without privilege, which could keep everybody else out."""
    if engine.buffers.privileged:
        engine.arbitration = bool(dwords[at] & _ENABLE)
    else:
        engine.violation()
    return None


@executes(MI_REPORT_HEAD)
def report_head(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Write the ring's head, behind this command or behind the start of the batch, to the context's status page."""
    buffers = engine.buffers
    buffers.settle(at + length)
    engine.ggtt.write32(engine.status_page + _HEAD_REPORT, head_register(buffers))
    return Stop.JUMP


@executes(MI_WAIT_FOR_EVENT)
def wait_for_event(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Wait for display."""
    if not engine.buffers.privileged:
        engine.violation()
        return None
    return None if engine.event_reached(dwords[at]) else Stop.WAIT_EVENT
