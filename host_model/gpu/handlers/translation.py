"""Invalidation of cached translations. The driver polls until its request bit reads 0, which it does at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.gtt import GttRegisters, TlbInvalidation

from . import on_write

if TYPE_CHECKING:
    from ..device import PhysicalGpu


def translations_dropped(gpu: PhysicalGpu, offset: int, value: int) -> int:
    gpu.drop_translations()
    return 0


on_write(TlbInvalidation.rcs0)(translations_dropped)
on_write(TlbInvalidation.vcs0)(translations_dropped)
on_write(TlbInvalidation.vcs1)(translations_dropped)
on_write(TlbInvalidation.bcs0)(translations_dropped)
on_write(TlbInvalidation.vecs0)(translations_dropped)
on_write(GttRegisters.flush_control)(translations_dropped)
