"""The modes of a command streamer. Bits that are the host's alone stay so when the others go with the turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.engine import EngineMode, EngineRegisters

from ...client_handlers.engine import engine_at
from . import on_write

if TYPE_CHECKING:
    from ...client import Client


@on_write(EngineRegisters.mode)
def mode_written(client: Client, offset: int, value: EngineMode) -> int:
    """Enabling execlists opens the submission port."""
    if value >> 16 & value & EngineMode.run_list_enable.mask:
        client.submission.enable(engine_at(offset))
    return value
