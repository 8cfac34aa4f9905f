"""The lanes of a timeline: which part of the GPU an access goes to."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Final

from pvinfo.page import PVINFO_BASE, PVINFO_SIZE
from pvinfo.pci import CONFIG_HEADER
from pvinfo.register_index import describe_access, name_of, register_at
from pvinfo.units import PAGE_SIZE

from ..scenarios.access import Access, AccessKind

__all__ = ("READING", "Lane", "describe", "lane_of")


class Lane(Enum):
    """Rows of the picture, from above."""

    EVENT = "interrupts, resets"
    CONFIG = "configuration space"
    PAGE = "PVINFO page"
    INTERRUPT = "interrupt registers"
    RENDER = "RCS0 registers"
    COPY = "BCS0 registers"
    VIDEO = "VCS0 registers"
    ENHANCE = "VECS0 registers"
    GT = "GT registers"
    FENCE = "fences"
    DISPLAY = "display registers"
    OTHER = "other registers"
    GGTT = "GGTT entries"
    APERTURE = "aperture"


READING: Final = frozenset(
    (AccessKind.CONFIG_READ, AccessKind.REGISTER_READ, AccessKind.GGTT_READ, AccessKind.APERTURE_READ)
)
"""Kinds by which the guest reads; all others change something."""

_BY_KIND: Final = {
    AccessKind.CONFIG_READ: Lane.CONFIG,
    AccessKind.CONFIG_WRITE: Lane.CONFIG,
    AccessKind.GGTT_READ: Lane.GGTT,
    AccessKind.GGTT_WRITE: Lane.GGTT,
    AccessKind.APERTURE_READ: Lane.APERTURE,
    AccessKind.APERTURE_WRITE: Lane.APERTURE,
    AccessKind.INTERRUPT: Lane.EVENT,
    AccessKind.RESET: Lane.EVENT,
}

_ENGINES: Final = {
    "RCS0": Lane.RENDER, "BCS0": Lane.COPY, "VCS0": Lane.VIDEO, "VECS0": Lane.ENHANCE,
}  # fmt: skip

_BY_ROOM: Final = {"interrupt": Lane.INTERRUPT, "fence": Lane.FENCE, "page": Lane.PAGE}
_GT_ROOMS: Final = frozenset(("engine", "reset", "forcewake", "gtt", "gt", "mocs", "workaround", "pcode", "memory_controller"))

_GT_SPANS: Final = (range(0x2000, 0x40000), range(0x138000, 0x140000), range(0x100000, 0x104000))
_ENGINE_SPANS: Final = (
    (range(0x2000, 0x3000), Lane.RENDER), (range(0x22000, 0x23000), Lane.COPY),
    (range(0x12000, 0x13000), Lane.VIDEO), (range(0x1A000, 0x1B000), Lane.ENHANCE),
)  # fmt: skip
_DISPLAY_SPANS: Final = (range(0x40000, 0x80000), range(0xC0000, 0x100000), range(0x160000, 0x170000))
"""Where registers stand that nobody has declared. Source: linux:drivers/gpu/drm/i915/i915_reg.h"""


@cache
def _register_lane(offset: int) -> Lane:
    if PVINFO_BASE <= offset < PVINFO_BASE + PVINFO_SIZE:
        return Lane.PAGE
    place = register_at(offset)
    if place is not None:
        room = place.register.block.__module__.rpartition(".")[2]
        if place.instance in _ENGINES:
            return _ENGINES[place.instance]
        if room in _BY_ROOM:
            return _BY_ROOM[room]
        return Lane.GT if room in _GT_ROOMS else Lane.DISPLAY
    for span, lane in _ENGINE_SPANS:
        if offset in span:
            return lane
    if any(offset in span for span in _DISPLAY_SPANS):
        return Lane.DISPLAY
    return Lane.GT if any(offset in span for span in _GT_SPANS) else Lane.OTHER


def lane_of(access: Access) -> Lane:
    """Where in the picture an access stands."""
    fixed = _BY_KIND.get(access.kind)
    return fixed if fixed is not None else _register_lane(access.offset)


# ---- one access in words ----


def _config(access: Access) -> str:
    field = CONFIG_HEADER.field_at(access.offset) if access.offset < CONFIG_HEADER.size else None
    name = field.path if field is not None else "configuration"
    return f"{name} (config+{access.offset:#x})"


def _register(access: Access) -> str:
    name = name_of(access.offset)
    return f"{name} ({access.offset:#x})" if name else f"{access.offset:#x}"


def _entry(access: Access) -> str:
    return f"entry of graphics page {access.offset // 8 * PAGE_SIZE:#x}"


_PLACES: Final[dict[Lane, Callable[[Access], str]]] = {
    Lane.CONFIG: _config,
    Lane.GGTT: _entry,
    Lane.APERTURE: lambda access: f"aperture+{access.offset:#x}",
}


def describe(access: Access) -> str:
    """An access in a line: way, place, value and what the value means."""
    lane = lane_of(access)
    if lane is Lane.EVENT:
        return access.kind.value
    place = _PLACES.get(lane, _register)(access)
    reading = access.kind in READING
    meaning = ""
    if access.kind is AccessKind.REGISTER_READ or access.kind is AccessKind.REGISTER_WRITE:
        meaning = describe_access(access.offset, access.value, write=not reading)
    arrow = "→" if reading else "←"
    width = "" if access.size == 4 else f" [{8 * access.size} bits]"
    return f"{place}{width} {arrow} {access.value:#x}{f' ({meaning})' if meaning else ''}"
