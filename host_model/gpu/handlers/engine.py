"""A command streamer's registers that start, stop and reset it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.engine import EngineRegisters, MiMode, ResetControl

from . import on_write

if TYPE_CHECKING:
    from ..device import PhysicalGpu

_LOW: int = 0xFFFF


@on_write(EngineRegisters.elsp)
def submission_written(gpu: PhysicalGpu, offset: int, value: int) -> int:
    gpu.engine_at(offset).write_port(value)
    return 0


@on_write(EngineRegisters.mi_mode)
def mode_written(gpu: PhysicalGpu, offset: int, value: MiMode) -> int:
    """The engine itself shows whether it is idle, so what stands there afterwards is kept whole."""
    enabled = value >> 16
    gpu.registers.write32(offset, gpu.registers.read32(offset) & ~enabled & _LOW | value & enabled)
    gpu.engine_at(offset).mi_mode_written()
    return _LOW << 16 | gpu.registers.read32(offset) & _LOW


@on_write(EngineRegisters.reset_ctl)
def reset_handshake(gpu: PhysicalGpu, offset: int, value: ResetControl) -> int:
    gpu.engine_at(offset).write_reset_control(value)
    return gpu.registers.read32(offset)
