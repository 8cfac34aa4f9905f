"""Commands that load, store and copy registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.register import (
    MI_LOAD_REGISTER_IMM,
    MI_LOAD_REGISTER_MEM,
    MI_LOAD_REGISTER_REG,
    MI_STORE_REGISTER_MEM,
    REGISTER_MASK,
    LoadRegisterImmHeader,
    LoadRegisterMemHeader,
    StoreRegisterMemHeader,
)
from pvinfo.platform import Engine

from .execution import Stop, executes
from .predicate import PREDICATE_RESULT

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_BYTES: Final = LoadRegisterImmHeader.byte_write_disable
_BYTES_MASK: Final = _BYTES.mask
_LOAD_GLOBAL: Final = LoadRegisterMemHeader.use_global_gtt.mask
_STORE_GLOBAL: Final = StoreRegisterMemHeader.use_global_gtt.mask
_STORE_PREDICATE: Final = StoreRegisterMemHeader.predicate.mask


@executes(MI_LOAD_REGISTER_IMM)
def load_register_imm(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Load registers with values, in order."""
    header = dwords[at]
    write = engine.write_register
    if header & _BYTES_MASK:
        kept = _kept_bits(header)
        for index in range(at + 1, at + length - 1, 2):
            register = dwords[index] & REGISTER_MASK
            write(register, dwords[index + 1] & ~kept | engine.read_register(register) & kept)
    elif length == 3:
        write(dwords[at + 1] & REGISTER_MASK, dwords[at + 2])
    else:
        plain, registers = engine.plain, engine.registers
        pairs = iter(dwords[at + 1 : at + length].tolist())
        for register, value in zip(pairs, pairs, strict=False):
            place = plain.get(register)
            if place is not None:
                registers[place] = value
            else:
                write(register & REGISTER_MASK, value)
    return engine.disturbed


def _kept_bits(header: int) -> int:
    """The bits of the bytes whose write is disabled."""
    disabled = (header & _BYTES.mask) >> _BYTES.low
    return sum(0xFF << 8 * byte for byte in range(4) if disabled >> byte & 1)


@executes(MI_LOAD_REGISTER_MEM)
def load_register_mem(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Load a register from memory."""
    header = dwords[at]
    space = engine.memory(header) if header & _LOAD_GLOBAL else engine.ppgtt
    if space is None:
        return None
    engine.write_register(dwords[at + 1] & REGISTER_MASK, space.read32(dwords[at + 2] | dwords[at + 3] << 32))
    return engine.disturbed


@executes(MI_STORE_REGISTER_MEM)
def store_register_mem(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Store a register in memory; any register may be read."""
    header = dwords[at]
    space = engine.memory(header) if header & _STORE_GLOBAL else engine.ppgtt
    if space is None:
        return None
    if header & _STORE_PREDICATE and engine.engine is Engine.RCS0 and not engine.registers[engine.base + PREDICATE_RESULT >> 2] & 1:
        return None
    space.write32(dwords[at + 2] | dwords[at + 3] << 32, engine.read_register(dwords[at + 1] & REGISTER_MASK))
    return None


@executes(MI_LOAD_REGISTER_REG)
def load_register_reg(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Copy a register to another."""
    engine.write_register(dwords[at + 2] & REGISTER_MASK, engine.read_register(dwords[at + 1] & REGISTER_MASK))
    return engine.disturbed
