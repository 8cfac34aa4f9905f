"""Predicates: what MI_PREDICATE finds, and the stretches that MI_SET_PREDICATE makes no-operations of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.batch import (
    MI_PREDICATE,
    MI_SET_PREDICATE,
    PredicateCombine,
    PredicateCompare,
    PredicateHeader,
    PredicateLoad,
    PredicateMode,
    SetPredicateHeader,
)

from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("PREDICATE_RESULT", "PREDICATE_RESULT_1")

PREDICATE_RESULT: Final = 0x418
"""Offset from the engine's base: what MI_PREDICATE found, bit 0. Source: linux:drivers/gpu/drm/i915/gt/intel_engine_regs.h"""
PREDICATE_RESULT_1: Final = 0x41C
"""What a predicated batch start looks at. Source: linux:drivers/gpu/drm/i915/gt/intel_engine_regs.h"""
_PREDICATE_RESULT_2: Final = 0x3BC
_SOURCE_0: Final = 0x400
_SOURCE_1: Final = 0x408
_DATA: Final = 0x410
_MASK: Final = (1 << 64) - 1


@executes(MI_PREDICATE)
def predicate(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Compare, combine with the predicate as it was, and keep the result."""
    header = PredicateHeader(dwords[at])
    registers, base = engine.registers, engine.base

    def wide(offset: int) -> int:
        index = base + offset >> 2
        return registers[index] | registers[index + 1] << 32

    compare = header.compare
    if compare == PredicateCompare.TRUE:
        result = 1
    elif compare == PredicateCompare.FALSE:
        result = 0
    elif compare == PredicateCompare.SOURCES_EQUAL:
        result = int(wide(_SOURCE_0) == wide(_SOURCE_1))
    else:
        result = int((wide(_SOURCE_0) - wide(_SOURCE_1)) & _MASK == wide(_DATA))
    index = base + PREDICATE_RESULT >> 2
    before = registers[index] & 1
    combine = header.combine
    if combine == PredicateCombine.AND:
        result &= before
    elif combine == PredicateCombine.OR:
        result |= before
    elif combine == PredicateCombine.XOR:
        result ^= before
    if header.load == PredicateLoad.LOAD:
        registers[index] = result
    elif header.load == PredicateLoad.LOAD_INVERTED:
        registers[index] = result ^ 1
    return None


@executes(MI_SET_PREDICATE)
def set_predicate(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Decide whether the commands up to the next of this kind are executed."""
    mode = SetPredicateHeader(dwords[at]).mode
    registers, base = engine.registers, engine.base
    if mode in (PredicateMode.RESULT_2_CLEAR, PredicateMode.RESULT_2_SET):
        result = registers[base + _PREDICATE_RESULT_2 >> 2] & 1
        skip = result == (mode == PredicateMode.RESULT_2_SET)
    elif engine.platform.graphics_version >= 9 and mode in (PredicateMode.RESULT_CLEAR, PredicateMode.RESULT_SET):
        result = registers[base + PREDICATE_RESULT >> 2] & 1
        skip = result == (mode == PredicateMode.RESULT_SET)
    else:
        skip = engine.platform.graphics_version >= 9 and mode == PredicateMode.ALWAYS
    if skip == engine.skip_commands:
        return None
    engine.skip_commands = skip
    return Stop.REFETCH
