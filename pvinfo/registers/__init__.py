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

from . import engine, fence, forcewake, gt, gtt, interrupt, mocs, pcode, reset, workaround
from .engine import *
from .fence import *
from .forcewake import *
from .gt import *
from .gtt import *
from .interrupt import *
from .mocs import *
from .pcode import *
from .reset import *
from .workaround import *

__all__: list[str] = []
__all__ += engine.__all__
__all__ += fence.__all__
__all__ += forcewake.__all__
__all__ += gt.__all__
__all__ += gtt.__all__
__all__ += interrupt.__all__
__all__ += mocs.__all__
__all__ += pcode.__all__
__all__ += reset.__all__
__all__ += workaround.__all__
