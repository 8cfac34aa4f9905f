"""Address translations that engines keep: dropped when pages go that they may still lead to.

Source: linux:drivers/gpu/drm/i915/gt/intel_tlb.c
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvinfo.errors import WaitTimeout
from pvinfo.platform import Engine
from pvinfo.register import Register
from pvinfo.registers import TlbInvalidate, TlbInvalidation

from .uncore import Uncore

__all__ = ("invalidate_translations",)

_TIMEOUT_NS: Final = 4_100_000
"""100 us spinning, then 4 ms."""

_REGISTERS: Final[dict[Engine, Register[TlbInvalidate]]] = {
    Engine.RCS0: TlbInvalidation.rcs0,
    Engine.BCS0: TlbInvalidation.bcs0,
    Engine.VCS0: TlbInvalidation.vcs0,
    Engine.VECS0: TlbInvalidation.vecs0,
}


def invalidate_translations(uncore: Uncore, engines: Iterable[Engine]) -> None:
    """Have ``engines``, which are awake, drop the translations they keep, and see that they have (``mmio_invalidate_full``)."""
    asked = tuple(engines)
    if not asked:
        return
    with uncore.held_awake(linger=True):
        for engine in asked:
            uncore.write(_REGISTERS[engine], 1)
        for engine in asked:
            try:
                uncore.wait_for(_REGISTERS[engine], 1, 0, _TIMEOUT_NS)
            except WaitTimeout as error:
                uncore.log.error("tlb-invalidation", f"{engine.value} does not drop its translations: {error}")
