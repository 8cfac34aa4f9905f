"""The little of an engine that a drawing command needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from support.blit_script import ScatteredMemory

import host_model.gpu.blitter.commands as registered
from host_model.gpu.commands.execution import HANDLERS, Stop
from pvinfo.commands import blt
from pvinfo.commands.command import Command
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.blitter import BlitterRegisters
from pvinfo.units import MIB

if TYPE_CHECKING:
    from host_model.gpu.engine_state import EngineState

assert registered.__name__

COMMANDS = {value.match >> 22 & 0x7F: value for value in vars(blt).values() if isinstance(value, Command)}
"""By opcode."""


class Space:
    """An address space over scattered memory."""

    def __init__(self, memory: ScatteredMemory) -> None:
        self.spans = memory.spans

    def read(self, address: int, size: int) -> bytes:
        return b"".join(self.spans(address, size, write=False))


class BlitEngine:
    """Executes 2D commands given as dwords, each to its end."""

    def __init__(self, memory: ScatteredMemory, tiling: int = 0) -> None:
        self.engine = Engine.BCS0
        self.base = ENGINES[Engine.BCS0].base
        self.registers = memoryview(bytearray(2 * MIB)).cast("I")
        self.registers[BlitterRegisters.software_control.offset >> 2] = tiling
        self.ppgtt = Space(memory)
        self.progress: object = None
        self.charged_ns = 0
        self.slices = 0
        self.refused: list[tuple[str, str]] = []

    def charge(self, duration_ns: int) -> None:
        self.charged_ns += duration_ns

    def illegal(self, rule: str, text: str, at: int, header: int) -> Stop:
        self.refused.append((rule, text))
        return Stop.HANG

    def execute(self, dwords: list[int]) -> Stop | None:
        """Execute one command, slice by slice."""
        command = COMMANDS[dwords[0] >> 22 & 0x7F]
        data = memoryview(b"".join(value.to_bytes(4, "little") for value in [0, *dwords])).cast("I")
        self.progress = None
        stop: Stop | None = Stop.CONTINUE
        while stop is Stop.CONTINUE:
            self.slices += 1
            stop = HANDLERS[command.name](cast("EngineState", self), data, 1, len(dwords))
        return stop
