"""Clocks of the display engine: a loop that is switched on is stable at once.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.registers.clock import BroadwellClocks, BroadwellLcpll, DpllEnable, DpllStatus, SkylakeClocks

from . import GEN8, GEN9, on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(SkylakeClocks.lcpll1_ctl, platforms=GEN9)
def loop_switched(device: RegisterDevice, offset: int, value: DpllEnable) -> int:
    return DpllEnable.of(enable=value.enable, locked=value.enable)


on_write(SkylakeClocks.lcpll2_ctl, platforms=GEN9)(loop_switched)


@on_read(SkylakeClocks.dpll_status, platforms=GEN9)
def loop_status_read(device: RegisterDevice, offset: int) -> int:
    clocks, shared = SkylakeClocks(device.registers), BroadwellClocks(device.registers)
    return DpllStatus.of(
        dpll0_lock=clocks.lcpll1_ctl.enable,
        dpll1_lock=clocks.lcpll2_ctl.enable,
        dpll2_lock=shared.wrpll_ctl[0].enable,
        dpll3_lock=shared.wrpll_ctl[1].enable,
    )


@on_write(BroadwellClocks.lcpll_ctl, platforms=GEN8)
def core_clock_loop_written(device: RegisterDevice, offset: int, value: BroadwellLcpll) -> int:
    return BroadwellLcpll.of(value, locked=not value.disable, source_fclk_done=value.source_fclk)
