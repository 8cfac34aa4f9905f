"""Invalidation of cached translations. Software polls until its request bit reads 0, which it does at once; it is carried
out before the next work of its client.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (gvt_reg_tlb_control_handler)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.platform import ENGINES
from pvinfo.registers.gtt import TlbInvalidate, TlbInvalidation

from . import on_write

if TYPE_CHECKING:
    from ..client import Client

_ENGINE_OF: Final = {spec.tlb_invalidate: engine for engine, spec in ENGINES.items()}


@on_write(TlbInvalidation.rcs0)
def translations_dropped(client: Client, offset: int, value: TlbInvalidate) -> int:
    engine = _ENGINE_OF.get(offset)
    if value.request and engine is not None:
        client.hardware.owe_invalidation(client.number, engine)
    return 0


on_write(TlbInvalidation.vcs0)(translations_dropped)
on_write(TlbInvalidation.vcs1)(translations_dropped)
on_write(TlbInvalidation.bcs0)(translations_dropped)
on_write(TlbInvalidation.vecs0)(translations_dropped)
