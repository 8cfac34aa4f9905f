"""Commands that load, store and compute with registers."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ...bits import Bits, choice, flag, uint
from ...wire import u32, u64
from ..command import Audit, Form, counted
from .header import CountedHeader, GlobalHeader, mi_command, mi_header

__all__ = (
    "MI_LOAD_REGISTER_IMM",
    "MI_LOAD_REGISTER_MEM",
    "MI_LOAD_REGISTER_REG",
    "MI_MATH",
    "MI_STORE_REGISTER_MEM",
    "REGISTER_MASK",
    "AluInstruction",
    "AluOpcode",
    "AluOperand",
    "AluStep",
    "LoadRegisterImmHeader",
    "LoadRegisterMemHeader",
    "MiLoadRegisterImm",
    "MiLoadRegisterMem",
    "MiLoadRegisterReg",
    "MiMath",
    "MiStoreRegisterMem",
    "RegisterValue",
    "StoreRegisterMemHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:skl:vol2a"

REGISTER_MASK: Final = 0x007FFFFC
"""The bits of a dword that name a register: its byte offset in BAR0. Source: linux:drivers/gpu/drm/i915/i915_cmd_parser.c"""


class LoadRegisterImmHeader(CountedHeader):
    """How registers are loaded."""

    byte_write_disable = uint(8, 4, "bytes of each register that are left as they are", source=PRM)
    force_posted = flag(12, "do not wait until the registers are written", source=SOURCE)


class MiLoadRegisterImm(NamedTuple):
    """Begins a row of registers and values, at most 126 pairs."""

    header: Annotated[LoadRegisterImmHeader, u32("the command", source=SOURCE)] = LoadRegisterImmHeader(mi_header(0x22))


class RegisterValue(NamedTuple):
    """A register and what it is loaded with."""

    register: Annotated[int, u32("byte offset in BAR0, bits 22:2", unit="bytes", source=SOURCE)]
    value: Annotated[int, u32("the value; a masked register takes its write enables in the upper half", source=SOURCE)]


MI_LOAD_REGISTER_IMM: Final = mi_command(
    "MI_LOAD_REGISTER_IMM", 0x22, LoadRegisterImmHeader,
    "Loads registers with values. From a batch without privilege only those on the engine's white list are loaded, the others left alone.",
    length=counted(8), forms=(Form(MiLoadRegisterImm, tail=RegisterValue, source=SOURCE),), audit=Audit.LOAD_REGISTER_IMM,
)  # fmt: skip


class StoreRegisterMemHeader(GlobalHeader):
    """Where a register is stored."""

    predicate = flag(21, "only where MI_PREDICATE's result is true, render engine only", source=PRM)


class MiStoreRegisterMem(NamedTuple):
    """The store of a register."""

    header: Annotated[StoreRegisterMemHeader, u32("the command", source=SOURCE)] = StoreRegisterMemHeader(mi_header(0x24, 4))
    register: Annotated[int, u32("byte offset in BAR0, bits 22:2", unit="bytes", source=SOURCE)] = 0
    address: Annotated[int, u64("where to, bits 47:2", unit="bytes", source=SOURCE)] = 0


MI_STORE_REGISTER_MEM: Final = mi_command(
    "MI_STORE_REGISTER_MEM", 0x24, StoreRegisterMemHeader, "Stores a register in memory.",
    length=counted(8), forms=(Form(MiStoreRegisterMem, source=SOURCE),), audit=Audit.REGISTER_MEMORY, audited_lengths=(4,),
)  # fmt: skip


class LoadRegisterMemHeader(GlobalHeader):
    """Where a register is loaded from."""

    asynchronous = flag(21, "do not wait for memory", source=PRM)


class MiLoadRegisterMem(NamedTuple):
    """The load of a register from memory."""

    header: Annotated[LoadRegisterMemHeader, u32("the command", source=SOURCE)] = LoadRegisterMemHeader(mi_header(0x29, 4))
    register: Annotated[int, u32("byte offset in BAR0, bits 22:2", unit="bytes", source=SOURCE)] = 0
    address: Annotated[int, u64("where from, bits 47:2", unit="bytes", source=SOURCE)] = 0


MI_LOAD_REGISTER_MEM: Final = mi_command(
    "MI_LOAD_REGISTER_MEM", 0x29, LoadRegisterMemHeader, "Loads a register from memory.",
    length=counted(8), forms=(Form(MiLoadRegisterMem, source=SOURCE),), audit=Audit.REGISTER_MEMORY, audited_lengths=(4,),
)  # fmt: skip


class MiLoadRegisterReg(NamedTuple):
    """The copy of a register to another."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x2A, 3))
    source: Annotated[int, u32("byte offset of the register that is read, bits 22:2", unit="bytes", source=PRM)] = 0
    destination: Annotated[int, u32("byte offset of the register that is written, bits 22:2", unit="bytes", source=PRM)] = 0


MI_LOAD_REGISTER_REG: Final = mi_command(
    "MI_LOAD_REGISTER_REG", 0x2A, CountedHeader, "Copies a register to another.",
    length=counted(8), forms=(Form(MiLoadRegisterReg, source=PRM),), audit=Audit.LOAD_REGISTER_REG, audited_lengths=(3,),
)  # fmt: skip


# ---- arithmetic ----


class AluOpcode(IntEnum):
    """What a step of MI_MATH does; the names are those of the hardware."""

    NOOP = 0x000
    """nothing"""
    LOAD = 0x080
    """operand 1, SRCA or SRCB, becomes the register operand 2"""
    LOAD0 = 0x081
    """operand 1 becomes all zeroes"""
    LOADINV = 0x480
    """operand 1 becomes the inverse of the register operand 2"""
    LOAD1 = 0x481
    """operand 1 becomes all ones"""
    ADD = 0x100
    """ACCU = SRCA + SRCB, CF the carry, ZF whether the result is zero"""
    SUB = 0x101
    """ACCU = SRCA - SRCB, CF the borrow, ZF whether the result is zero"""
    AND = 0x102
    """ACCU = SRCA & SRCB"""
    OR = 0x103
    """ACCU = SRCA | SRCB"""
    XOR = 0x104
    """ACCU = SRCA ^ SRCB"""
    STORE = 0x180
    """the register operand 1 becomes operand 2: ACCU, CF or ZF, the flags as all ones or all zeroes"""
    STOREINV = 0x580
    """the register operand 1 becomes the inverse of operand 2"""


class AluOperand(IntEnum):
    """What a step of MI_MATH works on: 0 to 15 are the general purpose registers, of 64 bits each."""

    R0 = 0x00
    R1 = 0x01
    R2 = 0x02
    R3 = 0x03
    R4 = 0x04
    R5 = 0x05
    R6 = 0x06
    R7 = 0x07
    R8 = 0x08
    R9 = 0x09
    R10 = 0x0A
    R11 = 0x0B
    R12 = 0x0C
    R13 = 0x0D
    R14 = 0x0E
    R15 = 0x0F
    SRCA = 0x20
    """left operand"""
    SRCB = 0x21
    """right operand"""
    ACCU = 0x31
    """result"""
    ZF = 0x32
    """whether the result is zero"""
    CF = 0x33
    """carry or borrow"""


class AluInstruction(Bits):
    """A step of MI_MATH."""

    operand2 = choice(0, 10, AluOperand, "second operand", source=SOURCE)
    operand1 = choice(10, 10, AluOperand, "first operand", source=SOURCE)
    opcode = choice(20, 12, AluOpcode, "what is done", source=SOURCE)


class MiMath(NamedTuple):
    """Begins a row of steps, at most 64."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x1A))


class AluStep(NamedTuple):
    """A step."""

    instruction: Annotated[AluInstruction, u32("what is done", source=SOURCE)]


MI_MATH: Final = mi_command(
    "MI_MATH", 0x1A, CountedHeader, "Computes with the general purpose registers, step by step.",
    length=counted(8), forms=(Form(MiMath, tail=AluStep, source=SOURCE),),
)  # fmt: skip
