"""Cache control by surface index (MOCS), from a table kept as data. Gen8 has none.

Source: linux:drivers/gpu/drm/i915/gt/intel_mocs.c
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from pvinfo.errors import LayoutError
from pvinfo.platform import Engine
from pvinfo.registers import MOCS_ENTRIES, L3CacheControl, Mocs

from .uncore import Uncore

__all__ = ("init_engine_mocs", "init_l3_control", "mocs_table")

_COLUMNS: Final = ["platforms", "index", "control", "l3"]
_UNUSED: Final = 1
"""The index whose entry all unlisted ones repeat."""


@cache
def mocs_table(platform: str) -> tuple[tuple[int, int], ...]:
    """Control and L3 value of each index, empty where the platform has no such table."""
    lines = (files(__package__) / "mocs.tsv").read_text(encoding="ascii").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if rows[0] != _COLUMNS:
        raise LayoutError(f"mocs.tsv has columns {rows[0]}, not {_COLUMNS}")
    listed = {
        int(index): (int(control, 16), int(l3, 16))
        for platforms, index, control, l3 in rows[1:] if platform in platforms.split(",")
    }  # fmt: skip
    if not listed:
        return ()
    return tuple(listed.get(index, listed[_UNUSED]) for index in range(MOCS_ENTRIES))


def init_l3_control(uncore: Uncore) -> None:
    """Program the part that all engines share, two indices to a register."""
    table = mocs_table(uncore.platform.name)
    offset = L3CacheControl.entry.at()
    for index in range(0, len(table), 2):
        uncore.regs.write32(offset + 2 * index, table[index + 1][1] << 16 | table[index][1])


def init_engine_mocs(uncore: Uncore, engine: Engine) -> None:
    """Program the engine's own part, and with the render engine's the shared one (``intel_mocs_init_engine``)."""
    table = mocs_table(uncore.platform.name)
    if not table:
        return
    offset = Mocs.entry.at(engine.name)
    for index, (control, _) in enumerate(table):
        uncore.regs.write32(offset + 4 * index, control)
    if engine is Engine.RCS0:
        init_l3_control(uncore)
