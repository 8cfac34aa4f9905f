"""GDRST: the guest resets its engines, or the whole GT. All is done when the write is over.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (gdrst_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.platform import ENGINES
from pvinfo.registers.reset import Guc, GucStatus, ResetDomains, ResetRegisters

from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(ResetRegisters.gdrst)
def reset_requested(device: RegisterDevice, offset: int, value: ResetDomains) -> int:
    """The bits read 0 at once. Bits of engines that the GPU lacks do nothing."""
    if value.full:
        device.reset_engines(frozenset(device.platform.engines), full=True)
        return 0
    engines = frozenset(engine for engine in device.platform.engines if value >> ENGINES[engine].reset_bit & 1)
    if engines:
        device.reset_engines(engines, full=False)
    if value.guc:
        guc = Guc(device.registers)
        guc.status = GucStatus.of(guc.status, mia_in_reset=True)
    return 0
