"""A command streamer's registers by which software submits work, looks where the engine is, and makes it ready for a reset.

Where this differs from the kernel's mediator, on purpose: the host's rate of time stamps is shown, so that a guest converts them
rightly (the kernel shows none, and a guest takes them for four times as slow as they are).

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, ResetControl
from pvinfo.registers.gt import GtClock

from ...device.mmio.handling import GEN9
from . import on_read, on_write

if TYPE_CHECKING:
    from ..client import Client

_BLOCK_MASK: Final = 0xFFF
_AT: Final = {spec.base: engine for engine, spec in ENGINES.items()}


def engine_at(offset: int) -> Engine:
    """The engine whose block holds the register at ``offset``."""
    return _AT[offset & ~_BLOCK_MASK]


@on_write(EngineRegisters.elsp)
def submission_written(client: Client, offset: int, value: int) -> int:
    client.submission.write(engine_at(offset), value)
    return 0


# ---- where it is ----


@on_read(EngineRegisters.acthd)
def position_read(client: Client, offset: int) -> int:
    """While the GPU works for this client it sees where that is; else where its own work was last."""
    if client.submission.queues[engine_at(offset)].is_running:
        client.registers.write32(offset, client.gpu.mmio.read32(offset))
    return client.registers.read32(offset)


on_read(EngineRegisters.acthd_udw)(position_read)
on_read(EngineRegisters.instdone)(position_read)

# ---- time ----


@on_read(GtClock.ctc_mode, platforms=GEN9)
def timestamp_rate_read(client: Client, offset: int) -> int:
    """Time stamps pass through, so what they count must, too."""
    return client.gpu.registers.read32(offset)


# ---- reset ----


@on_write(EngineRegisters.reset_ctl)
def reset_handshake(client: Client, offset: int, value: ResetControl) -> int:
    """An engine of a client is ready for its reset as soon as it is asked; taking the request back takes readiness back."""
    state = client.registers.read32(offset) & 0xFFFF
    request = ResetControl.request.mask
    if value >> 16 & request:
        state &= ~(request | ResetControl.ready.mask)
        if value & request:
            state |= request | ResetControl.ready.mask
    return state
