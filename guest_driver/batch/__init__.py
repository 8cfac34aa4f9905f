"""The batch builder: one method per command, each named and documented after what it does.

::

    batch = Batch()
    batch.store_dword(buffer.gpu_address, 0x1234)
    batch.store_register(EngineRegisters.timestamp.at("RCS0"), buffer.gpu_address + 8)
    batch.batch_end()
    request = driver.submit(Engine.RCS0, batch)

Addresses are virtual addresses of the client, where its buffers stay from their making to their end: nothing is
relocated. What a command looks like in memory is declared in :mod:`pvinfo.commands`.
"""

from __future__ import annotations

from typing import final

from .blitter import BlitterCommands
from .flow import FlowCommands
from .flush import FlushCommands
from .memory import MemoryCommands
from .pipeline import PipelineChoice, PipelineCommands
from .registers import RegisterCommands, alu

__all__ = ("Batch", "PipelineChoice", "alu")


@final
class Batch(FlowCommands, MemoryCommands, RegisterCommands, FlushCommands, PipelineCommands, BlitterCommands):
    """Commands for one engine."""
