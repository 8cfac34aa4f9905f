"""Semaphores: waiting for a value in memory, and telling another engine to look again."""

from __future__ import annotations

from collections.abc import Callable
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.batch import (
    MI_SEMAPHORE_MBOX,
    MI_SEMAPHORE_SIGNAL,
    MI_SEMAPHORE_WAIT,
    SemaphoreSignalHeader,
    SemaphoreWaitHeader,
)
from pvinfo.commands.mi.register import REGISTER_MASK

from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_GLOBAL: Final = SemaphoreWaitHeader.use_global_gtt.mask
_POLL: Final = SemaphoreWaitHeader.poll.mask
_REGISTER: Final = SemaphoreWaitHeader.register_poll.mask
_COMPARE: Final = SemaphoreWaitHeader.compare
_TARGET: Final = SemaphoreSignalHeader.target
_COMPARISONS: Final[tuple[Callable[[int, int], bool], ...]] = (gt, ge, lt, le, eq, ne)
"""Memory with the value given, in the order of SemaphoreCompare."""


@executes(MI_SEMAPHORE_WAIT)
def semaphore_wait(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Go on when memory compares as wanted."""
    header = dwords[at]
    kind = (header & _COMPARE.mask) >> _COMPARE.low
    if kind >= len(_COMPARISONS):
        return engine.illegal("illegal-comparison", f"comparison {kind} of MI_SEMAPHORE_WAIT is none", at, header)
    if header & _REGISTER and engine.platform.graphics_version >= 9:
        value = engine.read_register(dwords[at + 2] & REGISTER_MASK)
    else:
        space = engine.memory(header & _GLOBAL)
        if space is None:
            return None
        value = space.read32(dwords[at + 2] | dwords[at + 3] << 32)
    if _COMPARISONS[kind](value, dwords[at + 1]):
        return None
    return Stop.WAIT_SEMAPHORE if header & _POLL else Stop.WAIT_SIGNAL


@executes(MI_SEMAPHORE_SIGNAL)
def semaphore_signal(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Let a context of another engine look at its semaphore again."""
    engine.signal_engine((dwords[at] & _TARGET.mask) >> _TARGET.low, dwords[at + 1])
    return None


@executes(MI_SEMAPHORE_MBOX)
def semaphore_mbox(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """The semaphore of earlier hardware: passed over."""
    engine.not_executed("MI_SEMAPHORE_MBOX", dwords[at])
    return None
