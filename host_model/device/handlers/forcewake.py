"""Forcewake: every request is acknowledged at once, for the registers are always awake.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (mul_force_wake_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.forcewake import Forcewake, ForcewakeBits

from . import GEN9, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_ACKNOWLEDGE: Final = {
    Forcewake.gt.at(): Forcewake.gt_ack.at(),
    Forcewake.render.at(): Forcewake.render_ack.at(),
    Forcewake.media.at(): Forcewake.media_ack.at(),
}


@on_write(Forcewake.gt)
def forcewake_requested(device: RegisterDevice, offset: int, value: ForcewakeBits) -> int:
    mask = value >> 16
    holders = device.registers.read32(offset) & ~mask & 0xFFFF | value & mask
    device.registers.write32(_ACKNOWLEDGE[offset], holders)
    return holders


on_write(Forcewake.render, platforms=GEN9)(forcewake_requested)
on_write(Forcewake.media, platforms=GEN9)(forcewake_requested)
