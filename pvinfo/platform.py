"""The platforms that GVT-g supports, and the engines they have."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from .errors import UsageError

__all__ = ("DEFAULT_PLATFORM", "PLATFORMS", "Engine", "EngineSpec", "Platform", "platform_named")


class Engine(Enum):
    """A command streamer, by the kernel's name."""

    RCS0 = "rcs0"
    BCS0 = "bcs0"
    VCS0 = "vcs0"
    VECS0 = "vecs0"


class EngineSpec(NamedTuple):
    """Where an engine's registers are. Source: linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c."""

    base: int
    """First register of the engine's block in BAR0."""
    reset_bit: int
    """Its bit in GDRST."""
    interrupt_group: int
    """Number of the GT interrupt group that holds its events."""
    interrupt_shift: int
    """First of its 16 bits in that group."""
    tlb_invalidate: int
    """Register that drops its address translations."""


ENGINES: Final[dict[Engine, EngineSpec]] = {
    Engine.RCS0: EngineSpec(0x02000, 1, 0, 0, 0x4260),
    Engine.BCS0: EngineSpec(0x22000, 3, 0, 16, 0x426C),
    Engine.VCS0: EngineSpec(0x12000, 2, 1, 0, 0x4264),
    Engine.VECS0: EngineSpec(0x1A000, 4, 3, 0, 0x4270),
}


class Platform(NamedTuple):
    """A GPU generation as the kit models it: the GT2 part of the platform."""

    name: str
    """Short name, as on command lines and in the tracked register table (there in capitals)."""
    title: str
    graphics_version: int
    """8 or 9; the kernel's GRAPHICS_VER."""
    type_prefix: str
    """What its vGPU types' names begin with."""
    device_id: int
    """PCI device id of the part modelled."""
    revision: int
    """PCI revision of a production stepping, so that the guest does not complain."""
    device_ids: tuple[int, ...]
    """Other ids of the platform's GT2 parts, all served alike."""
    context_pages: dict[Engine, int]
    """Pages of a context image, per-process status page included."""
    source: str

    @property
    def tracked_name(self) -> str:
        """The platform's name in the tracked register table."""
        return self.name.upper()

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines in the driver's order."""
        return tuple(self.context_pages)


def _context_pages(render: int) -> dict[Engine, int]:
    return {Engine.RCS0: render, Engine.BCS0: 2, Engine.VCS0: 2, Engine.VECS0: 2}


_IDS: Final = "linux:include/drm/intel/i915_pciids.h"

PLATFORMS: Final[dict[str, Platform]] = {
    platform.name: platform
    for platform in (
        Platform("bdw", "Broadwell", 8, "GVTg_V4", 0x1616, 0x09, (0x1612, 0x161A, 0x161B, 0x161D, 0x161E), _context_pages(20), _IDS),
        Platform("skl", "Skylake", 9, "GVTg_V5", 0x1912, 0x06, (0x1916, 0x191A, 0x191B, 0x191D, 0x191E, 0x1921), _context_pages(22), _IDS),
        Platform("bxt", "Broxton", 9, "GVTg_V5", 0x5A84, 0x0B, (0x0A84, 0x1A84, 0x1A85, 0x5A85), _context_pages(22), _IDS),
        Platform("kbl", "Kaby Lake", 9, "GVTg_V5", 0x5912, 0x04, (0x5916, 0x5917, 0x591A, 0x591B, 0x591D, 0x591E, 0x5921), _context_pages(22), _IDS),
        Platform("cfl", "Coffee Lake", 9, "GVTg_V5", 0x3E92, 0x00, (0x3E91, 0x3E94, 0x3E96, 0x3E98, 0x3E9A, 0x3E9B), _context_pages(22), _IDS),
    )
}  # fmt: skip

DEFAULT_PLATFORM: Final = "skl"


def platform_named(name: str) -> Platform:
    """The platform called ``name``. Raises: UsageError listing the known ones."""
    try:
        return PLATFORMS[name.lower()]
    except KeyError:
        raise UsageError(f"no platform {name!r}; there are {', '.join(PLATFORMS)}") from None
