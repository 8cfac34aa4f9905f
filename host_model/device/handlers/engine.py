"""A command streamer's registers that every device serves alike: the reset handshake, errors, time stamps.

Where this differs from the kernel's mediator, on purpose: errors in EIR are acknowledged by writing ones, as on hardware
(the kernel keeps what was written, and a guest then finds an error that nobody reported).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.engine import EngineError, EngineRegisters, ResetControl

from ..timestamp import timestamp_at
from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(EngineRegisters.reset_ctl)
def reset_handshake(device: RegisterDevice, offset: int, value: ResetControl) -> int:
    """An engine is ready for its reset as soon as it is asked; taking the request back takes readiness back."""
    state = device.registers.read32(offset) & 0xFFFF
    request = ResetControl.request.mask
    if value >> 16 & request:
        state &= ~(request | ResetControl.ready.mask)
        if value & request:
            state |= request | ResetControl.ready.mask
    return state


@on_write(EngineRegisters.eir)
def errors_acknowledged(device: RegisterDevice, offset: int, value: EngineError) -> int:
    return device.registers.read32(offset) & ~value


@on_read(EngineRegisters.timestamp)
def timestamp_read(device: RegisterDevice, offset: int) -> int:
    return timestamp_at(device.platform, device.clock.now_ns()) & 0xFFFFFFFF


@on_read(EngineRegisters.timestamp_udw)
def timestamp_high_read(device: RegisterDevice, offset: int) -> int:
    return timestamp_at(device.platform, device.clock.now_ns()) >> 32
