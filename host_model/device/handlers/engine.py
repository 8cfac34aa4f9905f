"""A command streamer's registers that every device serves alike: errors and time stamps.

Where this differs from the kernel's mediator, on purpose: errors in EIR are acknowledged by writing ones, as on hardware
(the kernel keeps what was written, and a guest then finds an error that nobody reported).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.engine import EngineError, EngineRegisters

from ..timestamp import timestamp_at
from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(EngineRegisters.eir)
def errors_acknowledged(device: RegisterDevice, offset: int, value: EngineError) -> int:
    return device.registers.read32(offset) & ~value


@on_read(EngineRegisters.timestamp)
def timestamp_read(device: RegisterDevice, offset: int) -> int:
    return timestamp_at(device.platform, device.clock.now_ns()) & 0xFFFFFFFF


@on_read(EngineRegisters.timestamp_udw)
def timestamp_high_read(device: RegisterDevice, offset: int) -> int:
    return timestamp_at(device.platform, device.clock.now_ns()) >> 32
