"""Invalidation of cached translations. The driver polls until its request bit reads 0, which it does at once.

Source: linux:drivers/gpu/drm/i915/gt/intel_tlb.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.platform import Engine
from pvinfo.register import Register
from pvinfo.registers.gtt import GttRegisters, TlbInvalidate, TlbInvalidation

from . import on_write

if TYPE_CHECKING:
    from ..device import PhysicalGpu


def _of_engine(register: Register[TlbInvalidate], name: Engine) -> None:
    """Have the request bit of ``register`` drop what engine ``name`` remembers, and no other."""

    def translations_dropped(gpu: PhysicalGpu, offset: int, value: TlbInvalidate) -> int:
        if value.request:
            gpu.engines[name].invalidate_translations()
        return 0

    on_write(register)(translations_dropped)


_of_engine(TlbInvalidation.rcs0, Engine.RCS0)
_of_engine(TlbInvalidation.vcs0, Engine.VCS0)
_of_engine(TlbInvalidation.bcs0, Engine.BCS0)
_of_engine(TlbInvalidation.vecs0, Engine.VECS0)


@on_write(TlbInvalidation.vcs1)
def absent_engine(gpu: PhysicalGpu, offset: int, value: TlbInvalidate) -> int:
    """No part modelled has a second video engine; the request is over at once all the same."""
    return 0


@on_write(GttRegisters.flush_control)
def table_flushed(gpu: PhysicalGpu, offset: int, value: int) -> int:
    """The driver has written the global table."""
    gpu.engines.invalidate_translations()
    return 0
