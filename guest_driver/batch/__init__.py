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

from .blitter import BlitSurface, BlitterCommands, Rectangle
from .flow import FlowCommands
from .memory import MemoryCommands
from .patterns import PatternCommands
from .pipeline import PipelineChoice, PipelineCommands
from .rare import RareCommands
from .registers import alu

__all__ = ("Batch", "BlitSurface", "PipelineChoice", "Rectangle", "alu")


@final
class Batch(FlowCommands, MemoryCommands, BlitterCommands, PatternCommands, PipelineCommands, RareCommands):
    """Commands for one engine."""
