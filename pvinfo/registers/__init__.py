"""The registers of the GPU, in blocks, as host and guest both see them.

Each module declares one room of BAR0; this package has them all::

    from pvinfo.registers import EngineRegisters, MiMode

    EngineRegisters.mi_mode.at("RCS0")                          # 0x209c
    EngineRegisters(bar0, "RCS0").mi_mode.idle                  # a typed read
    masked_bits(MiMode.stop_ring.mask)                          # what to write to stop the ring

Importing it declares every block, so that :func:`pvinfo.register.declared_blocks` lists them. The table of what
the kernel's mediator tracks is data and stands apart, in :mod:`pvinfo.registers.tracked`.
"""

from __future__ import annotations

from . import (
    aux_channel,
    blitter,
    broxton,
    clock,
    cursor,
    ddi,
    display,
    dmc,
    engine,
    fence,
    forcewake,
    gmbus,
    gt,
    gtt,
    hotplug,
    interrupt,
    memory_controller,
    mocs,
    panel,
    pcode,
    pipe,
    plane,
    power,
    reset,
    sbi,
    scaler,
    south_display,
    statistics,
    transcoder,
    watermark,
    workaround,
)
from .aux_channel import *
from .blitter import *
from .broxton import *
from .clock import *
from .cursor import *
from .ddi import *
from .display import *
from .dmc import *
from .engine import *
from .fence import *
from .forcewake import *
from .gmbus import *
from .gt import *
from .gtt import *
from .hotplug import *
from .interrupt import *
from .memory_controller import *
from .mocs import *
from .panel import *
from .pcode import *
from .pipe import *
from .plane import *
from .power import *
from .reset import *
from .sbi import *
from .scaler import *
from .south_display import *
from .statistics import *
from .transcoder import *
from .watermark import *
from .workaround import *

__all__: list[str] = []
__all__ += aux_channel.__all__
__all__ += blitter.__all__
__all__ += broxton.__all__
__all__ += clock.__all__
__all__ += cursor.__all__
__all__ += ddi.__all__
__all__ += display.__all__
__all__ += dmc.__all__
__all__ += engine.__all__
__all__ += fence.__all__
__all__ += forcewake.__all__
__all__ += gmbus.__all__
__all__ += gt.__all__
__all__ += gtt.__all__
__all__ += hotplug.__all__
__all__ += interrupt.__all__
__all__ += memory_controller.__all__
__all__ += mocs.__all__
__all__ += panel.__all__
__all__ += pcode.__all__
__all__ += pipe.__all__
__all__ += plane.__all__
__all__ += power.__all__
__all__ += reset.__all__
__all__ += sbi.__all__
__all__ += scaler.__all__
__all__ += south_display.__all__
__all__ += statistics.__all__
__all__ += transcoder.__all__
__all__ += watermark.__all__
__all__ += workaround.__all__
