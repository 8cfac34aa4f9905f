"""MI_ATOMIC: memory read, changed and written with nothing in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.memory import MI_ATOMIC, AtomicHeader, AtomicOpcode

from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_INLINE: Final = AtomicHeader.inline_data.mask
_INLINE_DWORDS: Final = 11
_RETURN: Final = AtomicHeader.return_data.mask
_GLOBAL: Final = AtomicHeader.use_global_gtt.mask
_OPERATION: Final = AtomicHeader.operation
_KIND: Final = 0x1F
_WIDTHS: Final = {0x00: 4, 0x20: 8, 0x40: 16}
"""Bytes, by the upper bits of the operation."""
_RETURN_REGISTER: Final = 4
"""First of the general purpose registers that the value goes to. Source: prm:skl:vol2a"""


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


_Change = Callable[[int, int, int, int], int]
_CHANGES: Final[dict[int, _Change]] = {
    AtomicOpcode.AND: lambda m, a, b, bits: m & a,
    AtomicOpcode.OR: lambda m, a, b, bits: m | a,
    AtomicOpcode.XOR: lambda m, a, b, bits: m ^ a,
    AtomicOpcode.MOVE: lambda m, a, b, bits: a,
    AtomicOpcode.INCREMENT: lambda m, a, b, bits: m + 1,
    AtomicOpcode.DECREMENT: lambda m, a, b, bits: m - 1,
    AtomicOpcode.ADD: lambda m, a, b, bits: m + a,
    AtomicOpcode.SUBTRACT: lambda m, a, b, bits: m - a,
    AtomicOpcode.REVERSE_SUBTRACT: lambda m, a, b, bits: a - m,
    AtomicOpcode.SIGNED_MAX: lambda m, a, b, bits: max(m, a, key=lambda value: _signed(value, bits)),
    AtomicOpcode.SIGNED_MIN: lambda m, a, b, bits: min(m, a, key=lambda value: _signed(value, bits)),
    AtomicOpcode.UNSIGNED_MAX: lambda m, a, b, bits: max(m, a),
    AtomicOpcode.UNSIGNED_MIN: lambda m, a, b, bits: min(m, a),
    AtomicOpcode.COMPARE_AND_WRITE: lambda m, a, b, bits: b if m == a else m,
    AtomicOpcode.PRE_DECREMENT: lambda m, a, b, bits: m - 1,
}
"""What memory holds afterwards, from what it held, both operands and their width in bits."""


@executes(MI_ATOMIC)
def atomic(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Change memory, and hand out what was in it."""
    header = dwords[at]
    operation = (header & _OPERATION.mask) >> _OPERATION.low
    width = _WIDTHS.get(operation & ~_KIND)
    change = _CHANGES.get(operation & _KIND)
    if width is None or change is None or (width == 16 and operation != AtomicOpcode.OCTWORD_COMPARE_AND_WRITE):
        return engine.illegal("illegal-atomic", f"operation {operation:#x} of MI_ATOMIC is none", at, header)
    if header & _INLINE and length < _INLINE_DWORDS:
        return engine.illegal("short-command", f"MI_ATOMIC with its operands in it has {length} dwords, not {_INLINE_DWORDS}", at, header)
    space = engine.memory(header & _GLOBAL)
    if space is None:
        return None
    address = (dwords[at + 1] | dwords[at + 2] << 32) & -width
    mask = (1 << 8 * width) - 1
    a, b = _inline(dwords, at) if header & _INLINE else _from_registers(engine.gpr, width)
    before = int.from_bytes(space.read(address, width), "little")
    after = change(before, a & mask, b & mask, 8 * width) & mask
    space.write(address, after.to_bytes(width, "little"))
    if after != before:
        engine.changed = True
    if header & _RETURN:
        returned = after if operation & _KIND == AtomicOpcode.PRE_DECREMENT else before
        _return(engine.gpr, returned, width)
    return None


def _inline(dwords: memoryview, at: int) -> tuple[int, int]:
    """Both operands of 128 bits, which stand in the command dword by dword in turn."""
    a = b = 0
    for step in range(4):
        a |= dwords[at + 3 + 2 * step] << 32 * step
        b |= dwords[at + 4 + 2 * step] << 32 * step
    return a, b


def _from_registers(gpr: memoryview, width: int) -> tuple[int, int]:
    """The operands in registers: one each, or for 16 bytes two each."""
    return (gpr[0] | gpr[1] << 64, gpr[2] | gpr[3] << 64) if width == 16 else (gpr[0], gpr[1])


def _return(gpr: memoryview, value: int, width: int) -> None:
    if width == 4:
        gpr[_RETURN_REGISTER] = gpr[_RETURN_REGISTER] & ~0xFFFFFFFF | value
        return
    gpr[_RETURN_REGISTER] = value & (1 << 64) - 1
    if width == 16:
        gpr[_RETURN_REGISTER + 1] = value >> 64
