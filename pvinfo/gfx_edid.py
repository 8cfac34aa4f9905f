"""The region by which a virtual machine monitor says which monitor its guest sees: registers, and behind them the EDID.

To plug another monitor in: write 2 to ``link_state``, write ``edid_size`` and the EDID at ``edid_offset``, write 1 to ``link_state``.
Each register is read and written as one dword.

Source: linux:include/uapi/linux/vfio.h
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .wire import Codec, u32

__all__ = ("GFX_EDID_REGISTERS", "GfxEdidRegisters", "GfxLinkState")


class GfxLinkState(IntEnum):
    """Whether a monitor is plugged in. Source: linux:include/uapi/linux/vfio.h"""

    UP = 1
    DOWN = 2


class GfxEdidRegisters(NamedTuple):
    """The kernel's ``struct vfio_region_gfx_edid``: the region begins with it."""

    edid_offset: Annotated[int, u32("where the EDID begins in the region", unit="bytes")]
    edid_max_size: Annotated[int, u32("longest EDID that it takes", unit="bytes")]
    edid_size: Annotated[int, u32("length of the EDID; can be written", unit="bytes")]
    max_xres: Annotated[int, u32("widest picture; 0: no limit", unit="pixels")]
    max_yres: Annotated[int, u32("highest picture; 0: no limit", unit="lines")]
    link_state: Annotated[int, u32("see GfxLinkState; writing 1 plugs the monitor of that EDID in, writing 2 pulls it out")]


GFX_EDID_REGISTERS: Final = Codec(
    GfxEdidRegisters, doc="beginning of the region that changes the monitor", source="linux:include/uapi/linux/vfio.h", size=24
)
