"""What the registers of a GPU hold once a host's i915 has programmed it and nothing is shown on any display.

The values are data (``reset_values.tsv``): fuses and straps of a common part of each platform, clocks in a state that a
driver finds in order and leaves alone, and units at rest. What a driver sets anew at every resume (work-arounds, caching
tables, ring modes) stays at zero: a guest programs it for itself.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pvinfo.errors import LayoutError
from pvinfo.platform import PLATFORMS

__all__ = ("ResetValue", "reset_values")


class ResetValue(NamedTuple):
    """One register's value, and why it is that."""

    offset: int
    value: int
    platforms: frozenset[str]
    """Short names in capitals; empty: all."""
    name: str
    """The kernel's name of the register."""
    why: str
    source: str


def _parse(line: str, number: int) -> ResetValue:
    try:
        offset, value, platforms, name, why, source = line.split("\t")
        named = frozenset() if platforms == "ALL" else frozenset(platforms.split(","))
        unknown = named - {platform.tracked_name for platform in PLATFORMS.values()}
        if unknown:
            raise ValueError(f"no platform {', '.join(sorted(unknown))}")
        return ResetValue(int(offset, 16), int(value, 16), named, name, why, source)
    except ValueError as error:
        raise LayoutError(f"reset_values.tsv line {number}: {line!r} is no row of the table ({error})") from None


@cache
def _table() -> tuple[ResetValue, ...]:
    text = files("host_model.gpu").joinpath("reset_values.tsv").read_text("ascii")
    return tuple(_parse(line, number) for number, line in enumerate(text.splitlines(), 1) if line.startswith("0x"))


@cache
def reset_values(platform: str) -> tuple[ResetValue, ...]:
    """The values of the platform called ``platform`` (``skl``), in order of offset; all other registers hold 0.

    Raises: LayoutError when the table gives one register two values.
    """
    rows: dict[int, ResetValue] = {}
    for row in _table():
        if row.platforms and platform.upper() not in row.platforms:
            continue
        if row.offset in rows:
            raise LayoutError(f"reset_values.tsv: {row.offset:#x} has two values on {platform}")
        rows[row.offset] = row
    return tuple(rows[offset] for offset in sorted(rows))
