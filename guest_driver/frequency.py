"""The range of frequencies that the part offers. A vGPU leaves its frequency to the host.

The real driver turns frequency scaling on when the range is not empty; this one only reads it.
Source: linux:drivers/gpu/drm/i915/gt/intel_rps.c, linux:drivers/gpu/drm/i915/gt/intel_llc.c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.registers import (
    GtFrequency,
    InterruptGroup,
    MemoryController,
    PcodeCommand,
    PowerInterrupt,
    PowerInterruptMask,
)

from .interrupts import forget_power_events
from .pcode import pcode_read
from .uncore import Uncore

__all__ = ("FrequencyRange", "init_frequency", "read_memory_clock", "silence_frequency_events")

_GEN9_STEPS: Final = 3
"""Gen9 counts in thirds of gen8's 50 MHz."""
_EVENTS: Final = PowerInterrupt.of(
    down_ei_expired=1, up_ei_expired=1, down_threshold=1, up_threshold=1, down_timeout=1
)
_ALL: Final = 0xFFFF_FFFF


class FrequencyRange(NamedTuple):
    """Frequencies in the generation's own steps: 50 MHz on gen8, 50/3 MHz on gen9."""

    lowest: int
    guaranteed: int
    highest: int
    efficient: int


def init_frequency(uncore: Uncore) -> FrequencyRange:
    """Read the range, and ask the firmware for the most efficient frequency in it (``gen6_rps_init``)."""
    scale = _GEN9_STEPS if uncore.platform.graphics_version >= 9 else 1
    capability = uncore.read(GtFrequency.state_cap)
    lowest, guaranteed, highest = (steps * scale for steps in (capability.rpn, capability.rp1, capability.rp0))
    efficient = guaranteed
    if uncore.platform.name != "bxt":
        reply = pcode_read(uncore, PcodeCommand.DYNAMIC_DUTY_CYCLE_CONTROL)
        if reply is not None:
            efficient = max(lowest, min((reply >> 8 & 0xFF) * scale, highest))
    return FrequencyRange(lowest, guaranteed, highest, efficient)


def silence_frequency_events(uncore: Uncore) -> None:
    """No frequency event may interrupt (``intel_rps_sanitize``)."""
    uncore.write(GtFrequency.interrupt_mask, _ALL & ~PowerInterruptMask.redirect_to_guc_disable.mask)
    uncore.write(InterruptGroup.ier, 0, "GT2")
    forget_power_events(uncore, _EVENTS)


def read_memory_clock(uncore: Uncore) -> None:
    """Look at the memory's clock, on which the ring's frequencies would be based (``intel_llc_enable``).

    Parts without a last-level cache do not. With frequency scaling off nothing follows from it.
    """
    if uncore.platform.name != "bxt":
        uncore.read(MemoryController.bios_data)
