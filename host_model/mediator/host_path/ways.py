"""Which registers of the physical GPU the host's driver has for its own, from the table beside this module."""

from __future__ import annotations

from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from pvinfo.errors import LayoutError
from pvinfo.platform import platform_named
from pvinfo.registers.tracked import MMIO_SIZE

from ..hardware.switched_registers import switched_registers

__all__ = ("Way", "WayRow", "passing", "passing_ranges", "way_rows")

_COLUMNS: Final = "start\tend\tway\twhy\tsource"


class Way(Enum):
    """What becomes of an access."""

    PASS = "pass"
    """It is one of the physical GPU's register."""
    EMULATE = "emulate"
    """The mediator has a register for the host."""


class WayRow(NamedTuple):
    """A run of registers that are treated alike."""

    offsets: range
    way: Way
    why: str
    source: str


@cache
def way_rows() -> tuple[WayRow, ...]:
    """The table. Raises: LayoutError for a row that is none, or a register that it says nothing of, or says something of twice."""
    lines = files(__package__).joinpath("ways.tsv").read_text("ascii").splitlines()
    text = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if text[0][1] != _COLUMNS:
        raise LayoutError(f"ways.tsv line {text[0][0]}: the columns are not {_COLUMNS.split()}")
    rows, reached = [], 0
    for number, line in text[1:]:
        try:
            start, end, way, why, source = line.split("\t")
            row = WayRow(range(int(start, 16), int(end, 16), 4), Way(way), why, source)
        except ValueError:
            raise LayoutError(f"ways.tsv line {number}: {line!r} is no row of the table") from None
        if row.offsets.start != reached or row.offsets.stop <= reached or row.offsets.stop % 4:
            raise LayoutError(f"ways.tsv line {number}: {start} to {end} does not go on from {reached:#x}, dword by dword")
        rows.append(row)
        reached = row.offsets.stop
    if reached != MMIO_SIZE:
        raise LayoutError(f"ways.tsv ends at {reached:#x}: registers end at {MMIO_SIZE:#x}")
    return tuple(rows)


@cache
def passing(platform: str) -> bytes:
    """By byte offset: 1 where an aligned dword of the platform called ``platform`` passes, else 0."""
    table = bytearray(MMIO_SIZE)
    for row in way_rows():
        if row.way is Way.PASS:
            table[row.offsets.start : row.offsets.stop : 4] = b"\1" * len(row.offsets)
    for register in switched_registers(platform_named(platform).graphics_version):
        table[register.offset] = 0
    return bytes(table)


@cache
def passing_ranges(platform: str, start: int = 0) -> tuple[range, ...]:
    """The same as ranges of bytes, from ``start`` on."""
    dwords = passing(platform)[::4]
    found: list[range] = []
    at = dwords.find(1, start >> 2)
    while at >= 0:
        end = dwords.find(0, at)
        end = len(dwords) if end < 0 else end
        found.append(range(4 * at, 4 * end))
        at = dwords.find(1, end)
    return tuple(found)
