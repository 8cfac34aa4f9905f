"""The registers that show where an engine is, and what all of its registers are after a reset."""

from __future__ import annotations

from typing import Final

from pvinfo.registers.engine import BatchState, EngineRegisters, MiMode, RingControl, RingHead

from .buffers import Buffers

__all__ = ("head_register", "reset_engine_registers", "show_position")

_HEAD, _TAIL, _CONTROL = EngineRegisters.head.offset, EngineRegisters.tail.offset, EngineRegisters.control.offset
_ACTHD, _ACTHD_UDW, _IPEHR = EngineRegisters.acthd.offset, EngineRegisters.acthd_udw.offset, EngineRegisters.ipehr.offset
_WRAPS_AT: Final = RingHead.wrap_count.low
_WAITING: Final = RingControl.wait_semaphore.mask
_VALID: Final = 1
"""Bit of the batch address: the streamer is inside a batch. Source: prm:skl:vol2c"""
_ZERO_AFTER_RESET: Final = (
    EngineRegisters.tail, EngineRegisters.head, EngineRegisters.start, EngineRegisters.control,
    EngineRegisters.acthd, EngineRegisters.acthd_udw, EngineRegisters.ipeir, EngineRegisters.ipehr, EngineRegisters.eir, EngineRegisters.esr,
    EngineRegisters.bbaddr, EngineRegisters.bbaddr_udw, EngineRegisters.bbstate, EngineRegisters.mode,
)  # fmt: skip
_ONES_AFTER_RESET: Final = (EngineRegisters.imr, EngineRegisters.emr)


def reset_engine_registers(registers: memoryview, base: int) -> None:
    """As after a reset: no ring, no error, everything masked, and the engine idle. The status page's address stays."""
    for register in _ZERO_AFTER_RESET:
        registers[base + register.offset >> 2] = 0
    for register in _ONES_AFTER_RESET:
        registers[base + register.offset >> 2] = 0xFFFFFFFF
    for purpose in (EngineRegisters.gpr_lo, EngineRegisters.gpr_hi):
        for index in range(purpose.count):
            registers[base + purpose.offset + index * purpose.stride >> 2] = 0
    registers[base + EngineRegisters.mi_mode.offset >> 2] = MiMode.idle.mask


def head_register(buffers: Buffers) -> int:
    """What the head register holds: how far the ring is, and how often it has come round."""
    return buffers.head | buffers.wraps << _WRAPS_AT & 0xFFFFFFFF


def show_position(registers: memoryview, base: int, buffers: Buffers, header: int, *, waiting: bool) -> None:
    """Show where the engine is in its buffers, and the ``header`` of the command that its parser holds."""
    address = buffers.address()
    control = base + _CONTROL >> 2
    registers[base + _HEAD >> 2] = head_register(buffers)
    registers[base + _TAIL >> 2] = buffers.tail
    registers[control] = registers[control] & ~_WAITING | (_WAITING if waiting else 0)
    registers[base + _ACTHD >> 2] = address & 0xFFFFFFFF
    registers[base + _ACTHD_UDW >> 2] = address >> 32
    registers[base + _IPEHR >> 2] = header
    batch = buffers.batch
    if batch is not None:
        registers[base + EngineRegisters.bbaddr.offset >> 2] = batch.address & 0xFFFFFFFF | _VALID
        registers[base + EngineRegisters.bbaddr_udw.offset >> 2] = batch.address >> 32
        registers[base + EngineRegisters.bbstate.offset >> 2] = BatchState.ppgtt.mask if batch.ppgtt else 0
