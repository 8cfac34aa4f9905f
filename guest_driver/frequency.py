"""Frequency scaling (RPS). A host keeps a vGPU's frequency to itself, but a driver that is offered a range asks all
the same: it sets the hardware's thresholds, requests the lowest frequency, and tells the firmware which ring
frequency goes with which of its own. A range of one frequency, or none, leaves all of it undone.

Source: linux:drivers/gpu/drm/i915/gt/intel_rps.c, linux:drivers/gpu/drm/i915/gt/intel_llc.c
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.registers import (
    BroxtonPower,
    FrequencyControl,
    FrequencyRequest,
    GtFrequency,
    InterruptGroup,
    MemoryController,
    PcodeCommand,
    PowerInterrupt,
    PowerInterruptMask,
)

from .interrupts import forget_power_events
from .pcode import pcode_read, pcode_write
from .uncore import Uncore

__all__ = ("Frequency", "FrequencyRange")

_GEN9_STEPS: Final = 3
"""Gen9 counts in thirds of gen8's 50 MHz; its capability register still counts in 50 MHz, but for Broxton's."""
_EVENTS: Final = PowerInterrupt.of(
    down_ei_expired=1, up_ei_expired=1, down_threshold=1, up_threshold=1, down_timeout=1
)
_ALL: Final = 0xFFFF_FFFF
_HYSTERESIS: Final = 10
_INTERVAL_UP_US: Final = 16_000
_INTERVAL_DOWN_US: Final = 32_000
"""Over which business is judged at the lowest frequency."""
_THRESHOLD_UP: Final = 95
_THRESHOLD_DOWN: Final = 85
"""Per cent of the interval."""
_CONTROL: Final = FrequencyControl.of(down_mode=2, up_mode=2, enable=1, media_is_graphics=1, media_mode=2, media_turbo=1)
_GEN8_RATIO_SHIFT: Final = 24
"""Gen8 has its ratio one bit further up than gen9."""
_LLC_MEMORY_STEP: Final = (8, 3)
"""From the memory's clock in 266 MHz to the ring's in 100 MHz."""


class FrequencyRange(NamedTuple):
    """Frequencies in the generation's own steps: 50 MHz on gen8, 50/3 MHz on gen9."""

    lowest: int
    guaranteed: int
    highest: int
    efficient: int


@final
class Frequency:
    """The frequency of one GT."""

    def __init__(self, uncore: Uncore) -> None:
        self._uncore = uncore
        self._low_power = uncore.platform.name == "bxt"
        self._gen9 = uncore.platform.graphics_version >= 9
        self.range = FrequencyRange(0, 0, 0, 0)
        """What the part offers, once :meth:`init` has read it."""
        self.enabled = False
        """The hardware judges, and the driver may ask for more."""

    def init(self) -> None:
        """Read the range, and ask the firmware for the most efficient frequency in it (``gen6_rps_init``)."""
        self.range = self._read_range()

    def _read_range(self) -> FrequencyRange:
        uncore = self._uncore
        if self._low_power:
            raw = uncore.read(BroxtonPower.rp_state_cap)
            return FrequencyRange(raw & 0xFF, raw >> 8 & 0xFF, raw >> 16 & 0xFF, raw >> 8 & 0xFF)
        scale = _GEN9_STEPS if self._gen9 else 1
        capability = uncore.read(GtFrequency.state_cap)
        lowest, guaranteed, highest = (steps * scale for steps in (capability.rpn, capability.rp1, capability.rp0))
        efficient = guaranteed
        reply = pcode_read(uncore, PcodeCommand.DYNAMIC_DUTY_CYCLE_CONTROL)
        if reply is not None:
            efficient = max(lowest, min((reply >> 8 & 0xFF) * scale, highest))
        return FrequencyRange(lowest, guaranteed, highest, efficient)

    def _ratio(self, steps: int) -> int:
        return FrequencyRequest.of(ratio=steps) if self._gen9 else steps << _GEN8_RATIO_SHIFT

    def enable(self, timestamp_hz: int) -> None:
        """Have the hardware judge, at the lowest frequency for now (``intel_rps_enable``); nothing in a range of one."""
        if self.range.highest <= self.range.lowest:
            return
        uncore = self._uncore

        def interval(microseconds: int, per_cent: int = 100) -> int:
            ticks = microseconds * per_cent * 10 * timestamp_hz // 1_000_000_000
            return (ticks + 15) // 16

        uncore.write(GtFrequency.video_frequency, self._ratio(self.range.guaranteed))
        uncore.write(GtFrequency.idle_hysteresis, _HYSTERESIS)
        uncore.write(GtFrequency.request, self._ratio(self.range.lowest))
        uncore.write(GtFrequency.up_interval, interval(_INTERVAL_UP_US))
        uncore.write(GtFrequency.up_threshold, interval(_INTERVAL_UP_US, _THRESHOLD_UP))
        uncore.write(GtFrequency.down_interval, interval(_INTERVAL_DOWN_US))
        uncore.write(GtFrequency.down_threshold, interval(_INTERVAL_DOWN_US, _THRESHOLD_DOWN))
        uncore.write(GtFrequency.control, _CONTROL)
        self.enabled = True

    def pair_ring_frequencies(self) -> None:
        """Tell the firmware the ring frequency that goes with each of ours, the highest first (``intel_llc_enable``).

        Parts without a last-level cache have no ring to speak of.
        """
        if self._low_power:
            return
        uncore = self._uncore
        times, by = _LLC_MEMORY_STEP
        least = uncore.read(MemoryController.bios_data).frequency_ratio * times // by
        scale = _GEN9_STEPS if self._gen9 else 1
        highest, lowest = self.range.highest // scale, self.range.lowest // scale
        if highest <= lowest:
            return
        for steps in range(highest, lowest - 1, -1):
            ring = steps if self._gen9 else max(least, steps)
            pcode_write(uncore, PcodeCommand.WRITE_MIN_FREQ_TABLE, ring << 16 | steps)

    def disable(self) -> None:
        """Stop the hardware's judging (``intel_rps_disable``)."""
        if self.enabled:
            self.enabled = False
            self._uncore.write(GtFrequency.control, 0)

    def silence(self) -> None:
        """No frequency event may interrupt (``intel_rps_sanitize``)."""
        uncore = self._uncore
        uncore.write(GtFrequency.interrupt_mask, _ALL & ~PowerInterruptMask.redirect_to_guc_disable.mask)
        uncore.write(InterruptGroup.ier, 0, "GT2")
        forget_power_events(uncore, _EVENTS)
