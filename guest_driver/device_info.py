"""What the part at hand has and lacks: fuses, slices, clocks. Read once, early; all else is known from the platform.

Source: linux:drivers/gpu/drm/i915/gt/intel_sseu.c, linux:drivers/gpu/drm/i915/gt/intel_gt_clock_utils.c,
linux:drivers/gpu/drm/i915/display/intel_display_device.c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.registers import CtcSource, DisplayFuses, GtClock, GtFuses

from .uncore import Uncore

__all__ = ("DeviceInfo", "Topology", "read_device_info")

_EU_PER_SUBSLICE: Final = 8
_MAX_SLICES: Final = 3
_GEN8_TIMESTAMP_HZ: Final = 12_500_000
_CRYSTAL_HZ: Final = 24_000_000
_CRYSTAL_LP_HZ: Final = 19_200_000
"""Broxton's."""
_POOLING_SUBSLICES: Final = 3


class Topology(NamedTuple):
    """Slices, subslices and execution units."""

    slices: int
    """One bit per slice the part has."""
    subslices: int
    """One bit per subslice that each of them has."""
    execution_units: int
    """In all."""

    @property
    def pools_units(self) -> bool:
        """Whether its execution units can be pooled, where the platform knows of that."""
        return self.subslices.bit_count() == _POOLING_SUBSLICES

    @property
    def first_slice(self) -> int:
        """Lowest slice there is."""
        return (self.slices & -self.slices).bit_length() - 1 if self.slices else 0

    @property
    def first_subslice(self) -> int:
        """Lowest subslice there is."""
        return (self.subslices & -self.subslices).bit_length() - 1 if self.subslices else 0


class DeviceInfo(NamedTuple):
    """What was read."""

    has_display: bool
    """False: the display was fused off, and the driver leaves it alone."""
    timestamp_hz: int
    topology: Topology


def _has_display(uncore: Uncore) -> bool:
    fuses = DisplayFuses(uncore.regs)
    if uncore.platform.graphics_version == 8:
        strap, south = fuses.fuse_strap, fuses.sfuse_strap
        return not (strap.display_disable or south.display_disabled)
    lacks = fuses.dfsm
    return not (lacks.pipe_a_disable and lacks.pipe_b_disable and lacks.pipe_c_disable)


def _timestamp_hz(uncore: Uncore) -> int:
    if uncore.platform.graphics_version == 8:
        return _GEN8_TIMESTAMP_HZ
    mode = uncore.read(GtClock.ctc_mode)
    if mode.source == CtcSource.DIVIDE_LOGIC:
        divider = uncore.read(GtClock.timestamp_override)
        return (divider.divider + 1) * 1_000_000 + 1_000_000 // (divider.fraction + 1)
    crystal = _CRYSTAL_LP_HZ if uncore.platform.name == "bxt" else _CRYSTAL_HZ
    return crystal >> (3 - mode.shift)


def _topology(uncore: Uncore) -> Topology:
    fuse = uncore.read(GtFuses.fuse2)
    disable = GtFuses(uncore.regs).eu_disable
    gen8 = uncore.platform.graphics_version == 8
    low_power = uncore.platform.name == "bxt"
    per_slice = 3 if gen8 or low_power else 4
    slices = fuse.slice_enable & (1 if low_power else (1 << _MAX_SLICES) - 1)
    lacking = fuse.subslice_disable >> (1 if gen8 else 0)
    subslices = (1 << per_slice) - 1 & ~lacking
    if gen8:
        packed = sum(int(disable[number]) << 32 * number for number in range(_MAX_SLICES))
        missing = {number: packed >> 24 * number & 0xFF_FFFF for number in range(_MAX_SLICES)}
    else:
        missing = {number: int(disable[number]) for number in range(_MAX_SLICES) if slices >> number & 1}
    units = sum(
        _EU_PER_SUBSLICE - (missing[number] >> _EU_PER_SUBSLICE * subslice & 0xFF).bit_count()
        for number in range(_MAX_SLICES) if slices >> number & 1
        for subslice in range(per_slice) if subslices >> subslice & 1
    )  # fmt: skip
    if not slices:
        uncore.log.warning("no-slice", f"{GtFuses.fuse2.title} reads {int(fuse):#x}: a part without slices")
    return Topology(slices, subslices, units)


def read_device_info(uncore: Uncore) -> DeviceInfo:
    """Read the fuses, in the driver's order (``intel_device_info_runtime_init``, ``intel_gt_init_mmio``)."""
    has_display = _has_display(uncore)
    return DeviceInfo(has_display, _timestamp_hz(uncore), _topology(uncore))
