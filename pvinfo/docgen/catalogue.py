"""Which declarations make which chapter.

A module that no chapter names still gets one, so nothing declared can be forgotten; it is named here only to give
it good company and a summary.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Final, NamedTuple

import pvinfo

from ..page import PVINFO_BASE

__all__ = ("CHAPTERS", "PLACED_RECORDS", "Chapter", "Placed", "declared_modules")


class Chapter(NamedTuple):
    """A page of the documentation before its declarations are collected."""

    slug: str
    title: str
    summary: str
    modules: tuple[str, ...]
    """Names below ``pvinfo``; one that ends in a dot stands for all below it."""
    handshake: bool = False
    """Begins with the conversation of guest and host."""
    interfaces: bool = False
    """Its Protocols and plain rows are part of the contract and are shown."""


CHAPTERS: Final = (
    Chapter(
        "pvinfo-page", "The PVINFO page",
        "4 KiB at 0x78000 through which guest and host know each other: detection, capabilities, what of the GPU belongs to the guest, and its notifications.",
        ("page", "notify"), handshake=True,
    ),
    Chapter("engines", "Engines", "The command streamers: rings, execution state, and submission by execlist.", ("registers.engine", "registers.statistics", "registers.blitter", "execlist", "context_image")),
    Chapter(
        "commands", "Commands", "What a ring or batch buffer holds: commands to the streamer itself, to the blitter, to the pipelines.",
        (
            "commands", "commands.command", "commands.mi.header", "commands.mi.control", "commands.mi.batch", "commands.mi.memory", "commands.mi.register",
            "commands.mi.flush", "commands.mi.display", "commands.mi.resource_streamer", "commands.pipe_control", "commands.blt", "commands.blt.records",
            "commands.blt.fields", "commands.",
        ),
    ),
    Chapter(
        "gt", "Graphics core", "Interrupts, reset, forcewake, power control unit, and the set-up of everything that is not display.",
        ("registers.interrupt", "registers.reset", "registers.forcewake", "registers.pcode", "registers.gt", "registers.memory_controller"),
    ),
    Chapter("work-arounds", "Work-arounds", "Single bits that a driver sets because a unit misbehaves without them; kept and read back.", ("registers.workaround",)),
    Chapter(
        "graphics-memory", "Graphics memory", "The global table and its entries, per-process tables, fences, and how memory is cached.",
        ("gtt_entry", "registers.gtt", "registers.fence", "registers.mocs"),
    ),
    Chapter(
        "display", "Display", "Power wells and clocks, and what makes a picture: planes, cursors, pipes, transcoders.",
        (
            "registers.power", "registers.dmc", "registers.clock", "registers.display", "registers.plane", "registers.cursor", "registers.pipe",
            "registers.scaler", "registers.transcoder", "registers.watermark",
        ),
    ),
    Chapter(
        "display-ports", "Display ports", "The way to a monitor: ports and panels, hot-plug, and the side channels that carry its identification.",
        (
            "registers.ddi", "registers.panel", "registers.hotplug", "registers.gmbus", "registers.aux_channel", "registers.sbi",
            "registers.south_display", "registers.broxton", "connector", "dpcd", "edid", "edid.", "display_mode",
        ),
    ),
    Chapter(
        "pci", "PCI function", "Configuration space of the vGPU: identification, base address registers, interrupts, power; and the OpRegion that it points to.",
        ("pci", "opregion", "opregion."),
    ),
    Chapter(
        "vfio-user", "vfio-user", "The messages by which a virtual machine monitor uses a device that another process serves.",
        ("vfio_user.message", "vfio_user.negotiation", "vfio_user.device", "vfio_user.access", "vfio_user.memory", "vfio_user.", "gfx_edid", "gfx_plane"),
    ),
    Chapter("platforms", "Platforms", "The GPUs that are modelled, with their device ids and engines.", ("platform",)),
    Chapter(
        "files", "Interfaces and files", "The Protocols at which guest and host meet, findings, traces, register snapshots, pictures of a screen, and the words used for registers.",
        ("bus", "finding", "trace", "golden_state", "frame", "drm_format", "register", "registers.tracked", "units"), interfaces=True,
    ),
)  # fmt: skip
"""In reading order."""


class Placed(NamedTuple):
    """A record that stands in BAR0."""

    base: int
    split: int
    """Where its picture is cut in two."""


PLACED_RECORDS: Final = {"VgtIf": Placed(PVINFO_BASE, 0x800)}


def declared_modules() -> tuple[ModuleType, ...]:
    """Every module of ``pvinfo`` that can declare something, imported: all but the generator and the command."""
    names = sorted(
        module.name
        for module in pkgutil.walk_packages(pvinfo.__path__, "pvinfo.")
        if not module.name.startswith("pvinfo.docgen") and not module.name.endswith("__main__")
    )
    return tuple(importlib.import_module(name) for name in names)
