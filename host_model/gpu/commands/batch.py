"""Commands that go from buffer to buffer: starts and ends of batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.batch import (
    MI_BATCH_BUFFER_END,
    MI_BATCH_BUFFER_START,
    MI_CONDITIONAL_BATCH_BUFFER_END,
    BatchBufferStartHeader,
    ConditionalEndHeader,
)
from pvinfo.platform import Engine
from pvinfo.registers.engine import EngineRegisters

from ..buffers import RING
from .execution import Stop, executes
from .predicate import PREDICATE_RESULT_1

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_PPGTT: Final = BatchBufferStartHeader.ppgtt.mask
_SECOND_LEVEL: Final = BatchBufferStartHeader.second_level.mask
_PREDICATE: Final = BatchBufferStartHeader.predicate.mask
_ADD_OFFSET: Final = BatchBufferStartHeader.add_offset.mask
_COMPARE: Final = ConditionalEndHeader.compare.mask
_COMPARE_MASK: Final = ConditionalEndHeader.compare_mask.mask
_USE_GLOBAL: Final = ConditionalEndHeader.use_global_gtt.mask


@executes(MI_BATCH_BUFFER_START)
def batch_buffer_start(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Go on in another batch."""
    header = dwords[at]
    if header & _PREDICATE and engine.engine is Engine.RCS0 and not engine.registers[engine.base + PREDICATE_RESULT_1 >> 2] & 1:
        return None
    address = dwords[at + 1] | dwords[at + 2] << 32
    if header & _ADD_OFFSET:
        address += engine.registers[engine.base + EngineRegisters.bb_offset.offset >> 2]
    buffers = engine.buffers
    chained = buffers.level != RING and not header & _SECOND_LEVEL
    buffers.settle(at + length)
    buffers.start_batch(address, ppgtt=bool(header & _PPGTT), second_level=bool(header & _SECOND_LEVEL))
    return Stop.SPIN if chained and engine.chained(address) else Stop.JUMP


@executes(MI_BATCH_BUFFER_END)
def batch_buffer_end(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Go back to where the batch was started from. In the ring there is nothing to end."""
    if engine.buffers.level == RING:
        return None
    engine.buffers.end_batch()
    return Stop.JUMP


@executes(MI_CONDITIONAL_BATCH_BUFFER_END)
def conditional_batch_buffer_end(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """End the batch, unless memory holds more than the command."""
    header = dwords[at]
    space = engine.memory(header & _USE_GLOBAL)
    if space is None or not header & _COMPARE:
        return None
    address = dwords[at + 2] & ~7 | dwords[at + 3] << 32
    value = space.read32(address)
    if header & _COMPARE_MASK and engine.platform.graphics_version >= 9:
        value &= space.read32(address + 4)
    return None if value > dwords[at + 1] else batch_buffer_end(engine, dwords, at, length)
