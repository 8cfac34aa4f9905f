"""The registers that the kernel's mediator tracks, per platform, with their attributes.

The table is the kernel's own list as data (``tracked.tsv``): which dwords exist for a guest, which bits a guest
cannot write, which are masked registers, which ring commands may touch. What it does not list is *untracked*:
kept as plain storage and counted.

Source: linux:drivers/gpu/drm/i915/intel_gvt_mmio_table.c, linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from ..errors import LayoutError

__all__ = ("MMIO_SIZE", "TrackedAttribute", "TrackedRun", "tracked_offsets", "tracked_register_count", "tracked_runs")

MMIO_SIZE: Final = 0x200000
"""Bytes of BAR0 that hold registers. Source: linux:drivers/gpu/drm/i915/gvt/gvt.h"""

_BLOCK_SIZE: Final = 1024
"""A run this long is one block of storage, unless it is the table of memory object control states."""
_MOCS_TABLE: Final = 0xC800


class TrackedAttribute(IntFlag):
    """Bits of the attribute word that each tracked dword has. Source: linux:drivers/gpu/drm/i915/gvt/gvt.h"""

    READ_ONLY = 1 << 0
    """Has bits that a guest cannot write; which ones says the read-only mask."""
    GRAPHICS_ADDRESS = 1 << 1
    """Holds an address in graphics memory."""
    MODE_MASK = 1 << 2
    """Bits 31:16 enable the write of bits 15:0."""
    COMMAND_ACCESS = 1 << 3
    """Ring commands may touch it."""
    POWER_SAVED = 1 << 5
    """Written to the hardware again when the host resumes."""
    UNALIGNED = 1 << 6
    """May be read at any byte."""
    SAVED_IN_CONTEXT = 1 << 7
    """Part of the context image, and switched with the vGPU."""
    COMMAND_PATCH = 1 << 8
    """A value loaded by command goes through the write handler."""


_WORDS: Final[dict[str, TrackedAttribute]] = {
    "RO": TrackedAttribute.READ_ONLY,
    "GMADR": TrackedAttribute.GRAPHICS_ADDRESS,
    "MODE_MASK": TrackedAttribute.MODE_MASK,
    "CMD_ACCESS": TrackedAttribute.COMMAND_ACCESS,
    "PM_SAVE": TrackedAttribute.POWER_SAVED,
    "UNALIGN": TrackedAttribute.UNALIGNED,
    "SR_IN_CTX": TrackedAttribute.SAVED_IN_CONTEXT,
    "CMD_WRITE_PATCH": TrackedAttribute.COMMAND_PATCH,
}


class TrackedRun(NamedTuple):
    """Adjacent dwords with equal attributes."""

    offset: int
    size: int
    """Bytes."""
    platforms: frozenset[str]
    """Short names in capitals; empty: all."""
    attributes: TrackedAttribute
    read_only: int
    """Bits of each dword that a guest's write leaves as they are."""
    read_handled: bool
    """The kernel's mediator serves reads by a handler."""
    write_handled: bool
    """The kernel's mediator serves writes by a handler."""
    kernel_name: str
    """Empty where the kernel has no name for it."""

    @property
    def is_block(self) -> bool:
        """One block of storage in the kernel's table, not counted as tracked registers."""
        return self.size >= _BLOCK_SIZE and self.offset != _MOCS_TABLE

    def offsets(self) -> range:
        """The byte offset of each dword."""
        return range(self.offset, self.offset + self.size, 4)


@cache
def _table() -> tuple[TrackedRun, ...]:
    runs = []
    text = files("pvinfo.registers").joinpath("tracked.tsv").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("0x"):
            continue
        try:
            offset, size, platforms, words, read_only, read, write, name = line.split("\t")
            attributes = TrackedAttribute(0)
            for word in words.split(",") if words != "-" else ():
                attributes |= _WORDS[word]
            named = frozenset() if platforms == "ALL" else frozenset(platforms.split(","))
            runs.append(
                TrackedRun(
                    int(offset, 16), int(size, 16), named, attributes, int(read_only, 16), read == "E", write == "E",
                    "" if name == "-" else name,
                )  # fmt: skip
            )
        except (ValueError, KeyError) as error:
            raise LayoutError(f"tracked.tsv line {number}: {line!r} is no row of the table ({error})") from None
    return tuple(runs)


@cache
def tracked_runs(platform: str) -> tuple[TrackedRun, ...]:
    """The runs of the platform called ``platform`` (``skl``), in order of offset."""
    wanted = platform.upper()
    return tuple(run for run in _table() if not run.platforms or wanted in run.platforms)


def tracked_register_count(platform: str) -> int:
    """How many registers the kernel counts as tracked on the platform (debugfs ``num_tracked_mmio``)."""
    return sum(run.size // 4 for run in tracked_runs(platform) if not run.is_block)


def tracked_offsets(platform: str) -> Iterator[tuple[int, TrackedRun]]:
    """Each tracked dword with its run; where runs overlap, blocks come last and so win, as in the kernel."""
    for run in sorted(tracked_runs(platform), key=lambda run: run.is_block):
        for offset in run.offsets():
            yield offset, run
