"""Bringing the GT as a whole to life after a reset: work-arounds, caches, the micro-controller's memory.

Source: linux:drivers/gpu/drm/i915/gt/intel_gt.c, linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h
"""

from __future__ import annotations

from typing import Final

from pvinfo.registers import AddressWidthControl, GttRegisters, Guc, MemoryWorkarounds

from .device_info import Topology
from .mocs import init_l3_control
from .uncore import Uncore
from .workarounds import apply_gt_workarounds

__all__ = ("resume_gt",)

_GTT_CACHE_ALL: Final = 0xF000_7FFF
_L3_REPLACEMENT: Final = 0x67F1_427F
_L3_REPLACEMENT_LP: Final = 0x5FF1_01FF
"""Broxton's."""
_IPS_ALL: Final = 0xF


def resume_gt(uncore: Uncore, topology: Topology, *, large_pages: bool) -> bool:
    """Write what all engines need (``intel_gt_init_hw``); False when the micro-controller's memory is locked.

    ``large_pages``: tables may hold 64 KiB pages.
    """
    apply_gt_workarounds(uncore, topology)
    uncore.write(MemoryWorkarounds.l3_lra_1_gpgpu, _L3_REPLACEMENT_LP if uncore.platform.name == "bxt" else _L3_REPLACEMENT)
    if large_pages:
        uncore.modify(GttRegisters.gamw_eco_dev_rw_ia, 0, AddressWidthControl.enable_64k_ips.insert(0, _IPS_ALL))
    uncore.write(GttRegisters.gtt_cache_en, _GTT_CACHE_ALL)
    if not uncore.read(GttRegisters.gtt_cache_en):
        uncore.log.warning("gtt-cache", f"{GttRegisters.gtt_cache_en.title} reads 0 after {_GTT_CACHE_ALL:#x} was written")
    if uncore.platform.graphics_version >= 9 and (uncore.read(Guc.wopcm_size).locked or uncore.read(Guc.dma_wopcm_offset).valid):
        uncore.log.error("wopcm-locked", "the micro-controller's memory is locked, though nobody has loaded its firmware")
        return False
    init_l3_control(uncore)
    return True
