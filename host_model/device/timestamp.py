"""The engines' time stamp: a counter that runs at a platform's own rate, the same on all engines."""

from __future__ import annotations

from typing import Final

from pvinfo.platform import Platform

__all__ = ("TIMESTAMP_BITS", "TIMESTAMP_HZ", "timestamp_at")

TIMESTAMP_HZ: Final = {
    "bdw": 12_500_000,
    "skl": 12_000_000,
    "bxt": 19_200_000,
    "kbl": 12_000_000,
    "cfl": 12_000_000,
}
"""Ticks per second: 80 ns each on gen8, 83.33 ns on gen9, 52.08 ns on Broxton.

Source: linux:drivers/gpu/drm/i915/gt/intel_gt_clock_utils.c, with the reset value of CTC_MODE
"""

TIMESTAMP_BITS: Final = 36
"""Width of the counter. Source: prm:skl:vol2c (RING_TIMESTAMP)"""


def timestamp_at(platform: Platform, now_ns: int) -> int:
    """The counter ``now_ns`` after the GPU was made."""
    return now_ns * TIMESTAMP_HZ[platform.name] // 1_000_000_000 & ((1 << TIMESTAMP_BITS) - 1)
