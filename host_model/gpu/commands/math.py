"""MI_MATH: 64-bit arithmetic on the general purpose registers, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.register import MI_MATH, AluInstruction, AluOpcode, AluOperand

from .execution import Stop, executes

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_MASK: Final = (1 << 64) - 1
_OPCODE: Final = AluInstruction.opcode.low
_FIRST: Final = AluInstruction.operand1.low
_OPERAND: Final = AluInstruction.operand2.mask
_REGISTERS: Final = 16

# Plain numbers: looking members up is slower than the arithmetic.
_NOOP: Final = int(AluOpcode.NOOP)
_LOAD: Final = int(AluOpcode.LOAD)
_LOAD0: Final = int(AluOpcode.LOAD0)
_LOAD_INVERSE: Final = int(AluOpcode.LOADINV)
_LOAD1: Final = int(AluOpcode.LOAD1)
_ADD: Final = int(AluOpcode.ADD)
_SUB: Final = int(AluOpcode.SUB)
_AND: Final = int(AluOpcode.AND)
_OR: Final = int(AluOpcode.OR)
_XOR: Final = int(AluOpcode.XOR)
_STORE: Final = int(AluOpcode.STORE)
_STORE_INVERSE: Final = int(AluOpcode.STOREINV)
_SRCA: Final = int(AluOperand.SRCA)
_SRCB: Final = int(AluOperand.SRCB)
_ACCU: Final = int(AluOperand.ACCU)
_ZF: Final = int(AluOperand.ZF)
_CF: Final = int(AluOperand.CF)
_LOADS: Final = frozenset({_LOAD, _LOAD0, _LOAD_INVERSE, _LOAD1})
_STORES: Final = frozenset({_STORE, _STORE_INVERSE})
_SOURCES: Final = frozenset({_SRCA, _SRCB, _ACCU, _ZF, _CF})


@executes(MI_MATH)
def math(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """Do the steps in order. The unit's own registers are empty in the beginning, and lost at the end.

    Arithmetic sets both flags, logic the zero flag alone; a flag that is set reads as all ones.
    """
    registers = engine.gpr
    a = b = result = zero = carry = 0
    for step in dwords[at + 1 : at + length].tolist():
        opcode, first, second = step >> _OPCODE, step >> _FIRST & _OPERAND, step & _OPERAND
        if opcode in _LOADS:
            if second < _REGISTERS or opcode in (_LOAD0, _LOAD1):
                value = registers[second] if opcode == _LOAD else 0 if opcode == _LOAD0 else _MASK if opcode == _LOAD1 else registers[second] ^ _MASK
                if first == _SRCA:
                    a = value
                    continue
                if first == _SRCB:
                    b = value
                    continue
        elif _ADD <= opcode <= _XOR:
            if opcode == _ADD:
                result = a + b
            elif opcode == _SUB:
                result = a - b
            else:
                result = a & b if opcode == _AND else a | b if opcode == _OR else a ^ b
            carry = 0 if 0 <= result <= _MASK else _MASK
            result &= _MASK
            zero = 0 if result else _MASK
            continue
        elif opcode in _STORES:
            if first < _REGISTERS and second in _SOURCES:
                value = result if second == _ACCU else carry if second == _CF else zero if second == _ZF else a if second == _SRCA else b
                registers[first] = value if opcode == _STORE else value ^ _MASK
                continue
        elif opcode == _NOOP:
            continue
        return engine.illegal("illegal-math", f"a step of MI_MATH is {step:#x}, which is none", at, dwords[at])
    return None
