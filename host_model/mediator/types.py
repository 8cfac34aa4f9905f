"""The kinds of vGPU that a host offers.

Source: linux:drivers/gpu/drm/i915/gvt/vgpu.c (intel_vgpu_configs, intel_gvt_init_vgpu_types)
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from pvinfo.connector import default_connector
from pvinfo.errors import UsageError
from pvinfo.platform import Platform
from pvinfo.units import MIB, format_size

from ..device.display.monitor import Monitor

__all__ = (
    "FENCES_PER_VGPU",
    "HOST_FENCES",
    "HOST_HIGH",
    "HOST_LOW",
    "MAX_WEIGHT",
    "TOTAL_FENCES",
    "DefaultMonitor",
    "VgpuType",
    "default_monitor",
    "default_type",
    "type_named",
    "types_for",
)

HOST_LOW: Final = 128 * MIB
"""Aperture that the host keeps for itself. Source: linux:drivers/gpu/drm/i915/gvt/gvt.h"""
HOST_HIGH: Final = 384 * MIB
"""Graphics memory outside the aperture that the host keeps."""
HOST_FENCES: Final = 4
TOTAL_FENCES: Final = 32
FENCES_PER_VGPU: Final = 4
MAX_WEIGHT: Final = 16


class VgpuType(NamedTuple):
    """A size of vGPU: what of the GPU it gets, and how much of its time."""

    name: str
    low_size: int
    """Bytes of aperture: graphics memory that the processor reaches through BAR2."""
    high_size: int
    """Bytes of graphics memory outside the aperture."""
    fences: int
    weight: int
    """Share of GPU time, of 16."""
    resolution: str
    """The largest mode of its monitor."""

    @property
    def description(self) -> str:
        """The type in a line."""
        return (
            f"{format_size(self.low_size)} aperture + {format_size(self.high_size)}, {self.fences} fences, "
            f"weight {self.weight}, {self.resolution}"
        )


class DefaultMonitor(Enum):
    """In place of a monitor: let the type say which."""

    OF_TYPE = auto()
    """One of the type's resolution."""


def default_monitor(vgpu_type: VgpuType, platform: Platform) -> Monitor:
    """The monitor of the type's resolution, plugged in where the kernel's mediator does."""
    return Monitor.of_resolution(default_connector(platform), vgpu_type.resolution)


class _Size(NamedTuple):
    divisor: int
    low_mib: int
    high_mib: int
    resolution: str


_SIZES: Final = (
    _Size(8, 64, 384, "1024x768"),
    _Size(4, 128, 512, "1920x1200"),
    _Size(2, 256, 1024, "1920x1200"),
    _Size(1, 512, 2048, "1920x1200"),
)


def types_for(platform: Platform, aperture_size: int) -> tuple[VgpuType, ...]:
    """The types that a host of this platform offers: the table up to the first row whose aperture does not fit once."""
    types = []
    for size in _SIZES:
        if size.low_mib * MIB > aperture_size - HOST_LOW:
            break
        name = f"{platform.type_prefix}_{size.divisor}"
        weight = MAX_WEIGHT // size.divisor
        types.append(VgpuType(name, size.low_mib * MIB, size.high_mib * MIB, FENCES_PER_VGPU, weight, size.resolution))
    return tuple(types)


def type_named(name: str, platform: Platform, aperture_size: int, own_types: Sequence[VgpuType] = ()) -> VgpuType:
    """The type called ``name``, of the platform's or of ``own_types``.

    Raises: UsageError that lists what this host offers, and why it offers no more.
    """
    offered = *types_for(platform, aperture_size), *own_types
    for offer in offered:
        if offer.name == name:
            return offer
    known = ", ".join(offer.name for offer in offered) or "no types"
    raise UsageError(
        f"no vGPU type {name!r} on {platform.name}: a host with {format_size(aperture_size)} of aperture, "
        f"{format_size(HOST_LOW)} of it its own, offers {known}"
    )


def default_type(platform: Platform, aperture_size: int) -> VgpuType:
    """The smallest type. Raises: UsageError when the aperture is too small for any."""
    return type_named(f"{platform.type_prefix}_{_SIZES[0].divisor}", platform, aperture_size)
