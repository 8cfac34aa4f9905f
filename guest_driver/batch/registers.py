"""Commands that load, store and compute with registers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvinfo.commands.mi.register import (
    MI_LOAD_REGISTER_IMM,
    MI_LOAD_REGISTER_MEM,
    MI_LOAD_REGISTER_REG,
    MI_MATH,
    MI_STORE_REGISTER_MEM,
    REGISTER_MASK,
    AluInstruction,
    AluOpcode,
    AluOperand,
    AluStep,
    LoadRegisterImmHeader,
    MiLoadRegisterImm,
    MiLoadRegisterMem,
    MiLoadRegisterReg,
    MiMath,
    MiStoreRegisterMem,
    RegisterValue,
)
from pvinfo.errors import UsageError

from .buffer import CommandBuffer, place

__all__ = ("RegisterCommands", "alu")

_MOST_LOADS: Final = 126
_MOST_STEPS: Final = 64


def alu(opcode: AluOpcode, operand1: AluOperand = AluOperand.R0, operand2: AluOperand = AluOperand.R0) -> AluInstruction:
    """A step of :meth:`RegisterCommands.math`: ``alu(AluOpcode.LOAD, AluOperand.SRCA, AluOperand.R1)``."""
    return AluInstruction.of(opcode=opcode, operand1=operand1, operand2=operand2)


def _register(offset: int) -> int:
    if offset & ~REGISTER_MASK:
        raise UsageError(f"{offset:#x} is no register: those are aligned dwords below {REGISTER_MASK + 4:#x}")
    return offset


class RegisterCommands(CommandBuffer):
    """Loads, stores, copies, arithmetic. Registers are named by their byte offset in BAR0: ``EngineRegisters.gpr_lo.at("RCS0")``."""

    def load_register_imm(self, *loads: tuple[int, int], force_posted: bool = False) -> None:
        """MI_LOAD_REGISTER_IMM: load registers with values. Raises: UsageError for none, or more than a command holds."""
        if not 0 < len(loads) <= _MOST_LOADS:
            raise UsageError(f"{len(loads)} registers to load with one command: it takes 1 to {_MOST_LOADS}")
        header = LoadRegisterImmHeader(MI_LOAD_REGISTER_IMM.header(1 + 2 * len(loads), force_posted=force_posted))
        pairs = [RegisterValue(_register(register), value) for register, value in loads]
        self.add(MI_LOAD_REGISTER_IMM.build(MiLoadRegisterImm(header), pairs))

    def store_register(self, register: int, address: int, *, use_global_gtt: bool = False, predicate: bool = False) -> None:
        """MI_STORE_REGISTER_MEM: store ``register`` at ``address``."""
        header = MI_STORE_REGISTER_MEM.header(use_global_gtt=use_global_gtt, predicate=predicate)
        self.add(MI_STORE_REGISTER_MEM.build(MiStoreRegisterMem(header, _register(register), place(address, 4))))

    def load_register_mem(self, register: int, address: int, *, use_global_gtt: bool = False, asynchronous: bool = False) -> None:
        """MI_LOAD_REGISTER_MEM: load ``register`` from ``address``."""
        header = MI_LOAD_REGISTER_MEM.header(use_global_gtt=use_global_gtt, asynchronous=asynchronous)
        self.add(MI_LOAD_REGISTER_MEM.build(MiLoadRegisterMem(header, _register(register), place(address, 4))))

    def load_register_reg(self, destination: int, source: int) -> None:
        """MI_LOAD_REGISTER_REG: copy register ``source`` to register ``destination``."""
        record = MiLoadRegisterReg(source=_register(source), destination=_register(destination))
        self.add(MI_LOAD_REGISTER_REG.build(record))

    def math(self, steps: Iterable[AluInstruction]) -> None:
        """MI_MATH: compute with the general purpose registers. Raises: UsageError for no steps, or more than a command holds."""
        row = [AluStep(step) for step in steps]
        if not 0 < len(row) <= _MOST_STEPS:
            raise UsageError(f"{len(row)} steps of arithmetic in one command: it takes 1 to {_MOST_STEPS}")
        self.add(MI_MATH.build(MiMath(), row))
