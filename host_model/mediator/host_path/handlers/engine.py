"""The modes of a command streamer. The host's driver is trusted: nothing of them is kept from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.engine import EngineMode, EngineRegisters

from ...client_handlers.engine import engine_at
from . import on_write

if TYPE_CHECKING:
    from ..device import HostDevice


@on_write(EngineRegisters.mode)
def mode_written(device: HostDevice, offset: int, value: EngineMode) -> int:
    """Enabling execlists opens the submission port."""
    if value >> 16 & value & EngineMode.run_list_enable.mask:
        device.submission.enable(engine_at(offset))
    return value
